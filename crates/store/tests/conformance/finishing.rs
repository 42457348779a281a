//! How attempts end, and what that means for run and task.

use isochrone_domain::{Artifact, AttemptEnd, Nonce, Outcome, Reason, Refusal, RunStatus, TaskState};
use isochrone_store::{Claim, Finished, Saved};

use super::Fresh;
use super::world::{LONG, World, claimant, failed, fence, kept, succeeded};

fn artifact(name: &str) -> Artifact {
    Artifact {
        name: name.to_owned(),
        content_type: "text/csv".to_owned(),
        size: 12,
        location: format!("runs/1/{name}"),
    }
}

pub(crate) async fn keeps_an_outcome_once(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let run = world.some_run().await;
    world.claimed(run.id, LONG).await;
    let artifacts = vec![artifact("a.csv"), artifact("b.csv")];
    let finish = async |end| kept(world.finish(run.id, fence(1), end, artifacts.clone()).await.unwrap());
    let first = finish(succeeded()).await;
    assert!(
        matches!(first.status, RunStatus::Ended { outcome: Outcome::Succeeded, reason: Reason::Done, .. }),
        "{:?}",
        first.status
    );
    assert_eq!((first.result.as_deref(), &first.artifacts), (Some("done"), &artifacts));
    assert_eq!(world.read_run(run.id).await, first);
    assert_eq!(finish(succeeded()).await, first);
    assert_eq!(finish(failed()).await, first, "the first word counts");
    assert_eq!(world.read_run(run.id).await, first);
    assert_eq!(world.read_task(run.task).await.consecutive_failures, 0);
}

pub(crate) async fn answers_a_late_repetition_and_changes_nothing(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let task = world.add(|task| task.policies.retry.max_retries = 2).await.id;
    let run = world.request(task).await.id;
    world.carried_out(run, failed()).await;
    let repeat = async || {
        let before = (world.read_run(run).await, world.read_task(task).await);
        let answer = kept(world.finish(run, fence(1), failed(), Vec::new()).await.unwrap());
        assert_eq!(answer, before.0);
        assert_eq!((world.read_run(run).await, world.read_task(task).await), before);
    };
    repeat().await;
    world.claimed(run, LONG).await;
    repeat().await;
    kept(world.finish(run, fence(2), failed(), Vec::new()).await.unwrap());
    repeat().await;
    world.carried_out(run, succeeded()).await;
    repeat().await;
    assert_eq!(world.read_run(run).await.failures, 2);
}

pub(crate) async fn waits_for_a_retry(fresh: &impl Fresh) {
    let world = World::hasty(fresh).await;
    let task = world
        .add(|task| {
            task.policies.retry.max_retries = 2;
            task.policies.retry.backoff_ms = 120_000;
        })
        .await
        .id;
    let run = world.request(task).await.id;
    for retry in 1..=2 {
        let before = world.now().await.unwrap();
        let waiting = world.carried_out(run, failed()).await;
        let RunStatus::Queued { due } = waiting.status else { panic!("{:?}", waiting.status) };
        assert!(due.since(before) >= 120_000 * retry, "the wait doubles");
        assert_eq!(world.unfinished(task).await.unwrap(), 1);
        match world.claim(run, &claimant("w2", Nonce::random()), LONG).await.unwrap() {
            Claim::Refused(refusal) => assert_eq!(refusal, Refusal::NotDue),
            // Two minutes are 120 ms here: on a busy machine they may have passed.
            Claim::Granted(claimed) => {
                assert!(world.now().await.unwrap() >= due);
                let given = AttemptEnd::GivenBack;
                kept(world.finish(run, claimed.run.fence(), given, Vec::new()).await.unwrap());
            }
        }
        world.reach(due).await;
    }
    let last = world.carried_out(run, failed()).await;
    assert!(last.status.ended());
    assert_eq!(last.failures, 3);
    assert_eq!(world.read_task(task).await.consecutive_failures, 1, "retries are one failure");
}

pub(crate) async fn gives_back_at_once(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let run = world.some_run().await.id;
    let given = world.carried_out(run, AttemptEnd::GivenBack).await;
    assert!(matches!(given.status, RunStatus::Queued { .. }), "{:?}", given.status);
    assert_eq!((given.failures, given.crashes), (0, 0));
    assert_eq!(world.claimed(run, LONG).await.run.attempt, 2);
}

pub(crate) async fn disables_a_task_that_fails_too_often(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let hour = world.now().await.unwrap() + LONG;
    let task = world
        .add(|task| {
            task.policies.max_consecutive_failures = Some(2);
            task.next_fire = Some(hour);
        })
        .await
        .id;
    let run_ends = async |end| {
        let run = world.request(task).await.id;
        world.carried_out(run, end).await;
        let task = world.read_task(task).await;
        (task.consecutive_failures, task.state)
    };
    assert_eq!(run_ends(failed()).await, (1, TaskState::Active));
    assert_eq!(run_ends(succeeded()).await, (0, TaskState::Active));
    assert_eq!(run_ends(failed()).await, (1, TaskState::Active));
    assert_eq!(world.next_fire().await.unwrap(), Some(hour));
    let refused =
        AttemptEnd::SubmitFailed { reason: Reason::BackendNotConfigured, result: "no backend".to_owned() };
    assert_eq!(run_ends(refused).await, (2, TaskState::Disabled));
    assert_eq!(world.read_task(task).await.next_fire, None);
    assert_eq!(world.due_tasks(hour, 10).await.unwrap(), []);
    assert_eq!(world.next_fire().await.unwrap(), None);
}

pub(crate) async fn makes_a_scheduler_read_a_disabled_task_again(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let task = world.add(|task| task.policies.max_consecutive_failures = Some(1)).await.id;
    let run = world.request(task).await.id;
    let read_before = world.plan(task).await;
    world.carried_out(run, failed()).await;
    assert_eq!(world.commit_fires(vec![read_before]).await.unwrap(), [Saved::Stale]);
    let stored = world.read_task(task).await;
    assert_eq!((stored.state, stored.consecutive_failures), (TaskState::Disabled, 1));
    let late = world.finish(run, fence(2), succeeded(), Vec::new()).await.unwrap();
    assert_eq!(late, Finished::Fenced(Refusal::Ended));
}
