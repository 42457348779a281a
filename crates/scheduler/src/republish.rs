//! Finds runs whose wake-ups the queue has lost, and publishes them again.
//!
//! A queue can be purged, a broker can be lost, and the local queue is empty at every start. A double
//! is harmless, but a backlog must not be published over and over: so only as many runs are published
//! again as the queue can't be holding, given its depth.

use isochrone_domain::{EpochMillis, TaskType};
use isochrone_store::{StoreError, Unclaimed};
use tracing::{info, warn};

use crate::outbox::{BATCH, Outbox};

/// A line this long is alive and comparing it is dear: it waits until the line is shorter.
const DEEPEST: u64 = 100_000;

impl Outbox {
    /// Publishes again what was published before `before`, is still queued in the store and can't be in
    /// the queue.
    pub(crate) async fn publish_missing(&mut self, before: EpochMillis) -> Result<(), StoreError> {
        for kind in TaskType::ALL {
            let missing = self.missing(kind, before).await?;
            for batch in missing.chunks(BATCH as usize) {
                if self.rests_until().is_some() {
                    return Ok(());
                }
                self.publish(batch).await;
                self.mark().await?;
            }
        }
        Ok(())
    }

    /// The runs of one type that are to be published again: all of them, for what this pass publishes
    /// would count in the next look at the depth.
    async fn missing(&mut self, kind: TaskType, before: EpochMillis) -> Result<Vec<Unclaimed>, StoreError> {
        if self.rests_until().is_some() || self.store.unclaimed(kind, before, 1).await?.is_empty() {
            return Ok(Vec::new());
        }
        // First the depth, then the runs: what a worker takes in between then only makes fewer missing.
        let depth = match self.queue.depth(kind).await {
            Ok(depth) if depth <= DEEPEST => depth,
            Ok(_) => return Ok(Vec::new()),
            Err(error) => {
                warn!(%kind, %error, "the queue does not tell its depth; lost runs are looked for later");
                return Ok(Vec::new());
            }
        };
        let mut runs = self.store.unclaimed(kind, before, u64::MAX).await?;
        // Which of them are missing nobody knows. The longest published ones are taken; being marked
        // anew they stand last the next time, so that in the end each has its turn.
        runs.truncate((runs.len() as u64).saturating_sub(depth) as usize);
        if !runs.is_empty() {
            info!(%kind, depth, runs = runs.len(), "runs that the queue can't be holding are published again");
        }
        Ok(runs)
    }
}
