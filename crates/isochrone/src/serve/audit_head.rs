//! Tells where the audit log ends, in the log and in a metric: noted there, it tells of entries that were cut
//! off since (`isochrone audit verify --head`).

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use isochrone_store::chain::Head;
use tokio_util::sync::CancellationToken;

use crate::wiring::House;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(30);

/// Between two lines of the log, while the audit log grows.
const LINE_EVERY: Duration = Duration::from_mins(10);

/// Tells it until `stopped`.
pub(super) fn publish(house: &House, stopped: CancellationToken) -> impl Future<Output = ()> + use<> {
    let (store, metrics) = (Arc::clone(&house.store), house.metrics.clone());
    async move {
        let mut told: Option<(Head, Instant)> = None;
        loop {
            // Without an answer: the store's own metrics tell.
            if let Ok(ends) = store.audit_heads().await {
                let head = Head::of(&ends);
                metrics.audit_head(head.entries(), head.bits());
                let due = told.as_ref().is_none_or(|(last, at)| *last != head && at.elapsed() >= LINE_EVERY);
                if due {
                    tracing::info!(entries = head.entries(), %head, "the audit log ends here");
                    told = Some((head, Instant::now()));
                }
            }
            tokio::select! {
                () = stopped.cancelled() => break,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }
}
