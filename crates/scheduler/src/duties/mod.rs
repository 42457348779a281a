//! What a leading scheduler does all the time: duties that can't hold each other up.
//!
//! Each is a task of its own, which looks, does what there is to do, and waits; with its own pauses when it fails. They
//! meet in the store: what one decides, another finds there. What the fire duty hands to the publishers in this process
//! is a short cut and no more.

mod answered_looks;
mod due;
mod expire;
mod finish_deletions;
mod fire;
mod hand_over;
mod idle;
mod publish;
mod queue_delayed;

use std::sync::Arc;
use std::time::Duration;

use isochrone_domain::{EpochMillis, TaskType};
use isochrone_queue::Queue;
use isochrone_store::{Store, StoreError};
use isochrone_telemetry::Metrics;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::Wake;
use crate::backoff::Backoff;
use crate::event::Events;
use expire::Expire;
use finish_deletions::FinishDeletions;
use fire::Fire;
use hand_over::HandOver;
use idle::Idle;
use publish::Publish;
use queue_delayed::QueueDelayed;

pub(crate) use due::Due;

/// Something that is due and can't be done is tried again at the latest after this.
const LONGEST_STUCK: Duration = Duration::from_millis(500);

/// What the duties work with.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) wake: Wake,
    pub(crate) events: Events,
    pub(crate) metrics: Metrics,
    /// How often a type's outbox is compared with its queue.
    pub(crate) compare_every: Duration,
    /// How long workers' leases are; none: this scheduler has no others beside it, and the workers' store is in its
    /// own process.
    pub(crate) lease: Option<Duration>,
}

/// Tells how much the store has put off since the last look.
#[derive(Default)]
struct SaidDeferred(u64);

impl SaidDeferred {
    fn say(&mut self, metrics: &Metrics, duty: &str, so_far: u64) {
        metrics.items_deferred(duty, so_far.saturating_sub(self.0));
        self.0 = so_far;
    }
}

/// What came of a look.
struct Look {
    /// Whether anything was done.
    did: bool,
    /// When there will be something to do, as far as the store knows.
    until: Option<EpochMillis>,
    /// The next look at the latest, whatever the store knows: others write there, too.
    within: Duration,
}

/// Something that is done again and again.
trait Duty: Send {
    /// Its name in logs and metrics.
    fn name(&self) -> &'static str;

    /// Whose it is, where there is one for each type.
    fn kind(&self) -> Option<TaskType> {
        None
    }

    /// Looks, and does what there is to do, in bounded steps.
    fn look(&mut self) -> impl Future<Output = Result<Look, StoreError>> + Send;

    /// Does what must not be left undone, as nobody looks any more.
    fn end(&mut self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// Waits for a reason of its own to look again.
    fn called(&mut self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }
}

/// Does them all until `shutdown`. Each ends between two steps, never within one; the publishers last, when nothing more
/// is handed to them.
pub(crate) async fn run(context: &Context, shutdown: CancellationToken) {
    let idle = Arc::new(Idle::new(context.wake.clone(), context.events.clone()));
    let news = watch::Sender::new(());
    let (hand_over, handed) = HandOver::new();
    let (mut deciding, mut publishing) = (JoinSet::new(), JoinSet::new());
    let decided = CancellationToken::new();
    for (kind, handed) in handed {
        let publish = Publish::new(context.clone(), kind, handed, news.subscribe());
        publishing.spawn(keep(publish, context.clone(), idle.place(), decided.clone()));
    }
    let fire = Fire::new(context.clone(), hand_over, shutdown.clone());
    // All have their places before the first begins.
    let places = [idle.place(), idle.place(), idle.place(), idle.place()];
    let [for_fire, for_delayed, for_expire, for_deletions] = places;
    deciding.spawn(keep(fire, context.clone(), for_fire, shutdown.clone()));
    let queue_delayed = QueueDelayed::new(context.clone(), news);
    deciding.spawn(keep(queue_delayed, context.clone(), for_delayed, shutdown.clone()));
    deciding.spawn(keep(Expire::new(context.clone()), context.clone(), for_expire, shutdown.clone()));
    let deletions = FinishDeletions::new(context.clone());
    deciding.spawn(keep(deletions, context.clone(), for_deletions, shutdown.clone()));
    while !deciding.is_empty() {
        let ended = tokio::select! {
            Some(ended) = deciding.join_next() => ended,
            Some(ended) = publishing.join_next() => ended,
        };
        if let Err(problem) = ended {
            // A scheduler with a duty missing must not look healthy.
            error!(%problem, "a duty of the scheduler has failed; all are begun anew");
            shutdown.cancel();
        }
    }
    decided.cancel();
    while let Some(ended) = publishing.join_next().await {
        if let Err(problem) = ended {
            error!(%problem, "a publisher has failed");
        }
    }
}

async fn keep<D: Duty>(mut duty: D, context: Context, idle: idle::Place, shutdown: CancellationToken) {
    let mut wakes = context.wake.wakes();
    let mut failing = Backoff::new(Duration::from_millis(20), Duration::from_secs(5));
    let mut stuck = Backoff::new(Duration::from_millis(5), LONGEST_STUCK);
    while !shutdown.is_cancelled() {
        let seen = *wakes.borrow_and_update();
        idle.busy();
        let pause = match duty.look().await {
            Ok(look) => {
                failing.worked();
                let wait = look
                    .until
                    .map_or(look.within, |until| context.store.clock().until(until).min(look.within));
                if wait > Duration::ZERO {
                    stuck.worked();
                    idle.idle(seen, look.until);
                    wait
                } else if look.did {
                    stuck.worked();
                    Duration::ZERO
                } else {
                    stuck.failed()
                }
            }
            Err(problem) => {
                let pause = failing.failed();
                context.metrics.duty_failed(duty.name());
                error!(duty = duty.name(), kind = ?duty.kind(), %problem, ?pause, "the store failed; tried again");
                tokio::select! {
                    () = shutdown.cancelled() => {}
                    () = sleep(pause) => {}
                }
                continue;
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            // The sender is in the context.
            _ = wakes.changed() => {}
            () = duty.called() => {}
            () = sleep(pause) => {}
        }
    }
    duty.end().await;
}
