//! The attempts that a worker has, and the renewal of their leases.
//!
//! All leases of a worker are renewed in one call; the answer carries the cancels. A lease is
//! measured by the monotonic clock from before it was asked for, so that a slow answer never makes
//! it look longer than the store thinks it is.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use isochrone_domain::{Progress, RunId};
use isochrone_store::{Held, Renewal};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::{StopReason, WorkerParts};

/// The attempts that a worker has at the moment.
#[derive(Default)]
pub(crate) struct Leases {
    held: Mutex<HashMap<RunId, Entry>>,
}

struct Entry {
    attempt: u32,
    trusted_until: watch::Sender<Instant>,
    stop: watch::Sender<Option<StopReason>>,
    progress: Option<Progress>,
}

/// What the attempt's own task watches.
pub(crate) struct Lease {
    pub(crate) trusted_until: watch::Receiver<Instant>,
    pub(crate) stop: watch::Receiver<Option<StopReason>>,
}

impl Leases {
    fn entries(&self) -> std::sync::MutexGuard<'_, HashMap<RunId, Entry>> {
        // Each change of the map is one step: a panic elsewhere leaves it whole.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an attempt that was just claimed. An earlier attempt at the run may still work here: the
    /// store's clock can have jumped over its lease, which this process measures by another one. It is
    /// stopped, and this answers once its work is dead.
    pub(crate) async fn hold(&self, run: RunId, attempt: u32, trusted_until: Instant) -> Lease {
        let (until_sender, until) = watch::channel(trusted_until);
        let (stop_sender, stop) = watch::channel(None);
        let entry = Entry { attempt, trusted_until: until_sender, stop: stop_sender, progress: None };
        let earlier = self.entries().insert(run, entry);
        if let Some(earlier) = earlier {
            tracing::warn!(run_id = %run, attempt = earlier.attempt, "overtaken by a new attempt; stopped");
            tell(&earlier.stop, StopReason::LeaseLost);
            earlier.stop.closed().await;
        }
        Lease { trusted_until: until, stop }
    }

    pub(crate) fn runs(&self) -> Vec<RunId> {
        self.entries().keys().copied().collect()
    }

    /// Forgets an attempt that is over.
    pub(crate) fn let_go(&self, run: RunId, attempt: u32) {
        let mut entries = self.entries();
        if entries.get(&run).is_some_and(|entry| entry.attempt == attempt) {
            entries.remove(&run);
        }
    }

    /// Notes progress, to be kept with the next renewal.
    pub(crate) fn progress(&self, run: RunId, attempt: u32, progress: Progress) {
        if let Some(entry) = self.entries().get_mut(&run).filter(|entry| entry.attempt == attempt) {
            entry.progress = Some(progress);
        }
    }

    /// Tells an attempt to stop. The first reason stays, but for a lost lease, which overrides all.
    pub(crate) fn stop(&self, run: RunId, attempt: u32, reason: StopReason) {
        if let Some(entry) = self.entries().get(&run).filter(|entry| entry.attempt == attempt) {
            tell(&entry.stop, reason);
        }
    }

    /// Tells every attempt to stop.
    pub(crate) fn stop_all(&self, reason: StopReason) {
        for entry in self.entries().values() {
            tell(&entry.stop, reason);
        }
    }

    /// Renews every lease, again and again.
    pub(crate) async fn keep_renewing(&self, parts: &WorkerParts, every: Duration, lease: LeaseLength) {
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // Bounded, so that a store that hangs does not cost the renewals after it.
            let renewal = tokio::time::timeout(lease.trusted / 2, self.renew(parts, lease));
            if renewal.await.is_err() {
                tracing::warn!("the store did not answer a renewal in time");
            }
        }
    }

    async fn renew(&self, parts: &WorkerParts, lease: LeaseLength) {
        let held = self.to_renew();
        if held.is_empty() {
            return;
        }
        let asked = Instant::now();
        let answers = parts.store.renew(&held, lease.on_clock).await;
        parts.metrics.leases_renewed(asked.elapsed());
        match answers {
            Ok(answers) => {
                for (held, answer) in held.iter().zip(answers) {
                    self.renewed(held, answer, asked + lease.trusted);
                }
            }
            Err(error) => tracing::warn!(%error, "leases were not renewed"),
        }
    }

    fn to_renew(&self) -> Vec<Held> {
        self.entries()
            .iter_mut()
            .map(|(run, entry)| Held { run: *run, attempt: entry.attempt, progress: entry.progress.clone() })
            .collect()
    }

    fn renewed(&self, held: &Held, answer: Renewal, trusted_until: Instant) {
        let mut entries = self.entries();
        let Some(entry) = entries.get_mut(&held.run).filter(|entry| entry.attempt == held.attempt) else {
            return;
        };
        match answer {
            Renewal::Held { cancel } => {
                entry.trusted_until.send_replace(trusted_until);
                if entry.progress == held.progress {
                    entry.progress = None;
                }
                if cancel.is_some() {
                    tell(&entry.stop, StopReason::Cancelled);
                }
            }
            Renewal::Lost(refusal) => {
                tracing::warn!(run_id = %held.run, attempt = held.attempt, %refusal, "lease lost");
                tell(&entry.stop, StopReason::LeaseLost);
            }
        }
    }
}

/// A lease's length: on the store's clock, and how long the worker trusts it without news.
#[derive(Clone, Copy)]
pub(crate) struct LeaseLength {
    pub(crate) on_clock: Duration,
    pub(crate) trusted: Duration,
}

fn tell(stop: &watch::Sender<Option<StopReason>>, reason: StopReason) {
    stop.send_if_modified(|current| {
        let tell = match (*current, reason) {
            (None, _) => true,
            (Some(now), StopReason::LeaseLost) => now != StopReason::LeaseLost,
            (Some(_), _) => false,
        };
        if tell {
            *current = Some(reason);
        }
        tell
    });
}
