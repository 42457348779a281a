//! Takes runs from workers that were lost.

use isochrone_domain::{EpochMillis, Run};
use isochrone_store::{Store, StoreError};
use isochrone_telemetry::{AttemptResult, Metrics};
use tracing::warn;

use crate::event::Event;
use crate::fire_loop::Events;

/// Attempts in one step.
pub(crate) const BATCH: u64 = 200;

/// Settles a batch of the attempts whose lease has lapsed at `now`: their runs go to another worker, by
/// way of the outbox, or end. A full [`BATCH`]: there may be more.
pub(crate) async fn reap_batch(
    store: &dyn Store,
    now: EpochMillis,
    events: &Events,
    metrics: &Metrics,
) -> Result<u64, StoreError> {
    let lapsed = store.reap(now, BATCH).await?;
    for lost in &lapsed {
        metrics.attempt_ended(lost, AttemptResult::Lost);
        let Run { id: run, task, attempt, status, .. } = lost;
        warn!(task_id = %task, run_id = %run, attempt, status = status.wire(), "an attempt lost its lease");
        events.tell(Event::Reaped { run: *run, status: status.clone() });
    }
    Ok(lapsed.len() as u64)
}
