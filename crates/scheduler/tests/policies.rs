//! What happens to fires that were missed, and to fires during a run.
#![allow(clippy::unwrap_used, reason = "what is unwrapped in vain fails the test")]

mod world;

use isochrone_domain::{
    Decision, EpochMillis, MisfirePolicy, Outcome, OverlapPolicy, Policies, Reason, RunStatus, Submission,
    TaskId,
};
use isochrone_scheduler::Event;
use isochrone_store::{FireRecord, Page, RunFilter, RunStore};
use world::{LEASE, MINUTE, NOON, World, clock_at, counted, every_minute, slow_clock_at};

/// Twenty seconds after a minute: the latest fire is late already, and the next is far away.
const RESTART: EpochMillis = EpochMillis(NOON.0 + 20_000);
const AN_HOUR_AGO: EpochMillis = EpochMillis(NOON.0 - 60 * MINUTE);

fn policies(misfire: MisfirePolicy, overlap: OverlapPolicy) -> Policies {
    Policies { misfire, overlap, ..Policies::default() }
}

fn reasons(rows: &[FireRecord]) -> std::collections::HashMap<Reason, usize> {
    counted(rows.iter().map(|row| row.reason))
}

/// Starts after a stop of an hour. Answers the ledger once nothing is due.
async fn after_an_hour(world: &World, submission: Submission) -> (TaskId, Vec<FireRecord>) {
    let task = world.insert(submission, AN_HOUR_AGO).await;
    let mut running = world.start();
    let until = running.idle().await;
    running.stop().await;
    let rows = world.ledger(task.id).await;
    if task.max_occurrences.is_none() {
        assert_eq!(until, Some(EpochMillis(NOON.0 + MINUTE)));
        let minutes: Vec<_> = rows.iter().map(|row| row.planned.0).collect();
        let all: Vec<_> = (0..=60).map(|index| AN_HOUR_AGO.0 + index * MINUTE).collect();
        assert_eq!(minutes, all, "each minute of the hour has its row");
    }
    (task.id, rows)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn run_latest_runs_one_and_says_why_not_the_others() {
    let world = World::new(slow_clock_at(RESTART)).await;
    let (task, rows) = after_an_hour(&world, every_minute(Policies::default())).await;
    assert_eq!(reasons(&rows), [(Reason::SkippedMisfire, 60), (Reason::Late, 1)].into());
    assert_eq!(rows[60].reason, Reason::Late);
    assert!(rows[60].outcome.is_none());
    for row in &rows[..60] {
        let (outcome, reason, _) = row.outcome.expect("a skipped fire has its outcome at once");
        assert_eq!((outcome, reason), (Outcome::Skipped, Reason::SkippedMisfire));
    }
    assert_eq!(world.task(task).await.occurrences, 1, "a skipped fire is no occurrence");
    assert_eq!(world.depth().await, 1);
    let filter = RunFilter { task: Some(task), ended: Some(true), ..RunFilter::default() };
    let skipped = world.store.runs(&filter, Page { offset: 0, limit: 100 }).await.unwrap();
    assert_eq!(skipped.total, 60);
    assert!(skipped.rows.iter().all(|run| run.status.wire() == "skipped" && run.result.is_some()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn run_all_makes_up_for_the_last_ones() {
    let world = World::new(slow_clock_at(RESTART)).await;
    let wanted = policies(MisfirePolicy::RunAll { max: 5 }, OverlapPolicy::Allow);
    let (task, rows) = after_an_hour(&world, every_minute(wanted)).await;
    assert_eq!(
        reasons(&rows),
        [(Reason::SkippedMisfire, 56), (Reason::CaughtUp, 4), (Reason::Late, 1)].into()
    );
    assert!(rows[..56].iter().all(|row| row.reason == Reason::SkippedMisfire), "the last five run");
    assert_eq!(world.task(task).await.occurrences, 5);
    assert_eq!(world.depth().await, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn skip_runs_what_is_within_its_grace() {
    let world = World::new(slow_clock_at(RESTART)).await;
    let wanted = policies(MisfirePolicy::Skip { grace_ms: 5 * 60_000 }, OverlapPolicy::Allow);
    let (_, rows) = after_an_hour(&world, every_minute(wanted)).await;
    let ran: Vec<_> = rows.iter().filter(|row| row.reason != Reason::SkippedMisfire).collect();
    assert_eq!(ran.len(), 5);
    assert_eq!(ran[0].planned.0, NOON.0 - 4 * MINUTE);

    let world = World::new(slow_clock_at(RESTART)).await;
    let wanted = policies(MisfirePolicy::Skip { grace_ms: 0 }, OverlapPolicy::Allow);
    let (task, rows) = after_an_hour(&world, every_minute(wanted)).await;
    assert_eq!(reasons(&rows), [(Reason::SkippedMisfire, 61)].into());
    assert_eq!(world.task(task).await.occurrences, 0);
    assert_eq!(world.depth().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_catch_up_stops_at_max_occurrences() {
    let world = World::new(slow_clock_at(RESTART)).await;
    let wanted = policies(MisfirePolicy::RunAll { max: 100 }, OverlapPolicy::Allow);
    let submission = Submission { max_occurrences: Some(3), ..every_minute(wanted) };
    let (task, rows) = after_an_hour(&world, submission).await;
    assert_eq!(reasons(&rows), [(Reason::CaughtUp, 3)].into());
    let task = world.task(task).await;
    assert_eq!((task.occurrences, task.next_fire), (3, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_catch_up_runs_one_after_the_other_where_runs_may_not_overlap() {
    let world = World::new(slow_clock_at(RESTART)).await;
    let wanted = policies(MisfirePolicy::RunAll { max: 4 }, OverlapPolicy::Queue);
    let task = world.insert(every_minute(wanted), AN_HOUR_AGO).await;
    let mut running = world.start();
    let mut planned = Vec::new();
    for _ in 0..4 {
        let run = running.published().await;
        assert_eq!(world.depth().await, 1, "the others wait");
        let claimed = world.take("w", LEASE).await;
        assert_eq!(claimed.run.id, run);
        planned.push(claimed.run.planned.0);
        world.succeed(&claimed).await;
    }
    running.idle_again().await;
    running.stop().await;
    assert_eq!(planned, [3, 2, 1, 0].map(|back| NOON.0 - back * MINUTE));
    assert_eq!(world.depth().await, 0);
    assert_eq!(world.task(task.id).await.occurrences, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_longer_than_a_commit_is_complete() {
    let world = World::new(slow_clock_at(RESTART)).await;
    let long_ago = EpochMillis(NOON.0 - 3_000 * MINUTE);
    let old = world.insert(every_minute(Policies::default()), long_ago).await;
    let young = world.insert(every_minute(Policies::default()), NOON).await;
    let mut running = world.start();
    running.idle().await;
    running.stop().await;
    let rows = world.ledger(old.id).await;
    let minutes: Vec<_> = rows.iter().map(|row| row.planned.0).collect();
    let all: Vec<_> = (0..=3_000).map(|index| long_ago.0 + index * MINUTE).collect();
    assert_eq!(minutes, all);
    assert_eq!(reasons(&rows), [(Reason::SkippedMisfire, 3_000), (Reason::Late, 1)].into());
    assert_eq!(world.ledger(young.id).await.len(), 1);
    assert_eq!(world.depth().await, 2);
}

/// A task whose first run nobody takes: what becomes of its second fire?
async fn second_fire(overlap: OverlapPolicy) -> (World, world::Running, TaskId, Decision, Reason) {
    let world = World::new(clock_at(NOON, 100)).await;
    let mut running = world.start();
    let grace = MisfirePolicy::RunAll { max: 1_000 };
    let task = world.create(every_minute(policies(grace, overlap))).await;
    let first = running.published().await;
    let (decision, reason) = running
        .until(|event| match event {
            Event::Fired { run, decision, reason, .. } if run != first => Some((decision, reason)),
            _ => None,
        })
        .await;
    (world, running, task.id, decision, reason)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overlap_skip_skips() {
    let (_world, running, _, decision, reason) = second_fire(OverlapPolicy::Skip).await;
    running.stop().await;
    assert_eq!((decision, reason), (Decision::Skip, Reason::SkippedOverlap));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overlap_queue_waits_and_follows() {
    let (world, mut running, task, decision, _) = second_fire(OverlapPolicy::Queue).await;
    assert_eq!(decision, Decision::RunAfterOthers);
    assert_eq!(world.depth().await, 1, "the second one waits in the store");
    running.events = running.events.resubscribe();
    let first = world.take("w", LEASE).await;
    let rows = world.ledger(task).await;
    assert_eq!(rows[0].run, first.run.id);
    world.succeed(&first).await;
    assert_eq!(running.published().await, rows[1].run, "its end lets the next one go");
    running.stop().await;
    let second = world.take("w", LEASE).await;
    assert_eq!(second.run.id, rows[1].run);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overlap_allow_runs_beside() {
    let (world, running, task, decision, _) = second_fire(OverlapPolicy::Allow).await;
    running.stop().await;
    assert_eq!(decision, Decision::Run);
    let rows = world.ledger(task).await;
    for row in &rows {
        assert!(matches!(world.stored_run(row.run).await.status, RunStatus::Queued { .. }));
    }
    assert_eq!(world.depth().await, rows.len() as u64);
}
