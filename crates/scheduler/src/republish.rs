//! Finds runs whose wake-ups the queue has lost, and publishes them again.
//!
//! A queue can be purged, a broker can be lost, and the local queue is empty at every start. A double
//! is harmless, but a backlog must not be published over and over: so only as many runs are published
//! again as the queue can't be holding, given its depth.

use isochrone_domain::{EpochMillis, TaskType};
use isochrone_store::StoreError;
use tracing::{info, warn};

use crate::outbox::{BATCH, Outbox};

/// A line this long is alive and comparing it is dear: it waits until the line is shorter.
const DEEPEST: u64 = 100_000;

impl Outbox {
    /// Publishes again what was published before `before`, is still queued in the store and can't be in
    /// the queue.
    pub(crate) async fn publish_missing(&mut self, before: EpochMillis) -> Result<(), StoreError> {
        for kind in TaskType::ALL {
            while self.rests_until().is_none() && self.publish_missing_of(kind, before).await? == BATCH {}
        }
        Ok(())
    }

    /// One batch of one type. Answers how many the queue took.
    async fn publish_missing_of(&mut self, kind: TaskType, before: EpochMillis) -> Result<u64, StoreError> {
        if self.store.unclaimed(kind, before, 1).await?.is_empty() {
            return Ok(0);
        }
        // First the depth, then the runs: what a worker takes in between then only makes fewer missing.
        let depth = match self.queue.depth(kind).await {
            Ok(depth) if depth <= DEEPEST => depth,
            Ok(_) => return Ok(0),
            Err(error) => {
                warn!(%kind, %error, "the queue does not tell its depth; lost runs are looked for later");
                return Ok(0);
            }
        };
        let mut runs = self.store.unclaimed(kind, before, depth + BATCH).await?;
        // Which of them are missing nobody knows. The longest published ones are taken; being marked
        // anew they stand last the next time, so that in the end each has its turn.
        runs.truncate((runs.len() as u64).saturating_sub(depth) as usize);
        if runs.is_empty() {
            return Ok(0);
        }
        info!(%kind, depth, runs = runs.len(), "runs that the queue can't be holding are published again");
        self.publish(&runs).await;
        self.mark().await
    }
}
