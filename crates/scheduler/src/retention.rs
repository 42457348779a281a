//! Forgets what is old, a little at a time: runs with their logs and artifacts, then records.

use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use isochrone_domain::{EpochMillis, RunId, TaskId};
use isochrone_store::{Keep, Page, Store, StoreError, TaskFilter};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

/// Runs or records in one step: the store does other things in between.
const STEP: u64 = 100;
/// The artifact store's folder that has one a run.
const RUNS: &str = "runs";
/// Deleted runs whose artifacts one pass deletes: what went wrong goes wrong slowly.
const SWEPT: u64 = 1_000;
/// Tasks in one look.
const TASKS: u64 = 500;

/// How much is kept, and for how long on the store's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionRules {
    /// Ended runs of a task.
    pub runs_per_task: u64,
    /// How long an ended run.
    pub runs: Duration,
    /// How long the ledger's rows of runs that are gone, and the audit log.
    pub records: Duration,
    /// How long after a run's deletion the artifacts go that it left nevertheless.
    pub artifacts: Duration,
    /// Between two passes, in the world's time.
    pub every: Duration,
}

impl Default for RetentionRules {
    fn default() -> Self {
        RetentionRules {
            runs_per_task: 1_000,
            runs: Duration::from_hours(24 * 90),
            records: Duration::from_hours(24 * 400),
            artifacts: Duration::from_hours(24),
            every: Duration::from_hours(1),
        }
    }
}

/// What a pass has forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Runs.
    pub runs: u64,
    /// Rows of the ledger and the audit log.
    pub records: u64,
}

/// Forgets what is old.
pub struct Retention {
    store: Arc<dyn Store>,
    artifacts: Arc<dyn ObjectStore>,
    rules: RetentionRules,
}

impl Retention {
    /// By these rules, from this store and this artifact store.
    pub fn new(store: Arc<dyn Store>, artifacts: Arc<dyn ObjectStore>, rules: RetentionRules) -> Retention {
        Retention { store, artifacts, rules }
    }

    /// A pass now and then, for ever. Safe to drop at any moment.
    pub(crate) async fn keep_forgetting(&self) {
        loop {
            let next = Instant::now() + self.rules.every;
            match self.pass().await {
                Ok(Forgotten { runs: 0, records: 0 }) => {}
                Ok(Forgotten { runs, records }) => info!(runs, records, "old runs and records are forgotten"),
                Err(error) => warn!(%error, "not everything that is old could be forgotten"),
            }
            sleep_until(next).await;
        }
    }

    /// Forgets all that is old now.
    pub async fn pass(&self) -> Result<Forgotten, StoreError> {
        let now = self.store.now().await?;
        let keep = Keep { runs: self.rules.runs_per_task, ended_from: now - self.rules.runs };
        let mut forgotten = Forgotten::default();
        let mut page = Page { offset: 0, limit: TASKS };
        loop {
            let tasks = self.store.tasks(&TaskFilter::default(), page).await?;
            for task in &tasks.rows {
                match self.trim(task.id, keep).await {
                    Ok(count) => forgotten.runs += count,
                    Err(error) => {
                        warn!(task_id = %task.id, %error, "a task's old runs can't be forgotten yet");
                    }
                }
            }
            // Rows that can't be read are left out: a page may have fewer.
            page.offset += TASKS;
            if page.offset >= tasks.total {
                break;
            }
        }
        self.sweep(now - self.rules.artifacts).await?;
        loop {
            let step = self.store.trim_records(now - self.rules.records, STEP).await?;
            if step == 0 {
                return Ok(forgotten);
            }
            forgotten.records += step;
        }
    }

    /// Deletes what runs left that the store knows to be deleted: with their task, or by a process that died between the
    /// two. What it does not know is not its own to delete: it may be another installation's, or younger than
    /// the backup that the store was restored from.
    async fn sweep(&self, until: EpochMillis) -> Result<(), StoreError> {
        let deleted = self.store.deleted_runs(until, SWEPT).await?;
        let (mut swept, mut artifacts) = (Vec::new(), 0);
        for run in &deleted {
            // One that was imported since is there again.
            if self.store.run(*run).await?.is_some() {
                swept.push(*run);
            } else if let Some(count) = self.delete_artifacts_of(*run).await {
                swept.push(*run);
                artifacts += count;
            }
        }
        self.store.forget_deleted_runs(&swept).await?;
        if artifacts > 0 {
            let more = deleted.len() as u64 == SWEPT;
            info!(runs = swept.len(), artifacts, more, "artifacts of deleted runs are swept");
        }
        Ok(())
    }

    /// How many there were; none: not all could be deleted.
    async fn delete_artifacts_of(&self, run: RunId) -> Option<u64> {
        match delete_artifacts(&*self.artifacts, run).await {
            Ok(count) => Some(count),
            Err(error) => {
                warn!(run_id = %run, %error, "artifacts of a deleted run are left");
                None
            }
        }
    }

    async fn trim(&self, task: TaskId, keep: Keep) -> Result<u64, StoreError> {
        let mut count = 0;
        loop {
            let runs = self.store.trim_runs(task, keep, STEP).await?;
            if runs.is_empty() {
                return Ok(count);
            }
            count += runs.len() as u64;
            let mut gone = Vec::new();
            for run in runs {
                if self.delete_artifacts_of(run).await.is_some() {
                    gone.push(run);
                }
            }
            self.store.forget_deleted_runs(&gone).await?;
        }
    }
}

/// Deletes what a run left in the artifact store. Answers how much that was.
pub async fn delete_artifacts(artifacts: &dyn ObjectStore, run: RunId) -> object_store::Result<u64> {
    let folder = Path::from_iter([RUNS.to_owned(), run.to_string()]);
    let found: Vec<_> = artifacts.list(Some(&folder)).try_collect().await?;
    for artifact in &found {
        artifacts.delete(&artifact.location).await?;
    }
    Ok(found.len() as u64)
}
