//! Which of several schedulers works: the one that has the lead in the store.
//!
//! It saves the others' work, no more. Two that work at once do no harm, as each commit is guarded by
//! what it read; so a leader that lost the lead without knowing it yet can spoil nothing.

use std::sync::Arc;
use std::time::Duration;

use isochrone_store::{Leadership, Store, StoreError};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How a scheduler asks for the lead. Durations are the world's.
#[derive(Clone, Debug)]
pub struct Lead {
    /// Unique to this process.
    pub name: String,
    /// How long a leader that is gone is waited for.
    pub length: Duration,
    /// Between two renewals, or two looks at the leader.
    pub every: Duration,
    /// How long workers' leases are. So long a leader has looked at the store before it expires one.
    pub lease: Duration,
}

impl Lead {
    /// A leader that died is replaced within 4 s. `lease`: how long workers' leases are.
    pub fn new(name: impl Into<String>, lease: Duration) -> Lead {
        Lead { name: name.into(), length: Duration::from_secs(3), every: Duration::from_millis(750), lease }
    }

    /// How long the leader trusts in its lead without news: it ends its work before anyone else begins.
    fn trusted(&self) -> Duration {
        self.length * 4 / 5
    }
}

/// Whether this scheduler has the lead now.
#[derive(Clone, Debug)]
pub(crate) struct Leading(watch::Receiver<Option<Instant>>);

impl Leading {
    /// One that has no other beside it.
    pub(crate) fn alone() -> Leading {
        // The last value stays when the sender is gone.
        Leading(watch::channel(Some(Instant::now() + Duration::from_hours(24 * 365 * 30))).1)
    }

    /// Asks for the lead and keeps it until `shutdown`, then gives it back.
    pub(crate) fn ask(store: Arc<dyn Store>, lead: Lead, shutdown: CancellationToken) -> Leading {
        let (until, leading) = watch::channel(None);
        tokio::spawn(async move {
            tokio::select! {
                () = keep(&*store, &lead, &until) => {}
                () = shutdown.cancelled() => {}
            }
            until.send_replace(None);
            // Else the others would wait for the lease's end.
            if let Ok(Err(error)) = timeout(lead.length, store.resign(&lead.name)).await {
                warn!(%error, "the lead could not be given back; it lapses");
            }
        });
        Leading(leading)
    }

    pub(crate) fn now(&self) -> bool {
        self.0.borrow().is_some_and(|until| Instant::now() < until)
    }

    /// Waits for the lead.
    pub(crate) async fn begun(&mut self) {
        while !self.now() {
            if self.0.changed().await.is_err() {
                // Asking has ended, and with it everything else.
                return std::future::pending().await;
            }
        }
    }

    /// Waits until the lead has lapsed or is lost.
    pub(crate) async fn over(&mut self) {
        loop {
            let until = *self.0.borrow_and_update();
            let Some(until) = until.filter(|until| Instant::now() < *until) else { return };
            tokio::select! {
                () = sleep_until(until) => {}
                changed = self.0.changed() => if changed.is_err() { sleep_until(until).await },
            }
        }
    }
}

async fn keep(store: &dyn Store, lead: &Lead, until: &watch::Sender<Option<Instant>>) {
    let length = store.clock().of_real(lead.length);
    let mut term = None;
    let mut follows = None;
    loop {
        if let Ok(Err(StoreError::ClocksDisagree(problem))) = timeout(lead.trusted(), store.now()).await {
            if term.take().is_some() {
                warn!(name = lead.name, %problem, "the lead is given up: the clocks disagree");
                until.send_replace(None);
                // Another one, whose own clock is right, leads sooner.
                drop(timeout(lead.trusted(), store.resign(&lead.name)).await);
            }
            sleep(lead.every).await;
            continue;
        }
        let asked = Instant::now();
        match timeout(lead.trusted(), store.lead(&lead.name, length)).await {
            Ok(Ok(Leadership::Leading { term: now })) => {
                if term.replace(now) != Some(now) {
                    info!(name = lead.name, term = now, "this scheduler leads");
                }
                follows = None;
                until.send_replace(Some(asked + lead.trusted()));
            }
            Ok(Ok(Leadership::Following { leader, .. })) => {
                if term.take().is_some() {
                    warn!(name = lead.name, leader, "the lead is lost to another scheduler");
                }
                if follows.as_ref() != Some(&leader) {
                    info!(name = lead.name, leader, "another scheduler leads; this one stands by");
                    follows = Some(leader);
                }
                until.send_replace(None);
            }
            Ok(Err(error)) => warn!(%error, "the store did not answer who leads"),
            Err(_) => warn!("the store did not answer in time who leads"),
        }
        sleep(lead.every).await;
    }
}
