//! Attempts that have ended lately: a store may forget an end that it has acknowledged (a failover, say). Then it is sent
//! again.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use isochrone_domain::{Artifact, AttemptEnd, Fence, Held, RunId};
use isochrone_store::{Finished, Renewal, StoreError};
use tokio::time::Instant;

use crate::WorkerParts;
use crate::leases::LeaseLength;

/// When after its end an attempt is looked at, in thirds of a lease: for the first time before the lease is over that it
/// had.
const LOOKS: [u32; 3] = [1, 3, 6];

/// Attempts that are remembered at most.
const MOST: usize = 4_096;

/// Attempts that are looked at together.
const TOGETHER: usize = 256;

/// An attempt whose end was kept.
#[derive(Clone)]
pub(crate) struct Ended {
    pub(crate) held: Held,
    pub(crate) end: AttemptEnd,
    pub(crate) artifacts: Vec<Artifact>,
}

/// Those of a worker.
#[derive(Default)]
pub(crate) struct EndedAttempts(Mutex<VecDeque<Remembered>>);

struct Remembered {
    attempt: Ended,
    at: Instant,
    /// Looks that were had.
    looks: usize,
}

impl Remembered {
    fn is_due(&self, lease: Duration, now: Instant) -> bool {
        LOOKS.get(self.looks).is_some_and(|thirds| now >= self.at + lease * *thirds / 3)
    }
}

impl EndedAttempts {
    fn all(&self) -> std::sync::MutexGuard<'_, VecDeque<Remembered>> {
        // Each change is one step.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn remember(&self, attempt: Ended) {
        let mut all = self.all();
        if all.len() >= MOST {
            all.pop_front();
        }
        all.push_back(Remembered { attempt, at: Instant::now(), looks: 0 });
    }

    /// Those that are to be looked at now.
    fn due(&self, lease: Duration) -> Vec<Ended> {
        let now = Instant::now();
        let all = self.all();
        let due = all.iter().filter(|remembered| remembered.is_due(lease, now));
        due.take(TOGETHER).map(|remembered| remembered.attempt.clone()).collect()
    }

    /// These were looked at.
    fn seen(&self, runs: &HashSet<(RunId, Fence)>) {
        let mut all = self.all();
        for remembered in all.iter_mut() {
            let Held { run, fence, .. } = remembered.attempt.held;
            remembered.looks += usize::from(runs.contains(&(run, fence)));
        }
        all.retain(|remembered| remembered.looks < LOOKS.len());
    }

    /// Sends the ends again that the store has forgotten: it shows their runs as if the attempts went on.
    pub(crate) async fn look(
        &self,
        parts: &WorkerParts,
        worker: &str,
        lease: LeaseLength,
    ) -> Result<(), StoreError> {
        loop {
            let due = self.due(lease.real);
            if due.is_empty() {
                return Ok(());
            }
            let held: Vec<Held> = due.iter().map(|ended| ended.held.clone()).collect();
            let seen: HashSet<(RunId, Fence)> = held.iter().map(|held| (held.run, held.fence)).collect();
            let answers = parts.store.renew(worker, &held, lease.on_clock).await?;
            for (Ended { held, end, artifacts }, answer) in due.into_iter().zip(answers) {
                if let Renewal::Held { .. } = answer {
                    let (run_id, attempt) = (held.run, held.fence.attempt);
                    tracing::warn!(%run_id, attempt, "the store has forgotten the attempt's end; it is sent again");
                    match parts.store.finish(held.run, held.fence, end, artifacts).await? {
                        Finished::Kept(_) => (parts.on_finished)(),
                        Finished::Fenced(refusal) => {
                            tracing::warn!(%run_id, attempt, %refusal, "the attempt's end was refused");
                        }
                    }
                }
            }
            self.seen(&seen);
        }
    }
}
