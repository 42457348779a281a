//! Attempts: who has a run, for how long, and who has lost it.

use std::time::Duration;

use isochrone_domain::{
    Action, AttemptEnd, CrashPolicy, EpochMillis, ItemSnapshot, ItemVersion, LogLine, LogStream, Outcome,
    Progress, Reason, RunId, RunStatus,
};
use isochrone_store::{Claim, Finished, Held, LONGEST_LEASE, Refusal, Renewal, Unclaimed};
use tokio::task::JoinSet;

use super::Fresh;
use super::world::{ALL, KIND, LONG, SHORT, World, entry, failed, kept, succeeded};

pub(crate) async fn one_of_fifty_claimers_wins(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let run = world.some_run().await.id;
    let mut claimers = JoinSet::new();
    for number in 0..50 {
        let world = world.clone();
        claimers.spawn(async move { world.claim(run, &format!("w{number}"), LONG).await.unwrap() });
    }
    let answers = claimers.join_all().await;
    let granted: Vec<_> = answers
        .iter()
        .filter_map(|claim| match claim {
            Claim::Granted(claimed) => Some(&claimed.run),
            Claim::Refused(Refusal::Held) => None,
            Claim::Refused(refusal) => panic!("{refusal}"),
        })
        .collect();
    assert_eq!(granted.len(), 1);
    assert_eq!(*granted[0], world.read_run(run).await);
    assert_eq!(granted[0].attempt, 1);
}

pub(crate) async fn refuses_claims_with_the_right_word(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let refusal = async |run| match world.claim(run, "w1", LONG).await.unwrap() {
        Claim::Refused(refusal) => Some(refusal),
        Claim::Granted(_) => None,
    };
    assert_eq!(refusal(RunId::random()).await, Some(Refusal::Deleted));

    let task = world.add_queueing().await.id;
    let first = world.request(task).await.id;
    let second = world.request(task).await.id;
    assert_eq!(refusal(second).await, Some(Refusal::NotDue), "it waits");
    assert_eq!(refusal(first).await, None);
    assert_eq!(refusal(first).await, Some(Refusal::Held), "even by the same worker");
    kept(world.finish(first, 1, succeeded(), Vec::new()).await.unwrap());
    assert_eq!(refusal(first).await, Some(Refusal::Ended));
    assert!(world.delete_task(task, entry(Action::DeleteTask, task)).await.unwrap());
    assert_eq!(refusal(first).await, Some(Refusal::Deleted));

    let retrying = world
        .add(|task| {
            task.policies.retry.max_retries = 1;
            task.policies.retry.backoff_ms = 3_600_000;
        })
        .await;
    let run = world.request(retrying.id).await.id;
    world.carried_out(run, failed()).await;
    assert_eq!(refusal(run).await, Some(Refusal::NotDue), "its retry is an hour away");
}

pub(crate) async fn begins_attempts_with_rising_numbers(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let run = world.some_run().await;
    let before = world.now().await.unwrap();
    let first = world.claimed(run.id, LONG).await;
    assert_eq!(first.task, world.read_task(run.task).await);
    let RunStatus::Executing { lease } = &first.run.status else { panic!("{:?}", first.run.status) };
    assert_eq!(lease.worker, "w1");
    assert!(lease.until >= before + LONG);
    assert!(first.run.started >= Some(before));
    kept(world.finish(run.id, 1, AttemptEnd::GivenBack, Vec::new()).await.unwrap());
    let second = world.claimed(run.id, LONG).await.run;
    assert_eq!((first.run.attempt, second.attempt), (1, 2));
    assert_eq!(second.started, first.run.started);
}

pub(crate) async fn renews_in_order_and_keeps_progress(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let (one, two, ended) = (world.some_run().await.id, world.some_run().await.id, world.some_run().await.id);
    world.claimed(one, SHORT).await;
    world.claimed(two, SHORT).await;
    world.carried_out(ended, succeeded()).await;
    let progress = Progress { percent: Some(40), message: "cell 4 of 10".to_owned() };
    let held = [
        Held { run: one, attempt: 1, progress: Some(progress.clone()) },
        Held { run: ended, attempt: 1, progress: None },
        Held { run: RunId::random(), attempt: 1, progress: None },
        Held { run: two, attempt: 1, progress: None },
        Held { run: two, attempt: 2, progress: None },
    ];
    let renewed = world.renew(&held, LONG).await.unwrap();
    let alive = Renewal::Held { cancel: None };
    assert_eq!(
        renewed,
        [
            alive.clone(),
            Renewal::Lost(Refusal::Ended),
            Renewal::Lost(Refusal::Deleted),
            alive,
            Renewal::Lost(Refusal::Held)
        ]
    );
    assert_eq!(world.read_run(one).await.progress, Some(progress.clone()));
    let silent = Held { run: one, attempt: 1, progress: None };
    world.renew(&[silent], LONG).await.unwrap();
    assert_eq!(world.read_run(one).await.progress, Some(progress), "silence takes nothing back");

    world.reach(world.now().await.unwrap() + SHORT).await;
    assert_eq!(world.reap(world.now().await.unwrap(), 10).await.unwrap(), [], "the first leases are void");
}

pub(crate) async fn renews_a_lapsed_lease_that_nobody_reaped(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let run = world.some_run().await.id;
    world.claimed(run, SHORT).await;
    world.reach(world.now().await.unwrap() + SHORT).await;
    let held = Held { run, attempt: 1, progress: None };
    assert_eq!(world.renew(&[held], LONG).await.unwrap(), [Renewal::Held { cancel: None }]);
    assert_eq!(world.reap(world.now().await.unwrap(), 10).await.unwrap(), []);
}

pub(crate) async fn reaps_what_lapsed_and_nothing_else(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let mut lost = Vec::new();
    for _ in 0..3 {
        let run = world.some_run().await.id;
        let RunStatus::Executing { lease } = world.claimed(run, SHORT).await.run.status else {
            panic!("it was claimed");
        };
        lost.push((lease.until, run));
    }
    world.claimed(world.some_run().await.id, LONG).await;
    world.some_run().await;
    world.reach(lost[2].0).await;

    lost.sort_unstable();
    let now = world.now().await.unwrap();
    let mut reaped = world.reap(now, 2).await.unwrap();
    assert_eq!(reaped.len(), 2);
    reaped.extend(world.reap(now, 2).await.unwrap());
    assert_eq!(world.reap(now, 2).await.unwrap(), []);
    let mut ids: Vec<_> = reaped.iter().map(|run| run.id).collect();
    let mut expected: Vec<_> = lost.iter().map(|(_, run)| *run).collect();
    ids.sort_unstable();
    expected.sort_unstable();
    assert_eq!(ids, expected);
    for run in reaped {
        assert_eq!(run.status, RunStatus::Queued { due: now });
        assert_eq!((run.crashes, run.failures), (1, 0));
        assert_eq!(world.read_run(run.id).await, run);
    }
}

/// A worker that was lost comes back: whatever it writes, nothing of it is kept.
pub(crate) async fn fences_a_lapsed_attempt(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let run = world.some_run().await.id;
    assert_eq!(world.lost(run).await, 1);
    let line = LogLine { at: world.now().await.unwrap(), stream: LogStream::Stdout, text: "late".to_owned() };
    let writes_nothing = async |word: Refusal| {
        let before = world.read_run(run).await;
        let fenced = Finished::Fenced(word);
        assert_eq!(world.finish(run, 1, succeeded(), Vec::new()).await.unwrap(), fenced);
        assert_eq!(world.append_log(run, 1, 0, std::slice::from_ref(&line)).await.unwrap(), fenced);
        assert_eq!(world.checkpoint(run, 1, "{}").await.unwrap(), fenced);
        let held = Held { run, attempt: 1, progress: Some(Progress::default()) };
        assert_eq!(world.renew(&[held], LONG).await.unwrap(), [Renewal::Lost(word)]);
        assert_eq!(world.read_run(run).await, before);
        assert_eq!(world.log(run, ALL).await.unwrap().rows, []);
    };
    writes_nothing(Refusal::NotDue).await;
    world.claimed(run, LONG).await;
    writes_nothing(Refusal::Held).await;
    kept(world.finish(run, 2, succeeded(), Vec::new()).await.unwrap());
    writes_nothing(Refusal::Ended).await;
    let unbegun = world.finish(run, 3, succeeded(), Vec::new()).await.unwrap();
    assert_eq!(unbegun, Finished::Fenced(Refusal::Ended));
}

pub(crate) async fn gives_up_after_too_many_crashes(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let task = world.add(|task| task.policies.max_crashes = 1).await.id;
    let run = world.request(task).await.id;
    world.lost(run).await;
    assert!(!world.read_run(run).await.status.ended());
    world.lost(run).await;
    let ended = world.read_run(run).await;
    assert!(
        matches!(ended.status, RunStatus::Ended { outcome: Outcome::Failed, reason: Reason::WorkerLost, .. }),
        "{:?}",
        ended.status
    );
    assert_eq!(world.read_task(task).await.consecutive_failures, 1);

    let once = world.add(|task| task.policies.crash = CrashPolicy::AtMostOnce).await.id;
    let run = world.request(once).await.id;
    world.lost(run).await;
    assert!(world.read_run(run).await.status.ended());
}

pub(crate) async fn keeps_a_checkpoint_for_the_next_attempt(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let task = world.add(|task| task.policies.crash = CrashPolicy::AtMostOnce).await.id;
    let run = world.request(task).await.id;
    world.claimed(run, SHORT).await;
    let handle = r#"{"jobId":"j1"}"#;
    let kept = kept(world.checkpoint(run, 1, handle).await.unwrap());
    assert_eq!(kept.handle.as_deref(), Some(handle));
    world.reach(world.now().await.unwrap() + SHORT).await;
    world.reap(world.now().await.unwrap(), 10).await.unwrap();
    let next = world.claimed(run, LONG).await.run;
    assert_eq!((next.attempt, next.handle.as_deref()), (2, Some(handle)));
}

/// Its wake-up is used up: unless it is published again, nobody takes it when it is due.
pub(crate) async fn publishes_again_what_was_claimed_too_early(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let task = world
        .add(|task| {
            task.policies.retry.max_retries = 1;
            task.policies.retry.backoff_ms = 60_000;
        })
        .await;
    let run = world.request(task.id).await.id;
    let RunStatus::Queued { due } = world.carried_out(run, failed()).await.status else {
        panic!("a retry is left");
    };
    // As if it had been due, before the clock was set back.
    let retry = Unclaimed { run, kind: KIND, attempt: 1 };
    world.mark_published(&[retry]).await.unwrap();
    assert_eq!(world.unpublished(due, 10).await.unwrap(), []);
    assert_eq!(world.claim(run, "w1", LONG).await.unwrap(), Claim::Refused(Refusal::NotDue));
    assert_eq!(world.unpublished(due, 10).await.unwrap(), [retry]);
}

pub(crate) async fn shortens_leases_after_the_clock_was_set_back(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let (lost, alive) = (world.some_run().await.id, world.some_run().await.id);
    world.claimed(lost, LONG).await;
    world.claimed(alive, LONG).await;
    let set_back = world.now().await.unwrap() - Duration::from_hours(6);
    assert_eq!(world.reap(set_back, 10).await.unwrap(), [], "a worker that lives can renew");
    let held = Held { run: alive, attempt: 1, progress: None };
    assert_eq!(world.renew(&[held], LONG).await.unwrap(), [Renewal::Held { cancel: None }]);
    let RunStatus::Executing { lease } = world.read_run(lost).await.status else {
        panic!("its lease is not over");
    };
    assert!(lease.until <= set_back + Duration::from_mins(1));
    let reaped = world.reap(lease.until, 10).await.unwrap();
    assert_eq!(reaped.iter().map(|run| run.id).collect::<Vec<_>>(), [lost]);
}

pub(crate) async fn gives_no_lease_longer_than_the_longest(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let run = world.some_run().await.id;
    world.claimed(run, LONGEST_LEASE * 24).await;
    let ends = async || match world.read_run(run).await.status {
        RunStatus::Executing { lease } => lease.until,
        status => panic!("{status:?}"),
    };
    assert!(ends().await <= world.now().await.unwrap() + LONGEST_LEASE);
    let held = Held { run, attempt: 1, progress: None };
    world.renew(&[held], LONGEST_LEASE * 24).await.unwrap();
    assert!(ends().await <= world.now().await.unwrap() + LONGEST_LEASE);
}

pub(crate) async fn notes_the_item_that_an_attempt_found(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let run = world.some_run().await;
    let attempt = world.claimed(run.id, LONG).await.run.attempt;
    let version = ItemVersion { digest: "d1".to_owned(), since: EpochMillis(3), by: "ann".to_owned() };
    let item = ItemSnapshot { owner: "bob".to_owned(), modified: EpochMillis(4), version };
    assert_eq!(kept(world.note_item(run.id, attempt, &item).await.unwrap()).item, Some(item.clone()));
    assert_eq!(world.read_run(run.id).await.item, Some(item.clone()));
    kept(world.checkpoint(run.id, attempt, "{}").await.unwrap());
    let late = world.note_item(run.id, attempt + 1, &item).await.unwrap();
    assert!(matches!(late, Finished::Fenced(_)), "{late:?}");
    let ended = world.finish(run.id, attempt, succeeded(), Vec::new()).await.unwrap();
    assert_eq!(kept(ended).item, Some(item), "its end leaves it");
}
