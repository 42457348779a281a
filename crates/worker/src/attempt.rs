//! An attempt as its executor sees it: the work, and the ways to report on it.

use std::sync::Arc;

use bytes::Bytes;
use isochrone_domain::{Artifact, ItemSnapshot, LogStream, Progress, Run, Task};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::sync::{mpsc, oneshot, watch};

/// Why an executor must stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// A person wants the run to end.
    Cancelled,
    /// It took longer than it may.
    Deadline,
    /// Another worker may have the run by now: nothing of this attempt counts any more.
    LeaseLost,
    /// This worker stops; the run goes back.
    Draining,
}

/// What an executor reports while it works; the worker keeps it with the run.
#[derive(Debug)]
pub enum Report {
    /// How far the work is.
    Progress(Progress),
    /// A line of the log.
    Log(LogStream, String),
    /// Something kept in the artifact store, to be listed with the run.
    Artifact(Artifact),
    /// The item that the run executes, as it was found.
    Item(ItemSnapshot),
    /// A remote job's handle (JSON), answered once it is safely kept.
    Checkpoint(String, oneshot::Sender<Result<(), NotKept>>),
}

/// A report could not be kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotKept {
    /// The attempt is over for this worker.
    #[error("the attempt has lost its run")]
    Fenced,
    /// The store or the artifact store failed.
    #[error("{0}")]
    Storage(String),
}

/// One try at a run, as its executor sees it.
pub struct Attempt {
    task: Task,
    run: Run,
    artifacts: Arc<dyn ObjectStore>,
    reports: mpsc::Sender<Report>,
    stop: watch::Receiver<Option<StopReason>>,
}

impl Attempt {
    /// An attempt whose reports go to `reports` and that ends when `stop` says so.
    pub fn new(
        task: Task,
        run: Run,
        artifacts: Arc<dyn ObjectStore>,
        reports: mpsc::Sender<Report>,
        stop: watch::Receiver<Option<StopReason>>,
    ) -> Attempt {
        Attempt { task, run, artifacts, reports, stop }
    }

    /// The task, as it was when the run was claimed.
    pub fn task(&self) -> &Task {
        &self.task
    }

    /// The run; its `attempt` is this attempt's number.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// Waits until the work must stop. Never answers if it need not.
    pub async fn stopped(&self) -> StopReason {
        let mut stop = self.stop.clone();
        loop {
            if let Some(reason) = *stop.borrow_and_update() {
                return reason;
            }
            if stop.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Why the work must stop, if it must by now.
    pub fn must_stop(&self) -> Option<StopReason> {
        *self.stop.borrow()
    }

    /// Says how far the work is; `percent` 0 to 100 where that is known.
    pub async fn progress(&self, percent: Option<u8>, message: impl Into<String>) {
        self.report(Report::Progress(Progress { percent, message: message.into() })).await;
    }

    /// Adds a line to the run's log. Waits while the worker is behind, so that memory stays flat.
    pub async fn log(&self, stream: LogStream, line: impl Into<String>) {
        self.report(Report::Log(stream, line.into())).await;
    }

    /// Says which version of its item the run executes.
    pub async fn item(&self, item: ItemSnapshot) {
        self.report(Report::Item(item)).await;
    }

    async fn report(&self, report: Report) {
        // Nobody listens any more: then the attempt is over and its reports count for nothing.
        drop(self.reports.send(report).await);
    }

    /// Keeps a remote job's handle (JSON) for attempts to come. Do this before the first poll.
    pub async fn checkpoint(&self, handle: &str) -> Result<(), NotKept> {
        let (answer, kept) = oneshot::channel();
        self.report(Report::Checkpoint(handle.to_owned(), answer)).await;
        kept.await.unwrap_or(Err(NotKept::Fenced))
    }

    /// Keeps `data` in the artifact store and lists it with the run. `name` is a plain file name.
    pub async fn keep(&self, name: &str, content_type: &str, data: Bytes) -> Result<(), NotKept> {
        let location = artifact_path(&self.run, name);
        let size = data.len() as u64;
        self.artifacts
            .put(&location, data.into())
            .await
            .map_err(|error| NotKept::Storage(error.to_string()))?;
        self.report(Report::Artifact(Artifact {
            name: name.to_owned(),
            content_type: content_type.to_owned(),
            size,
            location: location.to_string(),
        }))
        .await;
        Ok(())
    }
}

/// Each attempt writes into a folder of its own, so that a late one overwrites nothing.
pub(crate) fn artifact_path(run: &Run, name: &str) -> Path {
    Path::from_iter(["runs".to_owned(), run.id.to_string(), run.attempt.to_string(), name.to_owned()])
}
