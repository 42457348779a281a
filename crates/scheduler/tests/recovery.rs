//! Lost wake-ups, lost workers, lost races, a queue that fails.
#![allow(clippy::unwrap_used, reason = "what is unwrapped in vain fails the test")]

mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use isochrone_domain::{
    Action, Claimant, Decision, EpochMillis, MisfirePolicy, OverlapPolicy, Policies, Refusal, Role, RunId,
    RunStatus, Submission, TaskType,
};
use isochrone_queue::local::LocalQueue;
use isochrone_queue::{Consumer, Heartbeats, Queue, QueueError, WakeUp};
use isochrone_scheduler::{Event, Scheduler, Wake};
use isochrone_store::sqlite::SqliteStore;
use isochrone_store::{AuditStore, Claim, Finished, RunStore};
use tokio::sync::broadcast;
use world::{
    DEADLINE, LEASE, MINUTE, NOON, Running, World, caller, clock_at, counted, every_minute, slow_clock_at,
};

/// Due at once, and not again during the test.
const DUE: EpochMillis = NOON;
const NOW: EpochMillis = EpochMillis(NOON.0 + 5_000);

fn each_runs() -> Policies {
    let misfire = MisfirePolicy::RunAll { max: 1_000 };
    Policies { misfire, overlap: OverlapPolicy::Allow, ..Policies::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_schedulers_on_one_store_fire_each_fire_once() {
    let world = World::new(clock_at(NOON, 150)).await;
    let mut tasks = Vec::new();
    for _ in 0..20 {
        tasks.push(world.create(every_minute(each_runs())).await.id);
    }
    // As another process has it: a store of its own on the same file.
    let other_store = Arc::new(SqliteStore::open(world.dir.path(), world.clock).unwrap());
    let one = world.scheduler();
    let two = Scheduler::new(other_store, Arc::new(world.queue.clone()), Wake::new());
    let watchers = [one.events(), two.events()];
    let (mut one, two) = (Running::start(one), Running::start(two));
    one.until(|event| match event {
        Event::Fired { planned, .. } => (planned.0 >= NOON.0 + 12 * MINUTE).then_some(()),
        _ => None,
    })
    .await;
    one.stop().await;
    two.stop().await;

    let fired = counted(watchers.into_iter().flat_map(fired_runs));
    assert!(fired.values().all(|times| *times == 1), "no fire was won twice");
    let ledger = world.store.fires(None, EpochMillis(0)..EpochMillis::MAX).await.unwrap();
    assert_eq!(ledger.len(), fired.len());
    for task in tasks {
        let rows = world.ledger(task).await;
        let minutes: Vec<_> = rows.iter().map(|row| row.planned.0).collect();
        let all: Vec<_> = (0..rows.len() as i64).map(|index| minutes[0] + index * MINUTE).collect();
        assert_eq!(minutes, all, "no minute is missing or doubled");
        assert!(rows.len() >= 11);
        assert_eq!(world.task(task).await.occurrences, rows.len() as u64, "each is counted once");
    }
}

fn fired_runs(mut events: broadcast::Receiver<Event>) -> Vec<RunId> {
    let mut runs = Vec::new();
    while let Ok(event) = events.try_recv() {
        if let Event::Fired { run, .. } = event {
            runs.push(run);
        }
    }
    runs
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_worker_died_goes_to_another() {
    let world = World::new(slow_clock_at(NOW)).await;
    let task = world.insert(every_minute(each_runs()), DUE).await;
    let mut running = world.start();
    let run = running.published().await;
    let lost = world.take("dies", Duration::from_millis(300)).await;
    assert_eq!((lost.run.id, lost.run.attempt), (run, 1));

    let status = running
        .until(|event| match event {
            Event::Reaped { run: reaped, status } => (reaped == run).then_some(status),
            _ => None,
        })
        .await;
    assert!(matches!(status, RunStatus::Queued { .. }));
    assert_eq!(running.published().await, run);
    running.stop().await;

    let second = world.take("lives", LEASE).await;
    assert_eq!((second.run.id, second.run.attempt, second.run.crashes), (run, 2, 1));
    let end = isochrone_domain::AttemptEnd::Succeeded { result: "too late".to_owned() };
    let late = world.store.finish(run, lost.run.fence(), end, Vec::new()).await.unwrap();
    assert!(matches!(late, Finished::Fenced(_)), "{late:?}");
    world.succeed(&second).await;
    assert_eq!(world.stored_run(run).await.status.wire(), "succeeded");
    assert_eq!(world.task(task.id).await.occurrences, 1, "a second attempt is no second occurrence");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_run_is_published_again_when_its_retry_is_due() {
    let world = World::new(slow_clock_at(NOW)).await;
    let retry = isochrone_domain::RetryPolicy { max_retries: 1, backoff_ms: 1_500 };
    let task = world.insert(every_minute(Policies { retry, ..each_runs() }), DUE).await;
    let mut running = world.start();
    let run = running.published().await;
    let first = world.take("w", LEASE).await;
    let end = isochrone_domain::AttemptEnd::Failed {
        reason: isochrone_domain::Reason::ExecutionError,
        result: "no".to_owned(),
    };
    let Finished::Kept(failed) = world.store.finish(run, first.run.fence(), end, Vec::new()).await.unwrap()
    else {
        panic!("the attempt held its lease")
    };
    let RunStatus::Queued { due } = failed.status else { panic!("{:?}", failed.status) };
    world.wake.wake();
    assert_eq!(running.published().await, run);
    assert!(world.clock.now() >= due, "not before it is due");
    running.stop().await;
    let second = world.take("w", LEASE).await;
    assert_eq!((second.run.id, second.run.attempt), (first.run.id, 2));
    assert_eq!(world.task(task.id).await.occurrences, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_local_queue_is_rebuilt_at_start() {
    let mut world = World::new(slow_clock_at(NOW)).await;
    for _ in 0..30 {
        world.insert(every_minute(each_runs()), DUE).await;
    }
    let mut running = world.start();
    running.idle().await;
    running.stop().await;
    assert_eq!(world.depth().await, 30);
    let taken = world.take("w", LEASE).await;

    // The process ended, and what its queue held is gone.
    world.queue = LocalQueue::new();
    let mut running = world.start();
    running.idle().await;
    running.stop().await;
    assert_eq!(world.depth().await, 29);
    for _ in 0..29 {
        assert_ne!(world.take("w", LEASE).await.run.id, taken.run.id);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_local_queue_is_rebuilt_whole_at_start() {
    const RUNS: u64 = 1_300;
    let mut world = World::new(slow_clock_at(NOW)).await;
    // The ends included: 650 each.
    for _ in 0..2 {
        world.insert(every_minute(each_runs()), EpochMillis(DUE.0 - 649 * MINUTE)).await;
    }
    let mut running = world.start();
    running.idle().await;
    running.stop().await;
    assert_eq!(world.depth().await, RUNS);

    world.queue = LocalQueue::new();
    let mut running = world.start();
    running.idle().await;
    running.stop().await;
    assert_eq!(world.depth().await, RUNS, "each once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_wake_ups_are_published_again_and_a_backlog_is_not() {
    let world = World::new(slow_clock_at(NOW)).await;
    for _ in 0..10 {
        world.insert(every_minute(each_runs()), DUE).await;
    }
    let scheduler = world.scheduler().compare_every(Duration::from_millis(50));
    let mut running = Running::start(scheduler);
    for _ in 0..10 {
        running.published().await;
    }
    for _ in 0..4 {
        running.compared(world::KIND).await;
    }
    assert_eq!(world.depth().await, 10, "a backlog is not published over and over");

    let mut consumer = world.queue.consume(world::KIND, 8).await.unwrap();
    let mut purged = Vec::new();
    for _ in 0..4 {
        let delivery = consumer.next().await.unwrap();
        purged.push(delivery.wake_up().run);
        delivery.ack().await.unwrap();
    }
    running.events = running.events.resubscribe();
    for _ in 0..4 {
        running.published().await;
    }
    for _ in 0..4 {
        running.compared(world::KIND).await;
    }
    running.stop().await;
    assert_eq!(world.depth().await, 10, "as many as were lost");
}

/// One type's queue refuses everything: the others' runs are published all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_type_whose_queue_refuses_holds_up_no_other() {
    let world = World::new(slow_clock_at(NOW)).await;
    for _ in 0..700 {
        world.insert(every_minute(each_runs()), DUE).await;
    }
    let other = Submission {
        kind: TaskType::GPService,
        task_url: Some("https://gis.example.com/arcgis/rest/services/a/GPServer/b".to_owned()),
        parameters: Some("{}".to_owned()),
        ..every_minute(each_runs())
    };
    let other = world.insert(other, DUE).await;
    let queue = Arc::new(Fragile {
        inner: world.queue.clone(),
        cut: AtomicBool::new(false),
        refused: Some(world::KIND),
    });
    let mut running = Running::start(Scheduler::new(world.store.clone(), queue, world.wake.clone()));
    let run = running.published().await;
    assert_eq!(world.stored_run(run).await.task, other.id);
    // A retry comes by the outbox, not by the short cut.
    let claim = world.store.claim(run, &Claimant::new("w"), LEASE).await.unwrap();
    let Claim::Granted(claimed) = claim else { panic!("{claim:?}") };
    let back = isochrone_domain::AttemptEnd::GivenBack;
    let kept = world.store.finish(run, claimed.run.fence(), back, Vec::new()).await.unwrap();
    assert!(matches!(kept, Finished::Kept(_)), "{kept:?}");
    assert_eq!(running.published().await, run);
    running.stop().await;
    assert_eq!(world.depth().await, 0);
}

/// A queue that does not answer holds up no decision.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_due_is_decided_while_the_queue_hangs() {
    let world = World::new(slow_clock_at(NOW)).await;
    let mut tasks = Vec::new();
    for _ in 0..300 {
        tasks.push(world.insert(every_minute(each_runs()), DUE).await.id);
    }
    let queue =
        Arc::new(Hanging { inner: world.queue.clone(), hangs: tokio::sync::watch::Sender::new(true) });
    let mut running = Running::start(Scheduler::new(world.store.clone(), queue.clone(), world.wake.clone()));
    for _ in &tasks {
        let decision = running
            .until(|event| match event {
                Event::Fired { decision, .. } => Some(decision),
                _ => None,
            })
            .await;
        assert_eq!(decision, Decision::Run);
    }
    assert_eq!(world.depth().await, 0);
    queue.hangs.send_replace(false);
    let mut published = std::collections::HashSet::new();
    while published.len() < tasks.len() {
        published.insert(running.published().await);
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_run_gets_a_worker_although_a_purge_took_the_youngest() {
    let world = World::new(slow_clock_at(NOW)).await;
    for _ in 0..10 {
        world.insert(every_minute(each_runs()), DUE).await;
    }
    let scheduler = world.scheduler().compare_every(Duration::from_millis(50));
    let mut running = Running::start(scheduler);
    for _ in 0..10 {
        running.published().await;
    }
    let mut consumer = world.queue.consume(world::KIND, 8).await.unwrap();
    let mut all = Vec::new();
    for _ in 0..10 {
        all.push(consumer.next().await.unwrap());
    }
    for lost in all.drain(5..) {
        lost.ack().await.unwrap();
    }
    drop(all);
    let mut claimed = 0;
    while claimed < 10 {
        let delivery = tokio::time::timeout(DEADLINE, consumer.next()).await.expect("it comes back").unwrap();
        let claim = world.store.claim(delivery.wake_up().run, &Claimant::new("w"), LEASE).await.unwrap();
        // A double is refused and does no harm.
        claimed += usize::from(matches!(claim, Claim::Granted(_)));
        delivery.ack().await.unwrap();
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_deleted_while_its_run_is_queued_runs_no_more() {
    let world = World::new(slow_clock_at(NOW)).await;
    let task = world.insert(every_minute(each_runs()), DUE).await;
    let mut running = world.start();
    let run = running.published().await;
    world.submissions.delete(&caller("pia", Role::Publisher), task.id).await.unwrap();
    assert_eq!(running.idle_again().await, None);
    running.stop().await;

    assert_eq!(world.store.run(run).await.unwrap(), None);
    let claim = world.store.claim(run, &Claimant::new("w"), LEASE).await.unwrap();
    assert_eq!(claim, Claim::Refused(Refusal::Deleted));
    assert_eq!(world.ledger(task.id).await.len(), 1, "the ledger keeps the fire");
    let deleted = world.audit().await.into_iter().find(|entry| entry.action == Action::DeleteTask);
    let deleted = deleted.expect("the log keeps who deleted it");
    assert_eq!((deleted.task, deleted.actor.as_str()), (Some(task.id), "pia"));
}

/// A queue that can be cut off.
struct Fragile {
    inner: LocalQueue,
    cut: AtomicBool,
    /// It takes nothing of this type.
    refused: Option<TaskType>,
}

#[async_trait]
impl Queue for Fragile {
    async fn publish(&self, wake_ups: &[WakeUp]) -> Vec<Result<(), QueueError>> {
        if self.cut.load(Ordering::SeqCst) {
            return vec![Err(QueueError::Unavailable("cut off".to_owned())); wake_ups.len()];
        }
        if wake_ups.iter().any(|wake_up| Some(wake_up.kind) == self.refused) {
            return vec![Err(QueueError::Unavailable("full".to_owned())); wake_ups.len()];
        }
        self.inner.publish(wake_ups).await
    }

    async fn consume(&self, kind: TaskType, slots: usize) -> Result<Box<dyn Consumer>, QueueError> {
        self.inner.consume(kind, slots).await
    }

    async fn depth(&self, kind: TaskType) -> Result<u64, QueueError> {
        if self.cut.load(Ordering::SeqCst) {
            return Err(QueueError::Unavailable("cut off".to_owned()));
        }
        self.inner.depth(kind).await
    }

    async fn send_heartbeat(&self, sent: EpochMillis) -> Result<(), QueueError> {
        self.inner.send_heartbeat(sent).await
    }

    async fn heartbeats(&self) -> Result<Box<dyn Heartbeats>, QueueError> {
        self.inner.heartbeats().await
    }
}

/// A queue that does not answer while it hangs.
struct Hanging {
    inner: LocalQueue,
    hangs: tokio::sync::watch::Sender<bool>,
}

#[async_trait]
impl Queue for Hanging {
    async fn publish(&self, wake_ups: &[WakeUp]) -> Vec<Result<(), QueueError>> {
        let mut hangs = self.hangs.subscribe();
        hangs.wait_for(|hangs| !hangs).await.unwrap();
        self.inner.publish(wake_ups).await
    }

    async fn consume(&self, kind: TaskType, slots: usize) -> Result<Box<dyn Consumer>, QueueError> {
        self.inner.consume(kind, slots).await
    }

    async fn depth(&self, kind: TaskType) -> Result<u64, QueueError> {
        let mut hangs = self.hangs.subscribe();
        hangs.wait_for(|hangs| !hangs).await.unwrap();
        self.inner.depth(kind).await
    }

    async fn send_heartbeat(&self, sent: EpochMillis) -> Result<(), QueueError> {
        self.inner.send_heartbeat(sent).await
    }

    async fn heartbeats(&self) -> Result<Box<dyn Heartbeats>, QueueError> {
        self.inner.heartbeats().await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fires_go_on_while_the_queue_is_cut_off_and_all_are_published_after() {
    let world = World::new(clock_at(NOON, 200)).await;
    let queue = Arc::new(Fragile { inner: world.queue.clone(), cut: AtomicBool::new(true), refused: None });
    let scheduler = Scheduler::new(world.store.clone(), queue.clone(), world.wake.clone());
    let mut running = Running::start(scheduler);
    let task = world.create(every_minute(each_runs())).await;
    let fires = running.fires(task.id, 6).await;
    assert_eq!(world.depth().await, 0);

    queue.cut.store(false, Ordering::SeqCst);
    let mut published = Vec::new();
    while !fires.iter().all(|(_, run)| published.contains(run)) {
        published.push(running.published().await);
    }
    running.stop().await;
    assert!(counted(published).values().all(|times| *times == 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_fails_is_tried_again() {
    let world = World::new(slow_clock_at(NOW)).await;
    let task = world.insert(every_minute(each_runs()), DUE).await;
    // Every read of what is due fails.
    let db = rusqlite::Connection::open(world.dir.path().join("isochrone.db")).unwrap();
    db.busy_timeout(DEADLINE).unwrap();
    db.execute("ALTER TABLE tasks RENAME TO missing", []).unwrap();
    let mut running = world.start();
    let fired = running.until(|event| matches!(event, Event::Fired { .. }).then_some(event));
    let wait = tokio::time::timeout(Duration::from_millis(300), fired).await;
    assert!(wait.is_err(), "{wait:?}");
    db.execute("ALTER TABLE missing RENAME TO tasks", []).unwrap();
    let decision = running
        .until(|event| match event {
            Event::Fired { task: fired, decision, .. } => (fired == task.id).then_some(decision),
            _ => None,
        })
        .await;
    assert_eq!(decision, Decision::Run);
    running.stop().await;
}
