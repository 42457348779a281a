//! Takes the runs of one type from its outbox to its queue.
//!
//! How far the outbox is published is kept once a batch; no run has a mark. What was published and not kept is published
//! again: the worker's claim makes the double harmless. A queue can also lose what it had (a purge, a broker without its
//! disk; the local queue is empty at every start): so depth and outbox are compared now and then, and as many runs as the
//! queue can't be holding get new numbers, with which they are published again. A backlog is not.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use isochrone_domain::{EpochMillis, RunId, TaskType};
use isochrone_queue::{QueueError, WakeUp};
use isochrone_store::{OutboxEntry, PublishedThrough, StoreError};
use isochrone_telemetry::Published;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::hand_over::Handed;
use super::{Context, Duty, Look};
use crate::backoff::Backoff;
use crate::event::Event;

/// Runs in one publish.
const BATCH: usize = 500;
/// Workers have so long to claim what was handed over before its outbox is read: what is claimed is not there.
const READ_LATER: Duration = Duration::from_millis(100);
/// However much is handed over meanwhile, the outbox is read this often.
const READ_AT_LEAST: Duration = Duration::from_millis(500);
/// A queue this long is alive, and publishing again what it may have is dear: it waits until the queue is shorter.
const DEEPEST: u64 = 100_000;

pub(super) struct Publish {
    context: Context,
    kind: TaskType,
    handed: mpsc::Receiver<Handed>,
    /// Taken from there and not published yet.
    taken: Vec<Handed>,
    news: watch::Receiver<()>,
    /// None: not read yet.
    through: Option<PublishedThrough>,
    /// Published although the outbox is not published through them, with the moment at which they became due.
    ahead: HashMap<RunId, EpochMillis>,
    /// Published from the outbox lately: what is handed over may have been read there before.
    lately: Lately,
    backoff: Backoff,
    /// The queue failed: it gets nothing before this moment.
    rest: Option<Instant>,
    comparison: Comparison,
    /// When the outbox was last read.
    read_at: Instant,
}

/// Runs of the last seconds, with the moment at which they became due.
struct Lately {
    now: HashMap<RunId, EpochMillis>,
    before: HashMap<RunId, EpochMillis>,
    since: Instant,
}

impl Lately {
    /// Runs are forgotten after one to two of these.
    const LONG: Duration = Duration::from_secs(5);

    fn note(&mut self, entry: &OutboxEntry) {
        if self.since.elapsed() > Lately::LONG {
            self.before = std::mem::take(&mut self.now);
            self.since = Instant::now();
        }
        self.now.insert(entry.run, entry.due());
    }

    fn has(&self, handed: &Handed) -> bool {
        let of = |runs: &HashMap<_, _>| runs.get(&handed.run).is_some_and(|due| *due >= handed.due);
        of(&self.now) || of(&self.before)
    }
}

/// When outbox and queue are compared again, and what of the outbox is old enough then to be missed.
struct Comparison {
    at: Instant,
    published: Option<PublishedThrough>,
}

impl Publish {
    pub(super) fn new(
        context: Context,
        kind: TaskType,
        handed: mpsc::Receiver<Handed>,
        news: watch::Receiver<()>,
    ) -> Publish {
        Publish {
            context,
            kind,
            handed,
            taken: Vec::new(),
            news,
            through: None,
            ahead: HashMap::new(),
            lately: Lately { now: HashMap::new(), before: HashMap::new(), since: Instant::now() },
            backoff: Backoff::new(Duration::from_millis(50), Duration::from_secs(5)),
            rest: None,
            comparison: Comparison { at: Instant::now(), published: None },
            read_at: Instant::now(),
        }
    }

    /// Publishes these runs, and answers which of them the queue did not take.
    async fn publish(&mut self, runs: &[RunId]) -> HashSet<RunId> {
        if runs.is_empty() {
            return HashSet::new();
        }
        let wake_ups: Vec<_> = runs.iter().map(|run| WakeUp { run: *run, kind: self.kind }).collect();
        let begun = Instant::now();
        let answers = self.context.queue.publish(&wake_ups).await;
        self.context.metrics.published(answers.iter().map(published), begun.elapsed());
        let (mut refused, mut why) = (HashSet::new(), None);
        for (run, answer) in runs.iter().zip(answers) {
            match answer {
                Ok(()) => {
                    debug!(run_id = %run, "published");
                    self.context.events.tell(Event::Published { run: *run });
                }
                Err(error) => {
                    refused.insert(*run);
                    why = Some(error);
                }
            }
        }
        self.rest = why.map(|error| {
            let wait = self.backoff.failed();
            warn!(kind = %self.kind, %error, ?wait, "the queue took not every run; they are published later");
            Instant::now() + wait
        });
        if self.rest.is_none() {
            self.backoff.worked();
        }
        refused
    }

    /// Publishes what was handed over.
    async fn publish_handed(&mut self) -> bool {
        while self.taken.len() < BATCH
            && let Ok(handed) = self.handed.try_recv()
        {
            self.taken.push(handed);
        }
        let mut taken = std::mem::take(&mut self.taken);
        taken.retain(|handed| !self.lately.has(handed));
        if self.rests().is_some() {
            // They stand in the outbox.
            return false;
        }
        let runs: Vec<RunId> = taken.iter().map(|handed| handed.run).collect();
        let refused = self.publish(&runs).await;
        let acknowledged = taken.into_iter().filter(|handed| !refused.contains(&handed.run));
        self.ahead.extend(acknowledged.map(|handed| (handed.run, handed.due)));
        !runs.is_empty()
    }

    /// Publishes what is next in the outbox. Answers how many runs were read.
    async fn publish_outbox(&mut self) -> Result<usize, StoreError> {
        let store = Arc::clone(&self.context.store);
        let mut through = match self.through.take() {
            Some(through) => through,
            None => store.published_through(self.kind).await?,
        };
        let before = through.clone();
        let entries = store.unpublished(self.kind, &through, BATCH as u64).await;
        // Kept whatever comes of it.
        self.through = Some(through.clone());
        let entries = entries?;
        let is_ahead =
            |entry: &OutboxEntry| self.ahead.get(&entry.run).is_some_and(|due| entry.due() <= *due);
        let runs: Vec<RunId> =
            entries.iter().filter(|entry| !is_ahead(entry)).map(|entry| entry.run).collect();
        let refused = self.publish(&runs).await;
        let mut stuck = HashSet::new();
        for entry in &entries {
            if refused.contains(&entry.run) {
                stuck.insert(entry.shard);
            } else if stuck.contains(&entry.shard) {
                self.ahead.insert(entry.run, entry.due());
            } else {
                through.0.insert(entry.shard, entry.number);
                self.ahead.remove(&entry.run);
                self.lately.note(entry);
            }
        }
        if entries.len() < BATCH {
            // The whole outbox: what is not in it is claimed, or was never there.
            let there: HashSet<RunId> = entries.iter().map(|entry| entry.run).collect();
            self.ahead.retain(|run, _| there.contains(run));
        }
        if through != before {
            self.through = Some(through.clone());
            store.set_published_through(self.kind, &through).await?;
        }
        Ok(entries.len())
    }

    fn rests(&self) -> Option<Duration> {
        self.rest
            .and_then(|until| until.checked_duration_since(Instant::now()))
            .filter(|rest| !rest.is_zero())
    }

    /// Compares outbox and queue: at start, and then now and then.
    async fn compare(&mut self) -> Result<(), StoreError> {
        if Instant::now() < self.comparison.at || self.rests().is_some() {
            return Ok(());
        }
        let store = Arc::clone(&self.context.store);
        let published = match self.comparison.published.take() {
            Some(published) => published,
            // Whatever was published before this process led.
            None => store.published_through(self.kind).await?,
        };
        self.comparison.at = Instant::now() + self.context.compare_every;
        if store.unclaimed(self.kind, &published).await? > 0 {
            self.requeue_lost(&published).await?;
        }
        self.comparison.published.clone_from(&self.through);
        self.context.events.tell(Event::Compared { kind: self.kind });
        Ok(())
    }

    async fn requeue_lost(&mut self, published: &PublishedThrough) -> Result<(), StoreError> {
        // First the depth, then the runs: what a worker claims in between then only makes fewer missing.
        let depth = match self.context.queue.depth(self.kind).await {
            Ok(depth) if depth <= DEEPEST => depth,
            Ok(_) => return Ok(()),
            Err(error) => {
                warn!(kind = %self.kind, %error, "the queue does not tell its depth; lost runs are looked for later");
                return Ok(());
            }
        };
        // Which of them are lost nobody knows. Those with the lowest numbers are taken; with new ones they stand last
        // the next time, so that in the end each has its turn.
        let unclaimed = self.context.store.unclaimed(self.kind, published).await?;
        let lost = unclaimed.saturating_sub(depth);
        if lost > 0 {
            info!(kind = %self.kind, depth, runs = lost, "runs that the queue can't be holding are published again");
            self.context.store.requeue(self.kind, published, lost).await?;
        }
        Ok(())
    }
}

impl Duty for Publish {
    fn name(&self) -> &'static str {
        "publish"
    }

    fn kind(&self) -> Option<TaskType> {
        Some(self.kind)
    }

    async fn look(&mut self) -> Result<Look, StoreError> {
        let handed = self.publish_handed().await;
        if let Some(rest) = self.rests() {
            return Ok(Look { did: false, until: None, within: rest });
        }
        // However much is handed over: retries and what other processes committed stand in the outbox alone.
        if handed && self.read_at.elapsed() < READ_AT_LEAST {
            let more = !self.handed.is_empty();
            return Ok(Look {
                did: true,
                until: None,
                within: if more { Duration::ZERO } else { READ_LATER },
            });
        }
        self.read_at = Instant::now();
        self.compare().await?;
        let read = self.publish_outbox().await?;
        let within = match (self.rests(), read == BATCH) {
            (Some(rest), _) => rest,
            (None, true) => Duration::ZERO,
            (None, false) => self.comparison.at.saturating_duration_since(Instant::now()),
        };
        Ok(Look {
            did: read > 0,
            until: None,
            within: within.max(Duration::from_millis(u64::from(read < BATCH))),
        })
    }

    /// Else the next leader would publish what was handed over, some seconds later.
    async fn end(&mut self) {
        while self.publish_handed().await {}
    }

    async fn called(&mut self) {
        tokio::select! {
            Ok(()) = self.news.changed() => {}
            Some(handed) = self.handed.recv(), if self.rests().is_none() => self.taken.push(handed),
            else => std::future::pending().await,
        }
    }
}

fn published(answer: &Result<(), QueueError>) -> Published {
    match answer {
        Ok(()) => Published::Ack,
        Err(QueueError::Returned(_)) => Published::Returned,
        Err(_) => Published::Failed,
    }
}
