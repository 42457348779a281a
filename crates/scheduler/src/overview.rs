//! What a leader looks at for those who watch: the runs that wait, and whether heartbeats come back.

use std::time::Duration;

use isochrone_domain::EpochMillis;
use isochrone_queue::Queue;
use isochrone_store::{Store, StoreError};
use isochrone_telemetry::Metrics;
use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(20);

/// Between two heartbeats.
const HEARTBEAT: Duration = Duration::from_mins(1);

/// Looks again and again, for ever. Safe to drop at any moment.
pub(crate) async fn keep_looking(store: &dyn Store, queue: &dyn Queue, metrics: &Metrics) {
    let mut next_heartbeat = Instant::now();
    let mut last = None;
    loop {
        if next_heartbeat <= Instant::now() {
            next_heartbeat = Instant::now() + HEARTBEAT;
            send_heartbeat(store, queue).await;
        }
        if let Err(error) = look(store, metrics, &mut last).await {
            debug!(%error, "the store could not be looked at");
            // Nothing comes back without it.
            if let Some(sent) = last {
                metrics.heartbeat_age(age(sent, store.clock().now()));
            }
        }
        sleep(LOOK).await;
    }
}

/// It travels as wake-ups do; the worker that takes it tells of it where it tells of itself.
async fn send_heartbeat(store: &dyn Store, queue: &dyn Queue) {
    let Ok(now) = store.now().await else { return };
    if let Err(error) = queue.send_heartbeat(now).await {
        warn!(%error, "a heartbeat could not be sent");
    }
}

/// `last`: when the last heartbeat was sent that is known to have reached a worker; before the first one, when
/// it began to be looked for.
async fn look(
    store: &dyn Store,
    metrics: &Metrics,
    last: &mut Option<EpochMillis>,
) -> Result<(), StoreError> {
    let now = store.now().await?;
    let backlog = store.backlog().await?;
    metrics.runs_queued(&backlog.queued);
    metrics.outbox(backlog.unpublished, backlog.oldest.map_or(0, |oldest| now.since(oldest)));
    let members = store.members().await?;
    let heard = members.iter().filter_map(|present| present.member.heartbeat).max();
    // What was sent before a clock was set back lies in what is the future now.
    let known = [*last, heard].into_iter().flatten().filter(|sent| *sent <= now).max();
    let sent = *last.insert(known.unwrap_or(now));
    metrics.heartbeat_age(age(sent, now));
    Ok(())
}

fn age(sent: EpochMillis, now: EpochMillis) -> Duration {
    Duration::from_millis(u64::try_from(now.since(sent)).unwrap_or(0))
}
