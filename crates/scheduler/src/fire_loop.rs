//! The loop: sleeps until something is due, does it, and looks again.

use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use isochrone_domain::EpochMillis;
use isochrone_queue::Queue;
use isochrone_store::{Store, StoreError};
use isochrone_telemetry::Metrics;
use tokio::sync::{broadcast, mpsc};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::backoff::Backoff;
use crate::expiry::AnsweredLooks;
use crate::firing::{Fired, fire_due};
use crate::lead::{Lead, Leading};
use crate::outbox::{self, Outbox};
use crate::overview;
use crate::reaper::{self, reap_batch};
use crate::{Event, Retention, Wake};

/// No sleep is longer: another process may have written to the store, and clocks jump.
const LONGEST_SLEEP: Duration = Duration::from_millis(500);
/// How often queue and store are compared, and how long a run has been published before it can count as
/// lost.
const REPUBLISH: Duration = Duration::from_secs(30);
/// How long workers have to claim what was published before it is marked.
const MARK_LATER: Duration = Duration::from_millis(25);
/// Batches that are kept and wait to be published together; more fires wait then.
const KEPT: usize = 5;
/// Events that a watcher may lag behind before it misses some.
const EVENTS: usize = 4_096;

/// Tells watchers what the loop did.
#[derive(Clone, Debug)]
pub(crate) struct Events(broadcast::Sender<Event>);

impl Events {
    pub(crate) fn tell(&self, event: Event) {
        // Nobody needs to watch.
        drop(self.0.send(event));
    }
}

/// Fires what is due, publishes the outbox, reaps lapsed leases.
///
/// Any number of them may run on one store: each commit is guarded by what it read, so one wins. With a
/// [`Lead`] they take turns, and all but one stand by.
pub struct Scheduler {
    store: Arc<dyn Store>,
    outbox: Outbox,
    wake: Wake,
    events: Events,
    compare_every: Duration,
    /// When they are compared again; none: the loop has not begun.
    compare_at: Option<Instant>,
    /// Waits while something is due and nothing can be done about it.
    stuck: Backoff,
    lead: Option<Lead>,
    /// None: this scheduler has no others beside it, and the workers' store is in its own process.
    looks: Option<AnsweredLooks>,
    retention: Option<Arc<Retention>>,
    metrics: Metrics,
}

impl Scheduler {
    /// A loop that is not running yet. `wake` makes it look before its time.
    pub fn new(store: Arc<dyn Store>, queue: Arc<dyn Queue>, wake: Wake) -> Scheduler {
        let events = Events(broadcast::Sender::new(EVENTS));
        Scheduler {
            outbox: Outbox::new(Arc::clone(&store), queue, events.clone()),
            store,
            wake,
            events,
            compare_every: REPUBLISH,
            compare_at: None,
            stuck: Backoff::new(Duration::from_millis(5), LONGEST_SLEEP),
            lead: None,
            looks: None,
            retention: None,
            metrics: Metrics::new(),
        }
    }

    /// Works only while it leads.
    pub fn with_lead(mut self, lead: Lead) -> Scheduler {
        self.lead = Some(lead);
        self
    }

    /// Compares queue and store more or less often than every 30 s, in the world's time. What a run waits
    /// in the queue before it can count as lost is as long.
    pub fn compare_every(mut self, every: Duration) -> Scheduler {
        self.compare_every = every;
        self
    }

    /// Forgets what is old, too, while it works.
    pub fn with_retention(mut self, retention: Retention) -> Scheduler {
        self.retention = Some(Arc::new(retention));
        self
    }

    /// Counts there what it does.
    pub fn with_metrics(mut self, metrics: Metrics) -> Scheduler {
        self.outbox.metrics = metrics.clone();
        self.metrics = metrics;
        self
    }

    /// What the loop does from now on. A watcher that is thousands of events behind misses some.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.0.subscribe()
    }

    /// Runs until `shutdown`. It ends between two steps, never within one.
    pub async fn run(mut self, shutdown: CancellationToken) {
        info!("the scheduler runs");
        self.metrics.leads(false);
        let lease = self.lead.as_ref().map(|lead| lead.lease);
        let mut leading = match self.lead.take() {
            None => Leading::alone(),
            Some(lead) => Leading::ask(Arc::clone(&self.store), lead, shutdown.clone()),
        };
        while !shutdown.is_cancelled() {
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = leading.begun() => {}
            }
            self.begin_looking(lease);
            let stop = shutdown.child_token();
            let mut watched = leading.clone();
            let retention = self.retention.clone();
            let (store, queue) = (Arc::clone(&self.store), Arc::clone(&self.outbox.queue));
            let metrics = self.metrics.clone();
            metrics.leads(true);
            tokio::select! {
                // Between two steps: what was begun is ended.
                () = self.work(stop.clone()) => {}
                () = async {
                    watched.over().await;
                    stop.cancel();
                    std::future::pending::<()>().await;
                } => {}
                () = async {
                    if let Some(retention) = retention {
                        retention.keep_forgetting().await;
                    }
                    std::future::pending::<()>().await;
                } => {}
                () = overview::keep_looking(&*store, &*queue, &metrics) => {}
            }
            self.metrics.leads(false);
            // What another leader published meanwhile is compared with the queue.
            self.compare_at = None;
        }
        info!("the scheduler has ended");
    }

    async fn work(&mut self, shutdown: CancellationToken) {
        let mut failing = Backoff::new(Duration::from_millis(20), Duration::from_secs(5));
        while !shutdown.is_cancelled() {
            match self.round(&shutdown).await {
                Ok(pause) => {
                    failing.worked();
                    tokio::select! {
                        () = shutdown.cancelled() => {}
                        () = self.wake.woken() => {}
                        () = sleep(pause) => {}
                    }
                }
                Err(error) => {
                    let pause = failing.failed();
                    error!(%error, ?pause, "the store failed; the scheduler tries again");
                    tokio::select! {
                        () = shutdown.cancelled() => {}
                        () = sleep(pause) => {}
                    }
                }
            }
        }
    }

    /// Does what is due. Answers how long to sleep.
    async fn round(&mut self, shutdown: &CancellationToken) -> Result<Duration, StoreError> {
        let mut did_something = self.fire(shutdown).await?;
        self.find_lost_runs().await?;
        let mut until = self.store.next_wake().await?;
        self.answered();
        if until.is_some() && until <= Some(self.store.now().await?) {
            // Neither keeps the other from being done.
            let reaped = self.reap().await;
            did_something |= self.publish().await?;
            did_something |= reaped?;
            until = self.store.next_wake().await?;
        }
        Ok(self.pause(until, did_something))
    }

    /// Fires what is due. While a batch is published, the next ones are decided.
    async fn fire(&mut self, shutdown: &CancellationToken) -> Result<bool, StoreError> {
        let store = Arc::clone(&self.store);
        let (keep, kept) = mpsc::channel(KEPT);
        let firing = async move {
            let mut batches = std::pin::pin!(fire_due(&*store, shutdown));
            while let Some(fired) = batches.try_next().await? {
                // The other end is open until this one is dropped.
                drop(keep.send(fired).await);
            }
            Ok::<_, StoreError>(())
        };
        let (fired, kept_any) = tokio::join!(firing, self.publish_kept(kept));
        fired?;
        if self.outbox.has_unmarked() {
            // Claims want to write now, and a run that is claimed needs no mark.
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = sleep(MARK_LATER) => {}
            }
        }
        self.outbox.mark().await?;
        Ok(kept_any)
    }

    /// Publishes what was fired, as it comes, until no more does. Answers whether that was anything.
    async fn publish_kept(&mut self, mut kept: mpsc::Receiver<Fired>) -> bool {
        let (mut any, mut batches) = (false, Vec::new());
        while kept.recv_many(&mut batches, KEPT).await > 0 {
            // They are committed.
            self.answered();
            for event in batches.iter().flat_map(Fired::events) {
                self.events.tell(event);
            }
            let runs: Vec<_> = batches.iter().flat_map(Fired::runs).collect();
            self.outbox.publish(&runs).await;
            for fired in batches.drain(..) {
                any |= fired.any();
                fired.tell(&self.metrics);
            }
        }
        any
    }

    /// The scheduler has the lead. It goes on looking where it had it a moment ago.
    fn begin_looking(&mut self, lease: Option<Duration>) {
        let now = Instant::now();
        match (&mut self.looks, lease) {
            (Some(looks), Some(lease)) if looks.last() + lease > now => looks.answered(now),
            (looks, lease) => *looks = lease.map(|lease| AnsweredLooks::begin(lease, now)),
        }
    }

    /// The store has answered.
    fn answered(&mut self) {
        if let Some(looks) = &mut self.looks {
            looks.answered(Instant::now());
        }
    }

    async fn reap(&mut self) -> Result<bool, StoreError> {
        let mut any = false;
        loop {
            let now = self.store.now().await?;
            self.answered();
            if self.looks.as_ref().is_some_and(|looks| !looks.may_expire()) {
                return Ok(any);
            }
            let reaped = reap_batch(&*self.store, now, &self.events, &self.metrics).await?;
            any |= reaped > 0;
            if reaped < reaper::BATCH {
                return Ok(any);
            }
        }
    }

    async fn publish(&mut self) -> Result<bool, StoreError> {
        let mut any = false;
        loop {
            let now = self.store.now().await?;
            self.answered();
            let taken = self.outbox.publish_due(now).await?;
            any |= taken > 0;
            if taken < outbox::BATCH {
                return Ok(any);
            }
        }
    }

    /// Compares store and queue: at start, when the local queue is empty, and every now and then.
    async fn find_lost_runs(&mut self) -> Result<(), StoreError> {
        if self.compare_at.is_some_and(|moment| Instant::now() < moment) {
            return Ok(());
        }
        let before = match self.compare_at {
            Some(_) => self.store.now().await? - self.store.clock().of_real(self.compare_every),
            // A clock that was set back has marked runs as published in what is the future now.
            None => EpochMillis::MAX,
        };
        self.outbox.publish_missing(before).await?;
        self.compare_at = Some(Instant::now() + self.compare_every);
        Ok(())
    }

    fn pause(&mut self, until: Option<EpochMillis>, did_something: bool) -> Duration {
        let wait = until.map_or(LONGEST_SLEEP, |moment| self.store.clock().until(moment).min(LONGEST_SLEEP));
        if wait > Duration::ZERO {
            self.events.tell(Event::Idle { until });
        } else if !did_something {
            return self.stuck.failed();
        }
        self.stuck.worked();
        wait
    }
}
