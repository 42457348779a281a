//! Attempts: who has a run, for how long, and who has lost it.

use std::time::Duration;

use isochrone_domain::{
    Action, AttemptEnd, CancelReason, CrashPolicy, EpochMillis, Fence, Held, ItemSnapshot, ItemVersion,
    LogLine, LogStream, Nonce, Outcome, Progress, Reason, Refusal, RunId, RunStatus,
};
use isochrone_store::{Claim, Finished, LONGEST_LEASE, Renewal};
use tokio::task::JoinSet;

use super::Fresh;
use super::ledger::EVER;
use super::world::{ALL, LONG, SHORT, World, claimant, entry, failed, fence, held, kept, succeeded};

pub(crate) async fn one_of_fifty_claimers_wins(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let run = world.some_run().await.id;
    let mut claimers = JoinSet::new();
    for number in 0..50 {
        let world = world.clone();
        claimers.spawn(async move {
            world.claim(run, &claimant(&format!("w{number}"), Nonce::random()), LONG).await.unwrap()
        });
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
    let refusal = async |run| match world.claim(run, &claimant("w1", Nonce::random()), LONG).await.unwrap() {
        Claim::Refused(refusal) => Some(refusal),
        Claim::Granted(_) => None,
    };
    assert_eq!(refusal(RunId::random()).await, Some(Refusal::Unknown));

    let task = world.add_queueing().await.id;
    let first = world.request(task).await.id;
    let second = world.request(task).await.id;
    assert_eq!(refusal(second).await, Some(Refusal::NotDue), "it waits");
    world.claimed(first, LONG).await;
    assert_eq!(refusal(first).await, Some(Refusal::Held), "even by the same worker, if it is another claim");
    kept(world.finish(first, fence(1), succeeded(), Vec::new()).await.unwrap());
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
    let run = world.quiet_run().await;
    let before = world.now().await.unwrap();
    let first = world.claimed(run.id, LONG).await;
    assert_eq!(first.task, world.read_task(run.task).await);
    let RunStatus::Executing { lease } = &first.run.status else { panic!("{:?}", first.run.status) };
    assert_eq!(lease.worker, "w1");
    assert!(world.lease_end().await >= before + LONG);
    assert!(first.run.started >= Some(before));
    kept(world.finish(run.id, fence(1), AttemptEnd::GivenBack, Vec::new()).await.unwrap());
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
    let all = [
        Held { progress: Some(progress.clone()), ..held(one, 1) },
        held(ended, 1),
        held(RunId::random(), 1),
        held(two, 1),
        held(two, 2),
    ];
    let renewed = world.renew("w1", &all, LONG).await.unwrap();
    let alive = Renewal::Held { cancel: None };
    assert_eq!(
        renewed,
        [
            alive.clone(),
            Renewal::Lost(Refusal::Ended),
            Renewal::Lost(Refusal::Unknown),
            alive,
            Renewal::Lost(Refusal::Held)
        ]
    );
    assert_eq!(world.read_run(one).await.progress, Some(progress.clone()));
    let silent = held(one, 1);
    world.renew("w1", &[silent], LONG).await.unwrap();
    assert_eq!(world.read_run(one).await.progress, Some(progress), "silence takes nothing back");

    world.reach(world.now().await.unwrap() + SHORT).await;
    assert_eq!(world.reap(world.now().await.unwrap(), 10).await.unwrap(), [], "the first leases are void");
}

pub(crate) async fn renews_a_lapsed_lease_that_nobody_reaped(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let run = world.some_run().await.id;
    world.claimed(run, SHORT).await;
    world.reach(world.now().await.unwrap() + SHORT).await;
    let held = held(run, 1);
    assert_eq!(world.renew("w1", &[held], LONG).await.unwrap(), [Renewal::Held { cancel: None }]);
    assert_eq!(world.reap(world.now().await.unwrap(), 10).await.unwrap(), []);
}

pub(crate) async fn reaps_what_lapsed_and_nothing_else(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let mut lost = Vec::new();
    for _ in 0..3 {
        let run = world.some_run().await.id;
        world.claimed(run, SHORT).await;
        lost.push((world.now().await.unwrap() + SHORT, run));
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
        assert_eq!(world.finish(run, fence(1), succeeded(), Vec::new()).await.unwrap(), fenced);
        assert_eq!(world.append_log(run, fence(1), 0, std::slice::from_ref(&line)).await.unwrap(), fenced);
        assert_eq!(world.checkpoint(run, fence(1), "{}").await.unwrap(), fenced);
        let held = Held { progress: Some(Progress::default()), ..held(run, 1) };
        assert_eq!(world.renew("w1", &[held], LONG).await.unwrap(), [Renewal::Lost(word)]);
        assert_eq!(world.read_run(run).await, before);
        assert_eq!(world.log(run, ALL).await.unwrap().rows, []);
    };
    writes_nothing(Refusal::NotDue).await;
    world.claimed(run, LONG).await;
    writes_nothing(Refusal::Held).await;
    kept(world.finish(run, fence(2), succeeded(), Vec::new()).await.unwrap());
    writes_nothing(Refusal::Ended).await;
    let unbegun = world.finish(run, fence(3), succeeded(), Vec::new()).await.unwrap();
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
    let kept = kept(world.checkpoint(run, fence(1), handle).await.unwrap());
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
    assert_eq!(world.queue_delayed(due, 10).await.unwrap(), 1);
    assert_eq!(world.outbox().await, [run]);
    assert_eq!(
        world.claim(run, &claimant("w1", Nonce::random()), LONG).await.unwrap(),
        Claim::Refused(Refusal::NotDue)
    );
    assert_eq!(world.outbox().await, []);
    assert_eq!(world.outbox_state().await.unwrap().delayed, Some(due));
}

pub(crate) async fn shortens_leases_after_the_clock_was_set_back(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let (lost, alive) = (world.some_run().await.id, world.some_run().await.id);
    world.claimed(lost, LONG).await;
    world.claimed(alive, LONG).await;
    let set_back = world.now().await.unwrap() - Duration::from_hours(6);
    assert_eq!(world.reap(set_back, 10).await.unwrap(), [], "a worker that lives can renew");
    let held = held(alive, 1);
    assert_eq!(world.renew("w1", &[held], LONG).await.unwrap(), [Renewal::Held { cancel: None }]);
    assert_eq!(
        world.reap(set_back + Duration::from_secs(50), 10).await.unwrap(),
        [],
        "its lease is not over"
    );
    let reaped = world.reap(set_back + Duration::from_mins(1), 10).await.unwrap();
    assert_eq!(reaped.iter().map(|run| run.id).collect::<Vec<_>>(), [lost]);
}

pub(crate) async fn gives_no_lease_longer_than_the_longest(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let run = world.quiet_run().await.id;
    world.claimed(run, LONGEST_LEASE * 24).await;
    assert!(world.lease_end().await <= world.now().await.unwrap() + LONGEST_LEASE);
    let held = held(run, 1);
    world.renew("w1", &[held], LONGEST_LEASE * 24).await.unwrap();
    assert!(world.lease_end().await <= world.now().await.unwrap() + LONGEST_LEASE);
}

pub(crate) async fn notes_the_item_that_an_attempt_found(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let run = world.some_run().await;
    let ours = world.claimed(run.id, LONG).await.run.fence();
    let version = ItemVersion { digest: "d1".to_owned(), since: EpochMillis(3), by: "ann".to_owned() };
    let item = ItemSnapshot { owner: "bob".to_owned(), modified: EpochMillis(4), version };
    assert_eq!(kept(world.note_item(run.id, ours, &item).await.unwrap()).item, Some(item.clone()));
    assert_eq!(world.read_run(run.id).await.item, Some(item.clone()));
    kept(world.checkpoint(run.id, ours, "{}").await.unwrap());
    let late = world.note_item(run.id, fence(2), &item).await.unwrap();
    assert!(matches!(late, Finished::Fenced(_)), "{late:?}");
    let ended = world.finish(run.id, ours, succeeded(), Vec::new()).await.unwrap();
    assert_eq!(kept(ended).item, Some(item), "its end leaves it");
}

/// Its answer was lost: whoever claimed it cannot know that it has the run.
pub(crate) async fn grants_a_repeated_claim_again(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let run = world.some_run().await.id;
    let ours = claimant("w1", Nonce::random());
    let mut claims = Vec::new();
    for _ in 0..2 {
        let Claim::Granted(claimed) = world.claim(run, &ours, LONG).await.unwrap() else {
            panic!("it is ours");
        };
        claims.push(claimed.run);
    }
    assert_eq!((claims[0].fence(), claims[0].attempt), (claims[1].fence(), 1));
    assert_eq!(claims[0].started, claims[1].started);
    let other = world.claim(run, &claimant("w1", Nonce::random()), LONG).await.unwrap();
    assert_eq!(other, Claim::Refused(Refusal::Held), "another claim of the same worker");
    let line = LogLine { at: EpochMillis(1), stream: LogStream::Stdout, text: "ours".to_owned() };
    kept(world.append_log(run, claims[0].fence(), 0, &[line]).await.unwrap());
    kept(world.finish(run, claims[0].fence(), succeeded(), Vec::new()).await.unwrap());
    assert_eq!(world.claim(run, &ours, LONG).await.unwrap(), Claim::Refused(Refusal::Ended));
}

/// A store that came back without its last writes: a worker renews what the store shows as queued.
pub(crate) async fn takes_back_a_run_whose_claim_is_forgotten(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let task = world.add_queueing().await.id;
    let (first, second) = (world.request(task).await, world.request(task).await);
    let started = first.created + Duration::from_secs(1);
    for run in [first.id, second.id] {
        let claimed = Held { started, handle: Some("{}".to_owned()), ..held(run, 1) };
        let renewed = world.renew("w1", std::slice::from_ref(&claimed), LONG).await.unwrap();
        assert_eq!(renewed, [Renewal::Held { cancel: None }]);
        let run = world.read_run(run).await;
        assert_eq!(Held::of(&run), claimed);
        assert!(matches!(&run.status, RunStatus::Executing { lease } if lease.worker == "w1"), "{run:?}");
        assert_eq!(world.outbox().await, []);
        let other = world.claim(run.id, &claimant("w2", Nonce::random()), LONG).await.unwrap();
        assert_eq!(other, Claim::Refused(Refusal::Held));
    }
    // It has forgotten the handle alone.
    let third = world.some_run().await.id;
    world.claimed(third, LONG).await;
    let claimed = Held { handle: Some("{}".to_owned()), ..held(third, 1) };
    assert_eq!(world.renew("w1", &[claimed], LONG).await.unwrap(), [Renewal::Held { cancel: None }]);
    assert_eq!(world.read_run(third).await.handle.as_deref(), Some("{}"));
    for run in [first.id, second.id] {
        let ended = kept(world.finish(run, fence(1), succeeded(), Vec::new()).await.unwrap());
        assert!(ended.status.ended());
    }
    let rows = world.fires(Some(task), EVER).await.unwrap();
    assert!(rows.iter().all(|row| row.started == Some(started)), "the ledger, too: {rows:?}");
}

/// The store forgot a claim and gave its number to another worker: the two attempts are not taken for each other.
pub(crate) async fn tells_attempts_of_the_same_number_apart(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let run = world.add(|task| task.policies.retry.max_retries = 1).await.id;
    let run = world.request(run).await.id;
    let forgotten = Fence { attempt: 1, nonce: Nonce::random() };
    let ours = world.claimed(run, LONG).await.run.fence();
    let line = LogLine { at: EpochMillis(1), stream: LogStream::Stdout, text: "late".to_owned() };
    let is_fenced = async |word: Refusal| {
        let before = world.read_run(run).await;
        let fenced = Finished::Fenced(word);
        assert_eq!(world.finish(run, forgotten, succeeded(), Vec::new()).await.unwrap(), fenced);
        assert_eq!(world.append_log(run, forgotten, 0, std::slice::from_ref(&line)).await.unwrap(), fenced);
        assert_eq!(world.checkpoint(run, forgotten, "{}").await.unwrap(), fenced);
        let late = Held { fence: forgotten, ..held(run, 1) };
        assert_eq!(world.renew("w2", &[late], LONG).await.unwrap(), [Renewal::Lost(word)]);
        assert_eq!(world.read_run(run).await, before);
    };
    is_fenced(Refusal::Held).await;
    kept(world.finish(run, ours, failed(), Vec::new()).await.unwrap());
    let again = kept(world.finish(run, ours, failed(), Vec::new()).await.unwrap());
    assert_eq!(again.failures, 1, "the end that was kept is answered as at first");
    is_fenced(Refusal::NotDue).await;
}

/// A renewal writes the end of the lease and no more: what was read of the run before is still so.
pub(crate) async fn a_renewal_leaves_the_runs_record(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let run = world.quiet_run().await.id;
    let claimed = world.claimed(run, SHORT).await.run;
    let before = world.now().await.unwrap();
    for _ in 0..3 {
        let renewed = world.renew("w1", &[Held::of(&claimed)], LONG).await.unwrap();
        assert_eq!(renewed, [Renewal::Held { cancel: None }]);
        assert_eq!(world.read_run(run).await, claimed);
    }
    assert!(world.lease_end().await >= before + LONG);

    // What others write leaves the lease and how far the attempt is.
    let progress = Progress { percent: Some(1), message: "p".to_owned() };
    let held = Held { progress: Some(progress.clone()), ..Held::of(&claimed) };
    world.renew("w1", std::slice::from_ref(&held), LONG).await.unwrap();
    let end = world.lease_end().await;
    kept(world.checkpoint(run, claimed.fence(), "{}").await.unwrap());
    world.cancel_run(run, CancelReason::Requested, entry(Action::CancelRun, claimed.task)).await.unwrap();
    assert_eq!(world.lease_end().await, end);
    let now = world.read_run(run).await;
    assert_eq!((now.progress.as_ref(), now.handle.as_deref()), (Some(&progress), Some("{}")));
    let answer = world.renew("w1", &[held], LONG).await.unwrap();
    assert!(matches!(&answer[..], [Renewal::Held { cancel: Some(_) }]), "{answer:?}");
    let ended = kept(world.finish(run, claimed.fence(), succeeded(), Vec::new()).await.unwrap());
    assert_eq!((ended.progress.as_ref(), &ended), (None, &world.read_run(run).await));
    assert_eq!(world.next_expiry().await.unwrap(), None, "it has no lease any more");
}

/// More than one transaction has.
pub(crate) async fn renews_very_many(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let mut all = Vec::new();
    for _ in 0..2 {
        let run = world.some_run().await.id;
        all.push(Held::of(&world.claimed(run, LONG).await.run));
    }
    let unknown = (0..600).map(|_| held(RunId::random(), 1));
    let asked: Vec<Held> = std::iter::once(all[0].clone()).chain(unknown).chain([all[1].clone()]).collect();
    let answers = world.renew("w1", &asked, LONG).await.unwrap();
    let kept: Vec<usize> =
        (0..asked.len()).filter(|place| matches!(answers[*place], Renewal::Held { .. })).collect();
    assert_eq!((answers.len(), kept), (602, vec![0, 601]));
}
