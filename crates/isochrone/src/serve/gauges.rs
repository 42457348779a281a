//! What is looked at every few seconds, so that a scrape asks nobody.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use isochrone_store::Role;
use isochrone_worker::Worker;
use tokio_util::sync::CancellationToken;

use crate::wiring::{House, Line};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(2);

/// How long the store may take to say what time it is.
const PATIENCE: Duration = Duration::from_secs(2);

/// Begins to count what these roles do, and looks at the rest until `stopped`.
pub(super) fn measure(
    house: &House,
    roles: &[Role],
    line: &Line,
    worker: Option<&Worker>,
    stopped: CancellationToken,
) -> impl Future<Output = ()> + use<> {
    let metrics = house.metrics.clone();
    metrics.begin(env!("CARGO_PKG_VERSION"));
    metrics.begin_queue();
    if roles.contains(&Role::Scheduler) {
        metrics.begin_scheduler();
    }
    if roles.contains(&Role::Portal) {
        metrics.begin_portal();
    }
    if roles.iter().any(|role| *role != Role::Scheduler) {
        metrics.begin_upstream(&isochrone_arcgis::KINDS);
        let metrics = metrics.clone();
        isochrone_arcgis::observe_requests(move |kind, status| metrics.upstream_answered(kind, status));
    }
    let slots = worker.map(Worker::slots).unwrap_or_default();
    if worker.is_some() {
        metrics.begin_worker(&slots);
    }
    let takes: Vec<_> = slots.into_keys().collect();
    let (store, line) = (Arc::clone(&house.store), line.clone());
    async move {
        loop {
            line.measure(&metrics, &takes);
            // Each answer tells that the store is there; none at all is told here.
            if tokio::time::timeout(PATIENCE, store.now()).await.is_err() {
                metrics.store_up(false);
            }
            metrics.store_durable(store.weak_durability().is_none());
            metrics.clock_offset(-store.clock().ahead_ms());
            tokio::select! {
                () = stopped.cancelled() => break,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }
}
