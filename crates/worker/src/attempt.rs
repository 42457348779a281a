//! An attempt as its executor sees it: the work, and the ways to report on it.

use std::io::Read;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use isochrone_domain::{Artifact, AttemptEnd, ItemSnapshot, LogStream, Progress, Run, Task};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, WriteMultipart};
use tokio::sync::{mpsc, oneshot, watch};

use crate::{Mask, Trust};

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

/// One try at a run, as its executor sees it. Whatever it says of itself for people to read passes its mask
/// ([`Attempt::hide`]) here, in one place: log, progress, names of artifacts, and the reason of its end.
pub struct Attempt {
    task: Task,
    run: Run,
    artifacts: Arc<dyn ObjectStore>,
    reports: mpsc::Sender<Report>,
    stop: watch::Receiver<Option<StopReason>>,
    trust: Trust,
    /// How many files were kept.
    files: AtomicU32,
    mask: Mutex<Mask>,
    /// Grows when work of another server was begun, and when it is further than before.
    steps: watch::Sender<Step>,
}

/// How far work is that another server does.
#[derive(Debug, Default)]
struct Step {
    number: u64,
    message: String,
}

/// Files are read in pieces of this size; a smaller file is written at once.
const PIECE: usize = 8 << 20;

/// Pieces of a file that are on their way into the artifact store.
const PIECES_AT_ONCE: usize = 2;

impl Attempt {
    /// An attempt whose reports go to `reports` and that ends when `stop` says so.
    pub fn new(
        task: Task,
        run: Run,
        artifacts: Arc<dyn ObjectStore>,
        reports: mpsc::Sender<Report>,
        stop: watch::Receiver<Option<StopReason>>,
    ) -> Attempt {
        Attempt {
            task,
            run,
            artifacts,
            reports,
            stop,
            trust: Trust::for_ever(),
            files: AtomicU32::new(0),
            mask: Mutex::default(),
            steps: watch::Sender::default(),
        }
    }

    /// With a lease that is trusted so.
    #[must_use]
    pub fn with_trust(self, trust: Trust) -> Attempt {
        Attempt { trust, ..self }
    }

    /// The worker's trust in the attempt's lease. Without it the attempt is suspended: other servers are asked nothing for
    /// it, and what it started stands still.
    pub fn trust(&self) -> &Trust {
        &self.trust
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

    /// Masks these from now on, beside what was masked before.
    pub fn hide(&self, secrets: &Mask) {
        let mut mask = self.mask.lock().unwrap_or_else(PoisonError::into_inner);
        *mask = mask.and(secrets);
    }

    fn mask(&self) -> Mask {
        self.mask.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The attempt's end as people may read it.
    pub(crate) fn masked_end(&self, end: AttemptEnd) -> AttemptEnd {
        let mask = self.mask();
        match end {
            AttemptEnd::Succeeded { result } => AttemptEnd::Succeeded { result: mask.text(result) },
            AttemptEnd::Failed { reason, result } => AttemptEnd::Failed { reason, result: mask.line(result) },
            AttemptEnd::SubmitFailed { reason, result } => {
                AttemptEnd::SubmitFailed { reason, result: mask.line(result) }
            }
            AttemptEnd::Suspended { reason, result } => {
                AttemptEnd::Suspended { reason, result: mask.line(result) }
            }
            end @ (AttemptEnd::GivenBack | AttemptEnd::Lapsed) => end,
        }
    }

    /// Says how far the work is; `percent` 0 to 100 where that is known.
    pub async fn progress(&self, percent: Option<u8>, message: impl Into<String>) {
        let message = self.mask().line(message.into());
        self.steps.send_if_modified(|step| {
            let further = step.number > 0 && step.message != message;
            if further {
                step.number += 1;
                message.clone_into(&mut step.message);
            }
            further
        });
        self.report(Report::Progress(Progress { percent, message })).await;
    }

    /// Adds a line to the run's log. Waits while the worker is behind, so that memory stays flat.
    pub async fn log(&self, stream: LogStream, line: impl Into<String>) {
        self.report(Report::Log(stream, self.mask().line(line.into()))).await;
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
        let kept = kept.await.unwrap_or(Err(NotKept::Fenced));
        if kept.is_ok() {
            self.steps.send_modify(|step| step.number += 1);
        }
        kept
    }

    /// Waits until more than `seen` steps are done of work that another server does: its beginning, and what was news
    /// of it. Gives how many are.
    pub(crate) async fn further_than(&self, seen: u64) -> u64 {
        let mut steps = self.steps.subscribe();
        let step = steps.wait_for(|step| step.number > seen).await;
        step.expect("its sender is in this attempt").number
    }

    /// Keeps `data` in the artifact store and lists it with the run. `name` is a plain file name.
    pub async fn keep(&self, name: &str, content_type: &str, data: Bytes) -> Result<(), NotKept> {
        let name = &*self.mask().text(name.to_owned());
        let location = artifact_path(&self.run, name);
        let size = data.len() as u64;
        self.artifacts
            .put(&location, data.into())
            .await
            .map_err(|error| NotKept::Storage(error.to_string()))?;
        self.kept(name, content_type, size, &location).await;
        Ok(())
    }

    /// Keeps what `content` has in the artifact store, piece by piece, and lists it with the run; returns its size in
    /// bytes. `name` is a relative path with slashes. Dropped or failed on the way, it keeps nothing.
    ///
    /// # Errors
    /// Where `content` can't be read to its end, or the artifact store fails.
    pub async fn keep_file(
        &self,
        name: &str,
        content_type: &str,
        content: impl Read + Send + 'static,
    ) -> Result<u64, NotKept> {
        let storage = |error: object_store::Error| NotKept::Storage(error.to_string());
        let number = self.files.fetch_add(1, Ordering::Relaxed);
        // Whatever its name is, the artifact store can take this one.
        let location = artifact_path(&self.run, &format!("file-{number}"));
        let (mut content, first) = piece(content).await?;
        let mut size = first.len() as u64;
        if first.len() < PIECE {
            self.artifacts.put(&location, first.into()).await.map_err(storage)?;
        } else {
            let upload = self.artifacts.put_multipart(&location).await.map_err(storage)?;
            let mut upload = WriteMultipart::new_with_chunk_size(upload, PIECE);
            let mut next = first;
            while !next.is_empty() {
                upload.wait_for_capacity(PIECES_AT_ONCE).await.map_err(storage)?;
                upload.put(next);
                let read = piece(content).await;
                let Ok((rest, piece)) = read else {
                    // Nothing of it is listed; the store may keep what it has until it is swept.
                    drop(upload.abort().await);
                    return read.map(|_| 0);
                };
                (content, next) = (rest, piece);
                size += next.len() as u64;
            }
            upload.finish().await.map_err(storage)?;
        }
        self.kept(name, content_type, size, &location).await;
        Ok(size)
    }

    async fn kept(&self, name: &str, content_type: &str, size: u64, location: &Path) {
        self.report(Report::Artifact(Artifact {
            name: self.mask().text(name.to_owned()),
            content_type: content_type.to_owned(),
            size,
            location: location.to_string(),
        }))
        .await;
    }
}

/// The next [`PIECE`] of a file, less at its end; read in a thread that may block.
async fn piece<R: Read + Send + 'static>(mut content: R) -> Result<(R, Bytes), NotKept> {
    let read = move || {
        let mut piece = Vec::new();
        (&mut content).take(PIECE as u64).read_to_end(&mut piece).map(|_| (content, Bytes::from(piece)))
    };
    let read =
        tokio::task::spawn_blocking(read).await.map_err(|error| NotKept::Storage(error.to_string()))?;
    read.map_err(|error| NotKept::Storage(error.to_string()))
}

/// Each attempt writes into a folder of its own, so that a late one overwrites nothing.
pub(crate) fn artifact_path(run: &Run, name: &str) -> Path {
    Path::from_iter(["runs".to_owned(), run.id.to_string(), run.fence().to_string(), name.to_owned()])
}
