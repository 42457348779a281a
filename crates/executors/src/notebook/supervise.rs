//! Watches a driver from its first event to the death of its last process.

use std::sync::Arc;
use std::time::Duration;

use isochrone_domain::LogStream;
use isochrone_worker::{Attempt, Mask, StopReason};
use tokio::process::{ChildStderr, ChildStdout};

use super::config::Config;
use super::document::{Received, Receiver};
use super::driver::{Driver, Streams};
use super::events::{Event, Stream};
use super::limits::{self, Excess};
use super::lines::{LineCutter, LineReader, plain};
use crate::untrusted::UntrustedDir;

/// The driver writes no longer lines.
const LONGEST_EVENT: usize = 1 << 20;
const LONGEST_ERROR_LINE: usize = 8 * 1024;

/// How much of a document is taken at once.
const PIECE: u64 = 64 * 1024;

/// How long the driver may take to interrupt the notebook, keep it and end. Less than the worker's
/// own patience, by what the killing and the keeping take.
const INTERRUPT_GRACE: Duration = Duration::from_secs(6);

/// How long the driver may take to notice that its kernel was killed, and keep the notebook.
const LAST_WORDS: Duration = Duration::from_secs(4);

/// How long a driver that died without a verdict may take to be gone.
const EXIT_GRACE: Duration = Duration::from_secs(1);

/// How the notebook ended, as the driver says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Done,
    Refused { message: String },
    CellFailed { ename: String, evalue: String, cell: u32 },
    Stopped { cell: u32 },
    KernelDied { message: String, cell: u32 },
    DriverFailed { message: String },
}

/// What was seen of a notebook's execution.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// How many code cells there are.
    pub(super) cells: u32,
    /// How many were executed without an error.
    pub(super) executed: u32,
    /// None: the driver died before it could tell.
    pub(super) verdict: Option<Verdict>,
    /// The limit that it was over, if any.
    pub(super) excess: Option<Excess>,
    /// Why the worker ended it, if it did.
    pub(super) stopped: Option<StopReason>,
    /// How the driver's process ended, for people.
    pub(super) exit: String,
    /// The most memory that its processes had when they were looked at, in bytes.
    pub(super) peak_memory: u64,
    /// The values of output parameters.
    pub(super) results: serde_json::Map<String, serde_json::Value>,
    /// The executed notebook.
    pub(super) document: Received,
}

/// What comes first.
enum Turn {
    Ended,
    Over(Excess),
    Stop(StopReason),
}

/// Reports what the driver says until it ends, is stopped or is over a limit. When this returns, none
/// of the notebook's processes is left; when it is dropped, too.
pub(super) async fn supervise(
    mut driver: Driver,
    streams: Streams,
    document: Receiver,
    attempt: &Attempt,
    mask: &Mask,
    config: &Config,
    home: Option<Arc<UntrustedDir>>,
) -> Seen {
    let mut listener = Listener::new(streams, document, attempt, mask, config);
    let turn = tokio::select! {
        biased;
        reason = attempt.stopped() => Turn::Stop(reason),
        over = listener.listen() => over.map_or(Turn::Ended, Turn::Over),
        excess = limits::watch(driver.tree(), config) => Turn::Over(excess),
        excess = limits::watch_folder(driver.tree(), driver.folder(), config) => Turn::Over(excess),
        excess = limits::watch_home(home, config) => Turn::Over(excess),
    };
    let patience = match turn {
        // Another worker may begin at any moment.
        Turn::Ended | Turn::Stop(StopReason::LeaseLost) => Duration::ZERO,
        Turn::Stop(_) => {
            driver.interrupt();
            INTERRUPT_GRACE
        }
        Turn::Over(Excess::Processes) if driver.is_faster_without_it() => Duration::ZERO,
        Turn::Over(_) => {
            driver.kill_notebook().await;
            LAST_WORDS
        }
    };
    // A driver that nobody hears can't write, and so not end.
    drop(tokio::time::timeout(patience, async { while listener.listen().await.is_some() {} }).await);
    let Listener { mut seen, document, .. } = listener;
    if matches!(turn, Turn::Ended) {
        seen.excess = limits::last_look(driver.tree(), driver.folder(), config).await;
    }
    let died = matches!(turn, Turn::Ended) && seen.verdict.is_none();
    let exit = driver.end(if died { EXIT_GRACE } else { Duration::ZERO }).await;
    seen.exit = exit.map_or_else(|| "it had to be killed".to_owned(), |status| status.to_string());
    seen.peak_memory = driver.peak_memory();
    seen.document = document.finish().await;
    match turn {
        Turn::Ended => {}
        Turn::Over(excess) => seen.excess = Some(excess),
        Turn::Stop(reason) => seen.stopped = Some(reason),
    }
    seen
}

/// Hears what the driver says on both its streams.
struct Listener<'a> {
    attempt: &'a Attempt,
    events: LineReader<ChildStdout>,
    errors: LineReader<ChildStderr>,
    errors_open: bool,
    /// How much more the driver may write on its error stream.
    errors_left: u64,
    stdout: LineCutter,
    stderr: LineCutter,
    mask: &'a Mask,
    document: Receiver,
    seen: Seen,
}

/// What comes on the stream of events.
enum Frame {
    Event(Vec<u8>),
    /// A piece of a document.
    Piece(Vec<u8>),
}

async fn next_frame(events: &mut LineReader<ChildStdout>, document: &mut Receiver) -> Option<Frame> {
    document.ready().await;
    match document.left() {
        0 => events.next().await.map(Frame::Event),
        left => {
            let most = usize::try_from(left.min(PIECE)).unwrap_or(usize::MAX);
            events.bytes(most).await.map(Frame::Piece)
        }
    }
}

impl<'a> Listener<'a> {
    fn new(
        streams: Streams,
        document: Receiver,
        attempt: &'a Attempt,
        mask: &'a Mask,
        config: &Config,
    ) -> Listener<'a> {
        Listener {
            attempt,
            events: LineReader::new(streams.events, LONGEST_EVENT),
            errors: LineReader::new(streams.errors, LONGEST_ERROR_LINE),
            errors_open: true,
            errors_left: config.output_bytes(),
            stdout: LineCutter::new(mask.clone()),
            stderr: LineCutter::new(mask.clone()),
            mask,
            document,
            seen: Seen::default(),
        }
    }

    /// Listens until the driver has no more to say, or is over the limit of output; may be called
    /// again then. Safe to cancel, but for the lines that it was about to log.
    async fn listen(&mut self) -> Option<Excess> {
        loop {
            tokio::select! {
                frame = next_frame(&mut self.events, &mut self.document) => match frame {
                    None => return None,
                    Some(Frame::Piece(bytes)) => self.document.take(bytes),
                    Some(Frame::Event(line)) => match serde_json::from_slice(&line) {
                        Ok(Event::End) => return None,
                        Ok(event) => if let Some(excess) = self.take(event).await {
                            return Some(excess);
                        },
                        // Its text may quote what was read.
                        Err(error) => tracing::warn!(
                            kind = ?error.classify(), column = error.column(), "the notebook driver wrote no event"
                        ),
                    }
                },
                line = self.errors.next(), if self.errors_open => match line {
                    None => self.errors_open = false,
                    Some(line) => {
                        let left = self.errors_left.checked_sub(line.len() as u64 + 1);
                        let Some(left) = left else { return Some(Excess::Output) };
                        self.errors_left = left;
                        let line = self.mask.cut_text(plain(&String::from_utf8_lossy(&line)));
                        self.attempt.log(LogStream::Stderr, line).await;
                    }
                },
            }
        }
    }

    async fn take(&mut self, event: Event) -> Option<Excess> {
        match event {
            Event::Notebook { cells } => self.seen.cells = cells,
            Event::Kernel { pid } => tracing::debug!(pid, "the notebook's kernel runs"),
            Event::CellStarted { cell } => self.cell_started(cell).await,
            Event::End => {}
            Event::CellFinished => self.finish_lines().await,
            Event::Document { bytes } => self.document.begin(bytes),
            Event::Output { stream, text } => self.log(stream, &text).await,
            Event::Note { text } => {
                let text = self.mask.cut_text(plain(&text));
                self.attempt.log(LogStream::System, text).await;
            }
            Event::Result { name, json } => match serde_json::from_str(&self.mask.text(json)) {
                Ok(value) => drop(self.seen.results.insert(name, value)),
                Err(error) => {
                    let line = format!("warning: the output parameter {name:?} can't be read: {error}");
                    self.attempt.log(LogStream::System, line).await;
                }
            },
            Event::OutputLimit => return Some(Excess::Output),
            Event::Refused { message } => {
                self.seen.verdict = Some(Verdict::Refused { message: self.mask.cut_text(plain(&message)) });
            }
            Event::CellFailed { ename, evalue, cell } => {
                let (ename, evalue) = (self.mask.text(plain(&ename)), self.mask.cut_text(plain(&evalue)));
                self.seen.verdict = Some(Verdict::CellFailed { ename, evalue, cell });
            }
            Event::Stopped { cell } => self.seen.verdict = Some(Verdict::Stopped { cell }),
            Event::KernelDied { message, cell } => {
                self.finish_lines().await;
                let message = self.mask.cut_text(plain(&message));
                self.seen.verdict = Some(Verdict::KernelDied { message, cell });
            }
            Event::DriverFailed { message } => {
                self.seen.verdict = Some(Verdict::DriverFailed { message: self.mask.cut_text(message) });
            }
            Event::Done { executed } => {
                self.seen.executed = executed;
                self.seen.verdict = Some(Verdict::Done);
            }
        }
        None
    }

    async fn cell_started(&self, cell: u32) {
        let cells = self.seen.cells.max(cell);
        let percent = u8::try_from((cell - 1) * 100 / cells).ok();
        self.attempt.progress(percent, format!("cell {cell} of {cells}")).await;
    }

    async fn log(&mut self, stream: Stream, text: &str) {
        let cutter = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        for line in cutter.push(text) {
            self.attempt.log(stream.into(), line).await;
        }
    }

    async fn finish_lines(&mut self) {
        for (stream, cutter) in [(LogStream::Stdout, &mut self.stdout), (LogStream::Stderr, &mut self.stderr)]
        {
            if let Some(line) = cutter.finish() {
                self.attempt.log(stream, line).await;
            }
        }
    }
}
