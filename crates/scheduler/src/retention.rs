//! Forgets what is old, a little at a time: runs with their logs and artifacts, then records.

use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use isochrone_domain::{RunId, TaskId};
use isochrone_store::{Keep, Page, Store, StoreError, TaskFilter};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

/// Runs or records in one step: the store does other things in between.
const STEP: u64 = 100;
/// The artifact store's folder that has one a run.
const RUNS: &str = "runs";
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
    /// Between two passes, in the world's time.
    pub every: Duration,
}

impl Default for RetentionRules {
    fn default() -> Self {
        RetentionRules {
            runs_per_task: 1_000,
            runs: Duration::from_hours(24 * 90),
            records: Duration::from_hours(24 * 400),
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
            let tasks = self.store.tasks(&TaskFilter::default(), page).await?.rows;
            for task in &tasks {
                forgotten.runs += self.trim(task.id, keep).await?;
            }
            if (tasks.len() as u64) < TASKS {
                break;
            }
            page.offset += TASKS;
        }
        self.sweep().await?;
        loop {
            let step = self.store.trim_records(now - self.rules.records, STEP).await?;
            if step == 0 {
                return Ok(forgotten);
            }
            forgotten.records += step;
        }
    }

    /// Deletes what runs left that are gone: with their task, or with a process that died between the two.
    async fn sweep(&self) -> Result<(), StoreError> {
        let folders = match self.artifacts.list_with_delimiter(Some(&Path::from(RUNS))).await {
            Ok(listed) => listed.common_prefixes,
            Err(error) => {
                warn!(%error, "the artifacts can't be listed");
                return Ok(());
            }
        };
        let runs = folders.iter().filter_map(|folder| folder.filename()?.parse::<RunId>().ok());
        for run in runs {
            // A run is in the store before it leaves anything.
            if self.store.run(run).await?.is_none() {
                self.delete_artifacts_of(run).await;
            }
        }
        Ok(())
    }

    async fn delete_artifacts_of(&self, run: RunId) {
        if let Err(error) = delete_artifacts(&*self.artifacts, run).await {
            warn!(run_id = %run, %error, "artifacts of a forgotten run are left");
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
            for run in runs {
                self.delete_artifacts_of(run).await;
            }
        }
    }
}

/// Deletes what a run left in the artifact store.
pub async fn delete_artifacts(artifacts: &dyn ObjectStore, run: RunId) -> object_store::Result<()> {
    let folder = Path::from_iter([RUNS.to_owned(), run.to_string()]);
    let found: Vec<_> = artifacts.list(Some(&folder)).try_collect().await?;
    for artifact in found {
        artifacts.delete(&artifact.location).await?;
    }
    Ok(())
}
