//! Runs that wait for the runs before them.

use isochrone_domain::{Action, CancelReason, CrashPolicy, OverlapPolicy, RunStatus};
use isochrone_store::{Cancelled, Saved};

use super::Fresh;
use super::world::{World, entry, failed, plan, succeeded};

async fn waits(world: &World, run: isochrone_domain::RunId) -> bool {
    world.read_run(run).await.status == RunStatus::Waiting
}

pub(crate) async fn lets_waiting_runs_go_one_by_one(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let task = world.add_queueing().await.id;
    let mut asked = Vec::new();
    for _ in 0..4 {
        asked.push(world.request(task).await.id);
    }
    for (index, run) in asked.iter().enumerate() {
        let outbox = world.outbox().await;
        assert_eq!(outbox, [*run], "exactly the next one is queued");
        for later in &asked[index + 1..] {
            assert!(waits(&world, *later).await);
        }
        let end = if index == 1 { failed() } else { succeeded() };
        world.carried_out(*run, end).await;
    }
    assert_eq!(world.unfinished(task).await.unwrap(), 0);
}

pub(crate) async fn lets_none_go_while_another_is_ahead(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let task = world
        .add(|task| {
            task.policies.overlap = OverlapPolicy::Queue;
            task.policies.retry.max_retries = 1;
            task.policies.retry.backoff_ms = 3_600_000;
        })
        .await
        .id;
    let first = world.request(task).await.id;
    let second = world.request(task).await.id;
    let third = world.request(task).await.id;
    let cancelled =
        world.cancel_run(second, CancelReason::Requested, entry(Action::CancelRun, task)).await.unwrap();
    assert!(matches!(cancelled, Cancelled::Done(_)));
    assert!(waits(&world, third).await, "the first has not ended");
    world.carried_out(first, failed()).await;
    assert!(waits(&world, third).await, "the first has a retry left");
    let cancelled =
        world.cancel_run(first, CancelReason::Requested, entry(Action::CancelRun, task)).await.unwrap();
    assert!(matches!(cancelled, Cancelled::Done(_)));
    assert!(!waits(&world, third).await);
}

/// The run ahead ends between the scheduler's look and its commit.
pub(crate) async fn lets_go_what_waits_for_nothing(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let task = world.add_queueing().await.id;
    let ahead = world.request(task).await.id;
    let commit = plan(&world.read_task(task).await, 1, world.now().await.unwrap());
    let run = commit.runs.last().expect("a fire is due").clone();
    assert_eq!(run.status, RunStatus::Waiting);
    world.carried_out(ahead, succeeded()).await;
    assert_eq!(world.commit_fires(vec![commit]).await.unwrap(), [Saved::Done]);
    assert!(!waits(&world, run.id).await);
    world.carried_out(run.id, succeeded()).await;
}

pub(crate) async fn lets_the_next_go_when_a_lease_lapses_for_good(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let task = world
        .add(|task| {
            task.policies.overlap = OverlapPolicy::Queue;
            task.policies.crash = CrashPolicy::AtMostOnce;
        })
        .await
        .id;
    let first = world.request(task).await.id;
    let second = world.request(task).await.id;
    world.lost(first).await;
    assert!(world.read_run(first).await.status.ended());
    assert!(!waits(&world, second).await);
}

pub(crate) async fn lets_all_go_once_they_may_overlap(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let task = world.add_queueing().await.id;
    let mut asked = Vec::new();
    for _ in 0..4 {
        asked.push(world.request(task).await.id);
    }
    let mut changed = world.read_task(task).await;
    changed.title = "Another".into();
    assert_eq!(world.save_task(&changed, entry(Action::UpdateTask, task)).await.unwrap(), Saved::Done);
    assert_eq!(world.outbox().await.len(), 1, "they still wait for each other");
    let mut changed = world.read_task(task).await;
    changed.policies.overlap = OverlapPolicy::Allow;
    assert_eq!(world.save_task(&changed, entry(Action::UpdateTask, task)).await.unwrap(), Saved::Done);
    let outbox = world.outbox().await;
    assert_eq!(outbox, asked);
}
