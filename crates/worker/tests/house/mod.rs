//! A worker with a real store and queue, and executors that tests steer.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use isochrone_domain::{
    Action, AttemptEnd, AuditEntry, CronFields, EpochMillis, Limits, Policies, Role, Run, RunId, RunStatus,
    Submission, Task, TaskId, TaskType, UnknownFields, User, accept, plan_request,
};
use isochrone_queue::local::LocalQueue;
use isochrone_queue::{Queue, WakeUp};
use isochrone_store::sqlite::SqliteStore;
use isochrone_store::{AccountStore, Clock, Page, RunStore, StoredItems, TaskStore};
use isochrone_telemetry::Metrics;
use isochrone_worker::{Attempt, Executor, Worker, WorkerConfig, WorkerParts};
use object_store::ObjectStore;
use object_store::memory::InMemory;
use tokio_util::sync::CancellationToken;

/// A store, a queue and an artifact store.
pub(crate) struct House {
    pub(crate) store: Arc<SqliteStore>,
    pub(crate) queue: Arc<LocalQueue>,
    pub(crate) artifacts: Arc<dyn ObjectStore>,
    _dir: tempfile::TempDir,
}

/// What an executor's work becomes.
pub(crate) type Work<'a> = Pin<Box<dyn Future<Output = AttemptEnd> + Send + 'a>>;

/// An executor whose work is a closure.
pub(crate) struct Does<F>(F);

/// An executor that does this, and has all the time that it needs.
pub(crate) fn does<F>(work: F) -> Does<F>
where
    F: for<'a> Fn(&'a Attempt) -> Work<'a> + Send + Sync,
{
    Does(work)
}

#[async_trait]
impl<F> Executor for Does<F>
where
    F: for<'a> Fn(&'a Attempt) -> Work<'a> + Send + Sync,
{
    fn kind(&self) -> TaskType {
        TaskType::ExecuteReport
    }

    fn default_timeout(&self) -> Duration {
        Duration::from_mins(10)
    }

    async fn execute(&self, attempt: &Attempt) -> AttemptEnd {
        (self.0)(attempt).await
    }
}

/// A worker that runs until the test drains it.
pub(crate) struct Working {
    pub(crate) drain: CancellationToken,
    pub(crate) ended: tokio::task::JoinHandle<()>,
}

pub(crate) fn audit(action: Action) -> AuditEntry {
    AuditEntry {
        at: EpochMillis(0),
        actor: "nora".into(),
        ip: None,
        action,
        task: None,
        run: None,
        item: None,
        title: String::new(),
        owner: "nora".into(),
    }
}

impl House {
    pub(crate) fn new() -> House {
        let dir = tempfile::tempdir().expect("a folder");
        House {
            store: Arc::new(SqliteStore::open(dir.path(), Clock::SYSTEM).expect("a store")),
            queue: Arc::new(LocalQueue::new()),
            artifacts: Arc::new(InMemory::new()),
            _dir: dir,
        }
    }

    pub(crate) fn config() -> WorkerConfig {
        WorkerConfig {
            lease: Duration::from_millis(1_500),
            renew_every: Duration::from_millis(100),
            drain_grace: Duration::from_millis(200),
            ..WorkerConfig::new("worker-1")
        }
    }

    pub(crate) fn work(&self, executor: impl Executor + 'static, config: WorkerConfig) -> Working {
        let parts = WorkerParts {
            metrics: Metrics::new(),
            items: Arc::new(StoredItems(self.store.clone())),
            store: self.store.clone(),
            queue: self.queue.clone(),
            artifacts: self.artifacts.clone(),
            on_finished: Box::new(|| {}),
        };
        let worker = Worker::new(parts, [Arc::new(executor) as Arc<dyn Executor>], config);
        let drain = CancellationToken::new();
        Working { ended: tokio::spawn(worker.run(drain.clone())), drain }
    }

    /// A task and a queued run of it, not yet told to the queue.
    pub(crate) async fn run(&self, policies: Policies) -> Run {
        let now = self.store.now().await.expect("the time");
        let never = |text: &str| text.to_owned();
        let submission = Submission {
            title: "t".into(),
            kind: TaskType::ExecuteReport,
            item_id: None,
            task_url: None,
            parameters: Some("{}".into()),
            cron: CronFields {
                minute: never("0"),
                hour: never("0"),
                day_of_month: never("29"),
                month: never("2"),
                day_of_week: never("?"),
            },
            start: None,
            end: None,
            max_occurrences: None,
            policies,
        };
        let task: Task =
            accept(submission, TaskId::random(), "nora", now, &Limits::default()).expect("it is good");
        let nora = User {
            name: "nora".to_owned(),
            role: Role::Publisher,
            password_hash: String::new(),
            created: now,
            last_login: None,
            disabled: None,
            epoch: 0,
            unknown: UnknownFields::NONE,
        };
        // The first run makes her.
        self.store.add_user(&nora, audit(Action::SetUser)).await.expect("she is kept");
        let _ = self.store.insert_task(&task, audit(Action::CreateTask)).await.expect("it is kept");
        let nonce = *RunId::random().as_bytes();
        let (task, run) = plan_request(&task, 0, "nora", nonce, now).expect("no limit");
        let _ = self.store.commit_request(task, run.clone(), audit(Action::RunTask)).await.expect("kept");
        run
    }

    pub(crate) async fn wake(&self, run: &Run) {
        for answer in self.queue.publish(&[WakeUp { run: run.id, kind: run.kind }]).await {
            answer.expect("it is published");
        }
    }

    /// Waits until the run is as wanted, with a deadline.
    pub(crate) async fn until(&self, run: RunId, wanted: impl Fn(&Run) -> bool) -> Run {
        let end = std::time::Instant::now() + Duration::from_secs(30);
        loop {
            let now = self.store.run(run).await.expect("the store").expect("the run is there");
            if wanted(&now) {
                return now;
            }
            assert!(std::time::Instant::now() < end, "waited in vain; the run is {now:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) async fn log(&self, run: RunId) -> Vec<String> {
        let page = Page { offset: 0, limit: 100_000 };
        let lines = self.store.log(run, page).await.expect("the log");
        lines.rows.into_iter().map(|line| line.text).collect()
    }
}

pub(crate) fn executing(run: &Run) -> bool {
    matches!(run.status, RunStatus::Executing { .. })
}

pub(crate) fn ended(run: &Run) -> bool {
    run.status.ended()
}
