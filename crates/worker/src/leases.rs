//! The attempts that a worker has, and the renewal of their leases.
//!
//! All leases of a worker are renewed in one call; the answer carries the cancels. A lease is
//! measured from before it was asked for, so that a slow answer never makes it look longer than the
//! store thinks it is.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use isochrone_domain::{Artifact, AttemptEnd, Fence, Held, Progress, Refusal, Run, RunId};
use isochrone_store::{Renewal, StoreError};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use crate::ended::{Ended, EndedAttempts};
use crate::{BootTime, StopReason, Trust, WorkerParts};

/// Between a renewal that failed and the next.
const AFTER_A_FAILURE: Duration = Duration::from_secs(1);

/// The attempts that a worker has at the moment.
pub(crate) struct Leases {
    worker: String,
    length: LeaseLength,
    draining: AtomicBool,
    held: Mutex<BTreeMap<RunId, Entry>>,
    ended: EndedAttempts,
}

struct Entry {
    /// As the store is told with each renewal.
    held: Held,
    trusted_until: watch::Sender<BootTime>,
    stop: watch::Sender<Option<StopReason>>,
    /// Since when the store has not known the run.
    unknown: Option<BootTime>,
}

impl Entry {
    /// Nothing of it is kept, but a remote job must be told to end. Nobody else has the run.
    fn end_deleted(&self) {
        self.trusted_until.send_replace(BootTime::NEVER);
        tell(&self.stop, StopReason::Cancelled);
    }
}

/// What the attempt's own task watches.
pub(crate) struct Lease {
    pub(crate) trust: Trust,
    pub(crate) stop: watch::Receiver<Option<StopReason>>,
}

impl Leases {
    pub(crate) fn new(worker: String, length: LeaseLength) -> Leases {
        Leases {
            worker,
            length,
            draining: AtomicBool::new(false),
            held: Mutex::default(),
            ended: EndedAttempts::default(),
        }
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, BTreeMap<RunId, Entry>> {
        // Each change of the map is one step: a panic elsewhere leaves it whole.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an attempt that was just claimed. An earlier attempt at the run may still work here: the
    /// store's clock can have jumped over its lease, which this process measures by another one. It is
    /// stopped, and this answers once its work is dead.
    pub(crate) async fn hold(&self, run: &Run, trusted_until: BootTime) -> Lease {
        let (until_sender, until) = watch::channel(trusted_until);
        let (stop_sender, stop) = watch::channel(None);
        let entry =
            Entry { held: Held::of(run), trusted_until: until_sender, stop: stop_sender, unknown: None };
        let earlier = self.entries().insert(run.id, entry);
        if self.is_draining() {
            self.stop(run.id, run.fence(), StopReason::Draining);
        }
        if let Some(earlier) = earlier {
            let attempt = earlier.held.fence.attempt;
            tracing::warn!(run_id = %run.id, attempt, "stopped: a new attempt has begun here");
            tell(&earlier.stop, StopReason::LeaseLost);
            earlier.stop.closed().await;
        }
        Lease { trust: Trust::new(until, self.length.longest_suspension), stop }
    }

    pub(crate) fn length(&self) -> LeaseLength {
        self.length
    }

    pub(crate) fn runs(&self) -> Vec<RunId> {
        self.entries().keys().copied().collect()
    }

    /// Remembers for a while how an attempt has ended.
    pub(crate) fn ended(&self, run: RunId, fence: Fence, end: AttemptEnd, artifacts: Vec<Artifact>) {
        let held = self.held(Some(run)).into_iter().find(|held| held.fence == fence);
        if let Some(held) = held {
            self.ended.remember(Ended { held: Held { progress: None, ..held }, end, artifacts });
        }
    }

    /// Forgets an attempt that is over.
    pub(crate) fn let_go(&self, run: RunId, fence: Fence) {
        let mut entries = self.entries();
        if entries.get(&run).is_some_and(|entry| entry.held.fence == fence) {
            entries.remove(&run);
        }
    }

    /// Notes progress, to be kept with the next renewal.
    pub(crate) fn progress(&self, run: RunId, fence: Fence, progress: Progress) {
        if let Some(entry) = self.entries().get_mut(&run).filter(|entry| entry.held.fence == fence) {
            entry.held.progress = Some(progress);
        }
    }

    /// Notes a remote job's handle that was kept, for a store that forgets it.
    pub(crate) fn handle(&self, run: RunId, fence: Fence, handle: String) {
        if let Some(entry) = self.entries().get_mut(&run).filter(|entry| entry.held.fence == fence) {
            entry.held.handle = Some(handle);
        }
    }

    /// Tells an attempt to stop. The first reason stays, but for a lost lease, which overrides all.
    pub(crate) fn stop(&self, run: RunId, fence: Fence, reason: StopReason) {
        if let Some(entry) = self.entries().get(&run).filter(|entry| entry.held.fence == fence) {
            tell(&entry.stop, reason);
        }
    }

    /// Tells every attempt to stop because the worker does, those too that begin after this.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
        for entry in self.entries().values() {
            tell(&entry.stop, StopReason::Draining);
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// Renews every lease, again and again.
    pub(crate) async fn keep_renewing(&self, parts: &WorkerParts, every: Duration) {
        loop {
            let next = Instant::now() + every;
            let held = self.held(None);
            // Bounded, so that a store that hangs does not cost the renewals after it.
            let renewal = async {
                self.renew(parts, held).await?;
                self.ended.look(parts, &self.worker, self.length).await
            };
            match tokio::time::timeout(self.length.trusted / 2, renewal).await {
                Ok(Ok(())) => sleep_until(next).await,
                Ok(Err(error)) => {
                    tracing::warn!(%error, "leases were not renewed");
                    // Work that is suspended goes on as soon as the store is back.
                    sleep(every.min(AFTER_A_FAILURE)).await;
                }
                Err(_) => tracing::warn!("the store did not answer a renewal in time"),
            }
        }
    }

    /// Whether the attempt has its run after all, where the store says that nobody has: a store that came back without
    /// its last writes has forgotten the claim, and takes it again.
    ///
    /// # Errors
    /// Where the store does not say so.
    pub(crate) async fn reassert(
        &self,
        parts: &WorkerParts,
        run: RunId,
        fence: Fence,
    ) -> Result<bool, StoreError> {
        let held = self.held(Some(run));
        let ours = held.iter().any(|held| held.fence == fence);
        Ok(ours && self.renew(parts, held).await?)
    }

    /// Whether all of these are held now.
    async fn renew(&self, parts: &WorkerParts, held: Vec<Held>) -> Result<bool, StoreError> {
        if held.is_empty() {
            return Ok(true);
        }
        let (began, asked) = (Instant::now(), BootTime::now());
        let answers = parts.store.renew(&self.worker, &held, self.length.on_clock).await;
        parts.metrics.leases_renewed(began.elapsed());
        let answers = answers?;
        let kept = answers.iter().all(|answer| matches!(answer, Renewal::Held { .. }));
        for (held, answer) in held.iter().zip(answers) {
            self.renewed(held, answer, asked + self.length.trusted);
        }
        Ok(kept)
    }

    /// What is held: of one run, or all.
    fn held(&self, run: Option<RunId>) -> Vec<Held> {
        let entries = self.entries();
        let asked = entries.values().filter(|entry| run.is_none_or(|run| run == entry.held.run));
        asked.map(|entry| entry.held.clone()).collect()
    }

    fn renewed(&self, held: &Held, answer: Renewal, trusted_until: BootTime) {
        let mut entries = self.entries();
        let Some(entry) = entries.get_mut(&held.run).filter(|entry| entry.held.fence == held.fence) else {
            return;
        };
        match answer {
            Renewal::Held { cancel } => {
                entry.unknown = None;
                entry.trusted_until.send_replace(trusted_until);
                if entry.held.progress == held.progress {
                    entry.held.progress = None;
                }
                if cancel.is_some() {
                    tell(&entry.stop, StopReason::Cancelled);
                }
            }
            // As if there had been no answer: what concerns one run says nothing of the others.
            Renewal::Unreadable => {
                tracing::error!(run_id = %held.run, "the lease is not renewed: the run can't be read");
            }
            Renewal::Lost(Refusal::Deleted) => entry.end_deleted(),
            // It may have been forgotten with its fire: then it is made again, and is ours.
            Renewal::Lost(Refusal::Unknown) => {
                let now = BootTime::now();
                let since = *entry.unknown.get_or_insert(now);
                if now.since(since) < self.length.real {
                    entry.trusted_until.send_if_modified(|until| {
                        *until > now && {
                            *until = now;
                            true
                        }
                    });
                } else {
                    tracing::warn!(run_id = %held.run, "the store does not know the run; its work ends");
                    entry.end_deleted();
                }
            }
            Renewal::Lost(refusal) => {
                let attempt = held.fence.attempt;
                tracing::warn!(run_id = %held.run, attempt, %refusal, "lease lost");
                tell(&entry.stop, StopReason::LeaseLost);
            }
        }
    }
}

/// A lease's length: on the store's clock and in real time, how long the worker trusts it without news, and how long its work is suspended
/// at most then.
#[derive(Clone, Copy)]
pub(crate) struct LeaseLength {
    pub(crate) on_clock: Duration,
    pub(crate) real: Duration,
    pub(crate) trusted: Duration,
    pub(crate) longest_suspension: Duration,
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
