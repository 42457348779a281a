//! Keeps what an executor reports: progress, log lines, artifacts, a remote job's handle.
//!
//! The store gets the log's beginning while the work goes on, and its end when the attempt has ended, since that says
//! why work failed: 64 KiB together. A longer log goes whole to the artifact store then; of one that is longer than
//! 8 MiB, its beginning and its end. Meanwhile it lies in a file, so that a worker's memory does not grow with what
//! its runs print.

use std::collections::VecDeque;
use std::io::{Read, Seek, Write};
use std::time::Duration;

use isochrone_domain::{Artifact, LogLine, LogStream, Refusal};
use isochrone_store::{Finished, Store};
use object_store::ObjectStoreExt;
use tokio::sync::mpsc;

use crate::attempt::artifact_path;
use crate::leases::Leases;
use crate::{NotKept, Report, WorkerParts};

/// What the store gets of a log's beginning and of its end, in bytes.
const STORED_HEAD: usize = 40 << 10;
const STORED_TAIL: usize = 24 << 10;
/// What the artifact has of them.
const WHOLE_HEAD: usize = (8 << 20) - WHOLE_TAIL;
const WHOLE_TAIL: usize = 256 << 10;
const LONGEST_LINE: usize = 8 << 10;
/// What a line costs beside its text, in the store and in the spool: empty lines fill a disk too.
const LINE_COST: usize = 40;
/// Tries at keeping the last lines while the store is busy or away.
const LAST_FLUSHES: u32 = 6;
const FLUSH_EVERY: Duration = Duration::from_millis(250);
const FLUSH_LINES: usize = 256;

/// The reports of one attempt.
pub(crate) struct Journal<'a> {
    parts: &'a WorkerParts,
    leases: &'a Leases,
    run: &'a isochrone_domain::Run,
    artifacts: Vec<Artifact>,
    unsent: Vec<LogLine>,
    sent_lines: u64,
    stored_bytes: usize,
    stored_tail: Tail,
    spool: Option<std::fs::File>,
    spooled_bytes: usize,
    spooled_tail: Tail,
}

/// The last lines of a log, of which those that go before have left no room.
struct Tail {
    lines: VecDeque<LogLine>,
    bytes: usize,
    most: usize,
    /// Lines between the log's beginning and these.
    left_out: u64,
}

impl Tail {
    fn new(most: usize) -> Tail {
        Tail { lines: VecDeque::new(), bytes: 0, most, left_out: 0 }
    }

    fn push(&mut self, line: LogLine) {
        self.bytes += cost(&line);
        self.lines.push_back(line);
        while self.bytes > self.most
            && let Some(first) = self.lines.pop_front()
        {
            self.bytes -= cost(&first);
            self.left_out += 1;
        }
    }

    /// Whether the log has come so far.
    fn has_begun(&self) -> bool {
        !self.lines.is_empty() || self.left_out > 0
    }
}

fn cost(line: &LogLine) -> usize {
    line.text.len() + LINE_COST
}

impl<'a> Journal<'a> {
    pub(crate) fn new(parts: &'a WorkerParts, leases: &'a Leases, run: &'a isochrone_domain::Run) -> Self {
        Journal {
            parts,
            leases,
            run,
            artifacts: Vec::new(),
            unsent: Vec::new(),
            sent_lines: 0,
            stored_bytes: 0,
            stored_tail: Tail::new(STORED_TAIL),
            spool: None,
            spooled_bytes: 0,
            spooled_tail: Tail::new(WHOLE_TAIL),
        }
    }

    /// Keeps reports until the executor has ended; gives the artifacts.
    pub(crate) async fn keep(mut self, mut reports: mpsc::Receiver<Report>) -> Vec<Artifact> {
        let mut flush = tokio::time::interval(FLUSH_EVERY);
        flush.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                report = reports.recv() => match report {
                    Some(report) => self.take(report).await,
                    None => break,
                },
                _ = flush.tick(), if !self.unsent.is_empty() => self.flush().await,
            }
            if self.unsent.len() >= FLUSH_LINES {
                self.flush().await;
            }
        }
        self.end().await
    }

    async fn take(&mut self, report: Report) {
        match report {
            Report::Progress(progress) => {
                self.leases.progress(self.run.id, self.run.fence(), progress);
            }
            Report::Log(stream, text) => self.line(stream, &text),
            Report::Artifact(artifact) => {
                self.artifacts.retain(|kept| kept.name != artifact.name);
                self.artifacts.push(artifact);
            }
            Report::Item(item) => {
                if let Err(error) = self.store().note_item(self.run.id, self.run.fence(), &item).await {
                    tracing::warn!(%error, digest = item.version.digest, "the item's version is not kept");
                }
            }
            Report::Checkpoint(handle, answer) => {
                // The executor may have been dropped meanwhile: then nobody needs the answer.
                drop(answer.send(self.checkpoint(handle).await));
            }
        }
    }

    async fn checkpoint(&self, handle: String) -> Result<(), NotKept> {
        let (run, fence) = (self.run.id, self.run.fence());
        loop {
            match self.store().checkpoint(run, fence, &handle).await {
                Ok(Finished::Kept(_)) => {
                    self.leases.handle(run, fence, handle);
                    return Ok(());
                }
                Ok(Finished::Fenced(Refusal::NotDue)) => {
                    match self.leases.reassert(self.parts, run, fence).await {
                        Ok(true) => {}
                        Ok(false) => return Err(self.fenced()),
                        Err(error) => return Err(NotKept::Storage(error.to_string())),
                    }
                }
                Ok(Finished::Fenced(refusal @ Refusal::Unknown)) => {
                    return Err(NotKept::Storage(refusal.to_string()));
                }
                Ok(Finished::Fenced(_)) => return Err(self.fenced()),
                Err(error) => return Err(NotKept::Storage(error.to_string())),
            }
        }
    }

    fn fenced(&self) -> NotKept {
        self.parts.metrics.write_fenced();
        NotKept::Fenced
    }

    fn store(&self) -> &dyn Store {
        &*self.parts.store
    }

    /// A line of the log: into the store while there is room, into the spool in any case.
    pub(crate) fn line(&mut self, stream: LogStream, text: &str) {
        let text = cut(text, LONGEST_LINE);
        let line = LogLine { at: self.parts.store.clock().now(), stream, text: text.to_owned() };
        let cost = cost(&line);
        if self.spooled_tail.has_begun() || self.spooled_bytes + cost > WHOLE_HEAD {
            self.spooled_tail.push(line.clone());
        } else if let Err(error) = self.spool(&line) {
            tracing::warn!(%error, "the log can't be spooled");
        }
        if self.stored_tail.has_begun() || self.stored_bytes + cost > STORED_HEAD {
            let first = self.stored_tail.left_out == 0;
            self.stored_tail.push(line);
            if first && self.stored_tail.left_out > 0 {
                // Whoever follows it would think that the work has stopped.
                self.note("the log is long: its last lines follow when the attempt has ended; log.txt is then the whole");
            }
        } else {
            self.stored_bytes += cost;
            self.unsent.push(line);
        }
    }

    fn note(&mut self, text: impl Into<String>) {
        let at = self.parts.store.clock().now();
        self.unsent.push(LogLine { at, stream: LogStream::System, text: text.into() });
    }

    fn spool(&mut self, line: &LogLine) -> std::io::Result<()> {
        let spool = match &mut self.spool {
            Some(file) => file,
            empty => empty.insert(tempfile::tempfile()?),
        };
        self.spooled_bytes += cost(line);
        writeln!(spool, "{} {} {}", line.at, stream_name(line.stream), line.text)
    }

    async fn flush(&mut self) {
        let lines = std::mem::take(&mut self.unsent);
        let (run, fence) = (self.run.id, self.run.fence());
        match self.store().append_log(run, fence, self.sent_lines, &lines).await {
            Ok(Finished::Kept(_)) => self.sent_lines += lines.len() as u64,
            Ok(Finished::Fenced(Refusal::NotDue)) => {
                match self.leases.reassert(self.parts, run, fence).await {
                    // Sent again with the next ones.
                    Ok(true) | Err(_) => self.unsent = lines,
                    Ok(false) => self.parts.metrics.write_fenced(),
                }
            }
            Ok(Finished::Fenced(Refusal::Unknown)) => self.unsent = lines,
            // Nobody will read them: the attempt is over.
            Ok(Finished::Fenced(_)) => self.parts.metrics.write_fenced(),
            Err(error) => {
                tracing::warn!(%error, "log lines were not kept yet");
                self.unsent = lines;
            }
        }
    }

    async fn end(mut self) -> Vec<Artifact> {
        let long = self.stored_tail.left_out > 0;
        if long {
            self.note(format!(
                "{} lines are left out here; log.txt has the whole log",
                self.stored_tail.left_out
            ));
        }
        self.unsent.extend(std::mem::take(&mut self.stored_tail.lines));
        if self.spooled_tail.left_out > 0 {
            let dropped = self.spooled_tail.left_out;
            self.note(format!("of these, {dropped} further lines were dropped: the log is full"));
        }
        // The last lines say why the work failed: a store that is busy for a moment must not cost them.
        let mut wait = FLUSH_EVERY;
        for _ in 0..LAST_FLUSHES {
            if self.unsent.is_empty() {
                break;
            }
            self.flush().await;
            if !self.unsent.is_empty() {
                tokio::time::sleep(wait).await;
                wait *= 2;
            }
        }
        if long {
            match self.keep_whole_log().await {
                Ok(artifact) => self.artifacts.push(artifact),
                Err(error) => tracing::warn!(%error, "the whole log was not kept"),
            }
        }
        self.artifacts
    }

    async fn keep_whole_log(&mut self) -> Result<Artifact, NotKept> {
        let storage = |error: &dyn std::fmt::Display| NotKept::Storage(error.to_string());
        let tail = std::mem::replace(&mut self.spooled_tail, Tail::new(0));
        if tail.left_out > 0 {
            let text = format!("{} lines were dropped here: the log is full", tail.left_out);
            let at = self.parts.store.clock().now();
            self.spool(&LogLine { at, stream: LogStream::System, text }).map_err(|e| storage(&e))?;
        }
        for line in &tail.lines {
            self.spool(line).map_err(|e| storage(&e))?;
        }
        let mut log = Vec::with_capacity(self.spooled_bytes);
        if let Some(spool) = &mut self.spool {
            spool.rewind().map_err(|e| storage(&e))?;
            spool.read_to_end(&mut log).map_err(|e| storage(&e))?;
        }
        let location = artifact_path(self.run, "log.txt");
        let size = log.len() as u64;
        self.parts.artifacts.put(&location, log.into()).await.map_err(|e| storage(&e))?;
        Ok(Artifact {
            name: "log.txt".to_owned(),
            content_type: "text/plain; charset=utf-8".to_owned(),
            size,
            location: location.to_string(),
        })
    }
}

fn stream_name(stream: LogStream) -> &'static str {
    match stream {
        LogStream::Stdout => "out",
        LogStream::Stderr => "err",
        LogStream::System => "---",
    }
}

fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}
