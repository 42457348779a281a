//! Takes runs from the store to the queue.
//!
//! A run is marked as published only once the queue has its wake-up. What is published and not marked
//! is published again; the worker's claim makes the double harmless.

use std::sync::Arc;
use std::time::Duration;

use isochrone_domain::EpochMillis;
use isochrone_queue::{Queue, QueueError, WakeUp};
use isochrone_store::{Store, StoreError, Unclaimed};
use isochrone_telemetry::{Metrics, Published};
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::backoff::Backoff;
use crate::event::Event;
use crate::fire_loop::Events;

/// Runs in one publish.
pub(crate) const BATCH: u64 = 500;

/// Takes runs from the store to the queue.
pub(crate) struct Outbox {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) metrics: Metrics,
    events: Events,
    backoff: Backoff,
    /// The queue failed: it is not asked again before this moment.
    rest: Option<Instant>,
    /// In the queue, and not marked in the store yet.
    unmarked: Vec<Unclaimed>,
}

impl Outbox {
    pub(crate) fn new(store: Arc<dyn Store>, queue: Arc<dyn Queue>, events: Events) -> Outbox {
        let backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(10));
        Outbox { store, queue, metrics: Metrics::new(), events, backoff, rest: None, unmarked: Vec::new() }
    }

    /// When the queue is asked again; none: now.
    pub(crate) fn rests_until(&self) -> Option<Instant> {
        self.rest.filter(|until| Instant::now() < *until)
    }

    /// Publishes runs. They are marked by [`Outbox::mark`], which costs a commit: it can wait until
    /// nothing is due. What the queue does not take stays in the store's outbox.
    pub(crate) async fn publish(&mut self, runs: &[Unclaimed]) {
        if runs.is_empty() || self.rests_until().is_some() {
            return;
        }
        let wake_ups: Vec<_> = runs.iter().map(|run| WakeUp { run: run.run, kind: run.kind }).collect();
        let asked = Instant::now();
        let answers = self.queue.publish(&wake_ups).await;
        self.metrics.published(answers.iter().map(word), asked.elapsed());
        let mut refused = None;
        for (run, answer) in runs.iter().zip(answers) {
            match answer {
                Ok(()) => {
                    debug!(run_id = %run.run, attempt = run.attempt, "published");
                    self.events.tell(Event::Published { run: run.run });
                    self.unmarked.push(*run);
                }
                Err(error) => refused = Some(error),
            }
        }
        self.rest = refused.map(|error| {
            let wait = self.backoff.failed();
            warn!(%error, ?wait, "the queue took not every run; they are published later");
            Instant::now() + wait
        });
        if self.rest.is_none() {
            self.backoff.worked();
        }
    }

    /// Whether something is in the queue and not marked.
    pub(crate) fn has_unmarked(&self) -> bool {
        !self.unmarked.is_empty()
    }

    /// Marks what was published, and answers how many that were.
    pub(crate) async fn mark(&mut self) -> Result<u64, StoreError> {
        let count = self.unmarked.len() as u64;
        if count > 0 {
            self.store.mark_published(&self.unmarked).await?;
            self.unmarked.clear();
        }
        Ok(count)
    }

    /// Publishes and marks a batch of the runs that are due and not published. Answers how many the
    /// queue took; a full [`BATCH`]: there may be more.
    pub(crate) async fn publish_due(&mut self, now: EpochMillis) -> Result<u64, StoreError> {
        // What is published shall not show as unpublished.
        self.mark().await?;
        if self.rests_until().is_some() {
            return Ok(0);
        }
        let runs = self.store.unpublished(now, BATCH).await?;
        self.publish(&runs).await;
        self.mark().await
    }
}

fn word(answer: &Result<(), QueueError>) -> Published {
    match answer {
        Ok(()) => Published::Ack,
        Err(QueueError::Returned(_)) => Published::Returned,
        Err(_) => Published::Failed,
    }
}
