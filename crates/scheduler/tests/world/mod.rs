//! What the tests stand on: the real SQLite store, the local queue, a fast clock, a small worker.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use isochrone_domain::{
    Action, AttemptEnd, AuditEntry, Claimant, CronFields, EpochMillis, Limits, Policies, Role, Run, RunId,
    Submission, Task, TaskId, TaskType, UnknownFields, User,
};
use isochrone_queue::Queue;
use isochrone_queue::local::LocalQueue;
use isochrone_scheduler::{Caller, Event, Quotas, Scheduler, Submissions, Wake};
use isochrone_store::sqlite::SqliteStore;
use isochrone_store::{
    AccountStore, AuditStore, Claim, Claimed, Clock, Finished, FireRecord, RunStore, TaskStore,
};
use tempfile::TempDir;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Only a failing test waits as long.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
/// Longer than any test, on any clock.
pub(crate) const LEASE: Duration = Duration::from_hours(24);
pub(crate) const MINUTE: i64 = 60_000;
/// A Tuesday.
pub(crate) const NOON: EpochMillis = EpochMillis(1_893_499_200_000);
pub(crate) const KIND: TaskType = TaskType::ExecuteNotebook;

/// A clock that shows `shown` now and runs `speed` (at least 2) times as fast as the world's.
pub(crate) fn clock_at(shown: EpochMillis, speed: u32) -> Clock {
    let real = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let speed_ms = i64::from(speed);
    Clock::faster(speed, EpochMillis((real * speed_ms - shown.0) / (speed_ms - 1)))
}

/// A clock that will not reach the next minute during a test.
pub(crate) fn slow_clock_at(shown: EpochMillis) -> Clock {
    clock_at(shown, 2)
}

/// A server without its front door.
pub(crate) struct World {
    pub(crate) dir: TempDir,
    pub(crate) clock: Clock,
    pub(crate) store: Arc<SqliteStore>,
    pub(crate) queue: LocalQueue,
    pub(crate) wake: Wake,
    pub(crate) submissions: Submissions,
}

impl World {
    pub(crate) async fn new(clock: Clock) -> World {
        World::with_quotas(clock, Quotas::default()).await
    }

    pub(crate) async fn with_quotas(clock: Clock, quotas: Quotas) -> World {
        let dir = TempDir::new().unwrap();
        let store = Arc::new(SqliteStore::open(dir.path(), clock).unwrap());
        let wake = Wake::new();
        let submissions = Submissions::new(store.clone(), Limits::default(), quotas, wake.clone());
        for (name, role) in [
            ("ada", Role::Admin),
            ("pia", Role::Publisher),
            ("paul", Role::Publisher),
            ("vera", Role::Viewer),
            ("vito", Role::Viewer),
        ] {
            let user = user(name, role);
            assert!(store.add_user(&user, entry(Action::SetUser, clock.now())).await.unwrap());
        }
        World { dir, clock, store, queue: LocalQueue::new(), wake, submissions }
    }

    pub(crate) fn scheduler(&self) -> Scheduler {
        Scheduler::new(self.store.clone(), Arc::new(self.queue.clone()), self.wake.clone())
    }

    pub(crate) fn start(&self) -> Running {
        Running::start(self.scheduler())
    }

    /// Makes a task of pia's.
    pub(crate) async fn create(&self, submission: Submission) -> Task {
        self.submissions.create(&caller("pia", Role::Publisher), "pia", submission).await.unwrap().task
    }

    /// Keeps a task as it is, with a fire that may lie in the past: as after a stop.
    pub(crate) async fn insert(&self, submission: Submission, next_fire: EpochMillis) -> Task {
        let before = EpochMillis(next_fire.0 - 1);
        let id = TaskId::random();
        let task = isochrone_domain::accept(submission, id, "pia", before, &Limits::default()).unwrap();
        assert_eq!(task.next_fire, Some(next_fire));
        let saved = self.store.insert_task(&task, entry(Action::CreateTask, before)).await.unwrap();
        assert_eq!(saved, isochrone_store::Saved::Done);
        task
    }

    pub(crate) async fn task(&self, id: TaskId) -> Task {
        self.store.task(id).await.unwrap().expect("the task is there")
    }

    pub(crate) async fn stored_run(&self, id: RunId) -> Run {
        self.store.run(id).await.unwrap().expect("the run is there")
    }

    /// The ledger of a task.
    pub(crate) async fn ledger(&self, task: TaskId) -> Vec<FireRecord> {
        self.store.fires(Some(task), EpochMillis(0)..EpochMillis::MAX).await.unwrap()
    }

    pub(crate) async fn audit(&self) -> Vec<AuditEntry> {
        self.store.audit(EpochMillis(0)..EpochMillis::MAX).await.unwrap()
    }

    pub(crate) async fn depth(&self) -> u64 {
        self.queue.depth(KIND).await.unwrap()
    }

    /// Takes the next wake-up as a worker does: claims its run, and acknowledges.
    pub(crate) async fn take(&self, worker: &str, lease: Duration) -> Claimed {
        let mut consumer = self.queue.consume(KIND, 8).await.unwrap();
        let delivery = timeout(DEADLINE, consumer.next()).await.expect("a wake-up comes").unwrap();
        let claim = self.store.claim(delivery.wake_up().run, &Claimant::new(worker), lease).await.unwrap();
        delivery.ack().await.unwrap();
        match claim {
            Claim::Granted(claimed) => *claimed,
            Claim::Refused(refusal) => panic!("refused: {refusal}"),
        }
    }

    /// Ends an attempt well, and wakes the loop as a worker does.
    pub(crate) async fn succeed(&self, claimed: &Claimed) {
        let end = AttemptEnd::Succeeded { result: "done".to_owned() };
        let run = &claimed.run;
        let finished = self.store.finish(run.id, run.fence(), end, Vec::new()).await.unwrap();
        assert!(matches!(finished, Finished::Kept(_)));
        self.wake.wake();
    }
}

/// A scheduler's loop that runs, and what it tells.
pub(crate) struct Running {
    pub(crate) events: broadcast::Receiver<Event>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    pub(crate) fn start(scheduler: Scheduler) -> Running {
        let events = scheduler.events();
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(scheduler.run(shutdown.clone()));
        Running { events, shutdown, task }
    }

    pub(crate) async fn next(&mut self) -> Event {
        timeout(DEADLINE, self.events.recv()).await.expect("something happens").expect("none is missed")
    }

    /// The next event of which `pick` makes something.
    pub(crate) async fn until<T>(&mut self, mut pick: impl FnMut(Event) -> Option<T>) -> T {
        let all = async {
            loop {
                if let Some(found) = pick(self.events.recv().await.expect("none is missed")) {
                    return found;
                }
            }
        };
        timeout(DEADLINE, all).await.expect("the awaited event comes in time")
    }

    /// The next fires of a task: their minutes and runs.
    pub(crate) async fn fires(&mut self, of: TaskId, count: usize) -> Vec<(EpochMillis, RunId)> {
        let mut fires = Vec::new();
        self.until(|event| {
            if let Event::Fired { task, run, planned, .. } = event
                && task == of
            {
                fires.push((planned, run));
            }
            (fires.len() >= count).then_some(())
        })
        .await;
        fires
    }

    pub(crate) async fn published(&mut self) -> RunId {
        self.until(|event| match event {
            Event::Published { run } => Some(run),
            _ => None,
        })
        .await
    }

    /// Waits for a comparison of outbox and queue.
    pub(crate) async fn compared(&mut self, of: TaskType) {
        self.until(|event| (event == Event::Compared { kind: of }).then_some(())).await;
    }

    /// Waits until the loop has nothing to do.
    pub(crate) async fn idle(&mut self) -> Option<EpochMillis> {
        self.until(|event| match event {
            Event::Idle { until } => Some(until),
            _ => None,
        })
        .await
    }

    /// Forgets what was told so far, and waits until the loop has nothing to do.
    pub(crate) async fn idle_again(&mut self) -> Option<EpochMillis> {
        self.events = self.events.resubscribe();
        self.idle().await
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        timeout(DEADLINE, self.task).await.expect("the loop ends on shutdown").expect("it does not panic");
    }
}

pub(crate) fn user(name: &str, role: Role) -> User {
    User {
        name: name.to_owned(),
        role,
        password_hash: String::new(),
        created: NOON,
        last_login: None,
        disabled: None,
        epoch: 0,
        unknown: UnknownFields::NONE,
    }
}

pub(crate) fn caller(name: &str, role: Role) -> Caller {
    Caller { user: user(name, role), ip: Some("192.0.2.7".to_owned()) }
}

pub(crate) fn entry(action: Action, at: EpochMillis) -> AuditEntry {
    AuditEntry {
        at,
        actor: "test".to_owned(),
        ip: None,
        action,
        task: None,
        run: None,
        item: None,
        title: String::new(),
        owner: String::new(),
    }
}

pub(crate) fn cron(minute: &str, hour: &str) -> CronFields {
    CronFields {
        minute: minute.to_owned(),
        hour: hour.to_owned(),
        day_of_month: "*".to_owned(),
        month: "*".to_owned(),
        day_of_week: "?".to_owned(),
    }
}

/// A notebook's schedule.
pub(crate) fn submission(cron: CronFields, policies: Policies) -> Submission {
    Submission {
        title: "a test".to_owned(),
        kind: KIND,
        item_id: Some(isochrone_domain::ItemId::from_bytes([5; 16])),
        task_url: None,
        parameters: None,
        cron,
        start: None,
        end: None,
        max_occurrences: None,
        policies,
    }
}

pub(crate) fn every_minute(policies: Policies) -> Submission {
    submission(cron("*", "*"), policies)
}

/// How often each thing is there.
pub(crate) fn counted<T: Eq + std::hash::Hash>(things: impl IntoIterator<Item = T>) -> HashMap<T, usize> {
    let mut counts = HashMap::new();
    for thing in things {
        *counts.entry(thing).or_default() += 1;
    }
    counts
}
