//! Looks at the clocks all the time, so that what was set is known before anybody asks.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use isochrone_store::StoreError;
use tokio_util::sync::CancellationToken;

use crate::wiring::House;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);

/// How long the store may take to say what time it is.
const PATIENCE: Duration = Duration::from_secs(2);

/// Looks until `stopped`. A store that does not answer leaves open what its clock shows.
pub(super) fn watch(house: &House, stopped: CancellationToken) -> impl Future<Output = ()> + use<> {
    let (clocks, metrics) = (Arc::clone(&house.clocks), house.metrics.clone());
    async move {
        loop {
            match tokio::time::timeout(PATIENCE, clocks.look()).await {
                Ok(Ok(_)) => metrics.clocks_agree(true),
                Ok(Err(StoreError::ClocksDisagree(_))) => metrics.clocks_agree(false),
                Ok(Err(_)) | Err(_) => {}
            }
            tokio::select! {
                () = stopped.cancelled() => break,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }
}
