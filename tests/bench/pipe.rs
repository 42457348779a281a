//! Isochrone's own parts in one process: fire, commit, publish with confirm, deliver, claim, acknowledge,
//! execute nothing, finish.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use async_trait::async_trait;
use futures::StreamExt;
use isochrone_domain::{
    Action, AttemptEnd, AuditEntry, CronFields, EpochMillis, Limits, Policies, Role, Submission, Task,
    TaskId, TaskType, UnknownFields, User, accept,
};
use isochrone_queue::Queue;
use isochrone_queue::rabbitmq::RabbitQueue;
use isochrone_scheduler::{Event, Scheduler, Wake};
use isochrone_store::redis::{Options, RedisStore};
use isochrone_store::{AccountStore, AuditStore, Saved, StoredItems, TaskStore};
use isochrone_telemetry::Metrics;
use isochrone_worker::{Attempt, Executor, Worker, WorkerConfig, WorkerParts};
use object_store::memory::InMemory;
use tokio::sync::{Notify, broadcast};
use tokio_util::sync::CancellationToken;

const KIND: TaskType = TaskType::ExecuteReport;

/// As many as `up` has.
const SLOTS: usize = 256;

/// A task's parameters: about a kilobyte.
const PARAMETERS: usize = 1_000;

/// What was seen, from the scheduler's start on.
pub(crate) struct Seen {
    /// Until the queue had every run.
    pub(crate) published: Duration,
    /// Until every run had ended.
    pub(crate) ended: Duration,
}

/// The whole way of so many runs.
pub(crate) async fn run(redis: &str, rabbit: &str, runs: usize) -> Result<Seen> {
    let (store, queue) = open(redis, rabbit, "pipe").await?;
    add_tasks(&store, runs).await?;
    let nothing = Arc::new(Nothing { ended: AtomicUsize::new(0), runs, all: Notify::new() });
    let parts = WorkerParts {
        metrics: Metrics::new(),
        items: Arc::new(StoredItems(store.clone())),
        store: store.clone(),
        queue: queue.clone(),
        artifacts: Arc::new(InMemory::new()),
        on_finished: Box::new({
            let nothing = Arc::clone(&nothing);
            move || nothing.one_has_ended()
        }),
    };
    let executor = Arc::clone(&nothing) as Arc<dyn Executor>;
    let worker = Worker::new(parts, [executor], WorkerConfig { slots: SLOTS, ..WorkerConfig::new("bench") });
    let stop = CancellationToken::new();
    let working = tokio::spawn(worker.run(stop.clone()));
    let scheduler = Scheduler::new(store.clone(), queue, Wake::new());
    let events = scheduler.events();
    let began = Instant::now();
    let scheduling = tokio::spawn(scheduler.run(stop.clone()));
    let published = all_published(events, runs).await?;
    nothing.all.notified().await;
    let ended = began.elapsed();
    stop.cancel();
    working.await?;
    scheduling.await?;
    // A figure for work that was not done would be none.
    let fires = store.fires(None, EpochMillis(0)..EpochMillis::MAX).await?;
    ensure!(fires.len() == runs && fires.iter().all(|fire| fire.outcome.is_some()), "some run has not ended");
    Ok(Seen { published: published.duration_since(began), ended })
}

/// Fire, commit and publish alone; gives how long until the queue had every run.
pub(crate) async fn publish(redis: &str, rabbit: &str, runs: usize) -> Result<Duration> {
    let (store, queue) = open(redis, rabbit, "publish").await?;
    add_tasks(&store, runs).await?;
    let scheduler = Scheduler::new(store, queue.clone(), Wake::new());
    let events = scheduler.events();
    let stop = CancellationToken::new();
    let began = Instant::now();
    let scheduling = tokio::spawn(scheduler.run(stop.clone()));
    let published = all_published(events, runs).await?;
    stop.cancel();
    scheduling.await?;
    ensure!(queue.depth(KIND).await? >= runs as u64, "the queue does not have every run");
    Ok(published.duration_since(began))
}

async fn open(redis: &str, rabbit: &str, prefix: &str) -> Result<(Arc<RedisStore>, Arc<RabbitQueue>)> {
    let options = Options { prefix: prefix.to_owned(), ..Options::default() };
    let store = Arc::new(RedisStore::open(redis, options).await?);
    let queue = Arc::new(RabbitQueue::connect(rabbit, isochrone_queue::rabbitmq::Options::default()).await?);
    Ok((store, queue))
}

async fn all_published(mut events: broadcast::Receiver<Event>, runs: usize) -> Result<Instant> {
    let mut published = 0;
    while published < runs {
        match events.recv().await {
            Ok(Event::Published { .. }) => published += 1,
            Ok(_) => {}
            Err(error) => anyhow::bail!("the watcher missed something: {error}"),
        }
    }
    Ok(Instant::now())
}

/// Tasks with one fire each, which is due.
async fn add_tasks(store: &Arc<RedisStore>, count: usize) -> Result<()> {
    let now = store.now().await?;
    let minute = EpochMillis(now.0.div_euclid(60_000) * 60_000);
    let ann = User {
        name: "ann".to_owned(),
        role: Role::Publisher,
        password_hash: String::new(),
        created: now,
        last_login: None,
        disabled: None,
        epoch: 0,
        unknown: UnknownFields::NONE,
    };
    store.add_user(&ann, AuditEntry::new(now, "ann", Action::SetUser, "ann", "ann")).await?;
    let kept = futures::stream::iter((0..count).map(|n| {
        let (store, task) = (Arc::clone(store), task(n, minute));
        async move {
            let audit = entry(&task, minute);
            Ok::<_, anyhow::Error>(store.insert_task(&task, audit).await? == Saved::Done)
        }
    }));
    let kept: Vec<Result<bool>> = kept.buffer_unordered(256).collect().await;
    for kept in kept {
        ensure!(kept?, "a task was not kept");
    }
    Ok(())
}

/// Due at this minute, and not again before tomorrow.
fn task(n: usize, minute: EpochMillis) -> Task {
    let star = || "*".to_owned();
    let minutes = minute.0 / 60_000;
    let submission = Submission {
        title: format!("task {n}"),
        kind: KIND,
        item_id: None,
        task_url: None,
        parameters: Some(format!(r#"{{"text":"{}"}}"#, "x".repeat(PARAMETERS))),
        cron: CronFields {
            minute: (minutes % 60).to_string(),
            hour: (minutes / 60 % 24).to_string(),
            day_of_month: star(),
            month: star(),
            day_of_week: "?".to_owned(),
        },
        start: None,
        end: None,
        max_occurrences: Some(1),
        policies: Policies::default(),
    };
    let before = EpochMillis(minute.0 - 1);
    accept(submission, TaskId::random(), "ann", before, &Limits::default()).expect("the submission is right")
}

fn entry(task: &Task, at: EpochMillis) -> AuditEntry {
    AuditEntry {
        at,
        actor: "ann".to_owned(),
        ip: None,
        action: Action::CreateTask,
        task: Some(task.id),
        run: None,
        item: None,
        title: task.title.clone(),
        owner: task.owner.clone(),
    }
}

/// Executes nothing, and counts.
struct Nothing {
    ended: AtomicUsize,
    runs: usize,
    all: Notify,
}

impl Nothing {
    fn one_has_ended(&self) {
        if self.ended.fetch_add(1, Ordering::Relaxed) + 1 == self.runs {
            self.all.notify_one();
        }
    }
}

#[async_trait]
impl Executor for Nothing {
    fn kind(&self) -> TaskType {
        KIND
    }

    fn default_timeout(&self) -> Duration {
        Duration::from_hours(1)
    }

    async fn execute(&self, _attempt: &Attempt) -> AttemptEnd {
        AttemptEnd::Succeeded { result: "nothing was to be done".to_owned() }
    }
}
