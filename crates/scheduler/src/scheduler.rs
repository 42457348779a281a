//! The scheduler: does its duties while it leads.

use std::sync::Arc;
use std::time::Duration;

use isochrone_queue::Queue;
use isochrone_store::Store;
use isochrone_telemetry::Metrics;
use tokio::sync::broadcast;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::duties::{self, Context};
use crate::event::Events;
use crate::lead::{Lead, Leading};
use crate::overview;
use crate::{Event, Retention, Wake};

/// How often queue and outbox are compared, and how long a run has been published before it can count as lost.
const COMPARE: Duration = Duration::from_secs(30);

/// The pause before the duties are begun anew.
const AFTER_A_PANIC: Duration = Duration::from_secs(1);

/// Fires what is due, publishes the outbox, expires leases.
///
/// Any number of them may run on one store: each commit is guarded by what it read, so one wins. With a
/// [`Lead`] they take turns, and all but one stand by.
pub struct Scheduler {
    context: Context,
    lead: Option<Lead>,
    retention: Option<Arc<Retention>>,
}

impl Scheduler {
    /// One that is not running yet. `wake` makes it look before its time.
    pub fn new(store: Arc<dyn Store>, queue: Arc<dyn Queue>, wake: Wake) -> Scheduler {
        let context = Context {
            store,
            queue,
            wake,
            events: Events::new(),
            metrics: Metrics::new(),
            compare_every: COMPARE,
            lease: None,
        };
        Scheduler { context, lead: None, retention: None }
    }

    /// Works only while it leads.
    pub fn with_lead(mut self, lead: Lead) -> Scheduler {
        self.context.lease = Some(lead.lease);
        self.lead = Some(lead);
        self
    }

    /// Compares queue and outbox more or less often than every 30 s, in the world's time. What a run waits
    /// in the queue before it can count as lost is as long.
    pub fn compare_every(mut self, every: Duration) -> Scheduler {
        self.context.compare_every = every;
        self
    }

    /// Forgets what is old, too, while it works.
    pub fn with_retention(mut self, retention: Retention) -> Scheduler {
        self.retention = Some(Arc::new(retention));
        self
    }

    /// Counts there what it does.
    pub fn with_metrics(mut self, metrics: Metrics) -> Scheduler {
        self.context.metrics = metrics;
        self
    }

    /// What it does from now on. A watcher that is thousands of events behind misses some.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.context.events.subscribe()
    }

    /// Runs until `shutdown`. It ends between two steps, never within one.
    pub async fn run(mut self, shutdown: CancellationToken) {
        info!("the scheduler runs");
        self.context.metrics.leads(false);
        let mut leading = match self.lead.take() {
            None => Leading::alone(),
            Some(lead) => Leading::ask(Arc::clone(&self.context.store), lead, shutdown.clone()),
        };
        while !shutdown.is_cancelled() {
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = leading.begun() => {}
            }
            self.context.metrics.leads(true);
            self.work(&mut leading, shutdown.child_token()).await;
            self.context.metrics.leads(false);
            if leading.now() && !shutdown.is_cancelled() {
                // A duty has panicked: it may do so again at once.
                sleep(AFTER_A_PANIC).await;
            }
        }
        info!("the scheduler has ended");
    }

    /// Does all duties while it leads.
    async fn work(&self, leading: &mut Leading, stop: CancellationToken) {
        let Context { store, queue, metrics, .. } = &self.context;
        tokio::select! {
            // Between two steps: what was begun is ended.
            () = duties::run(&self.context, stop.clone()) => {}
            () = async {
                leading.over().await;
                stop.cancel();
                std::future::pending::<()>().await;
            } => {}
            () = async {
                if let Some(retention) = &self.retention {
                    retention.keep_forgetting().await;
                }
                std::future::pending::<()>().await;
            } => {}
            () = overview::keep_looking(&**store, &**queue, metrics) => {}
        }
    }
}
