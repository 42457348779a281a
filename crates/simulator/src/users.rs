//! People who cancel runs.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use isochrone_domain::{Action, CancelReason, EpochMillis, RunId, RunStatus};
use isochrone_store::{Cancelled, Result, Store};
use tokio::time::{Instant, sleep};

use crate::workload::entry;
use crate::world::World;

/// How long a cancel may take to reach the work, whatever goes wrong meanwhile.
const REACHES_WITHIN_MS: i64 = 6 * 60_000;

/// People who cancel runs.
pub(crate) struct Users {
    world: Arc<World>,
    chance: Mutex<fastrand::Rng>,
    /// What was acknowledged, and when.
    cancelled: Mutex<Vec<(RunId, EpochMillis)>>,
}

impl Users {
    pub(crate) fn new(world: &Arc<World>, seed: u64) -> Arc<Users> {
        let chance = fastrand::Rng::with_seed(seed ^ 0x7573_6572_7300);
        Arc::new(Users { world: Arc::clone(world), chance: Mutex::new(chance), cancelled: Mutex::default() })
    }

    fn draw(&self, below: usize) -> usize {
        self.chance.lock().unwrap_or_else(PoisonError::into_inner).usize(0..below)
    }

    /// Cancels a run that is worked on, now and then.
    pub(crate) async fn cancel_runs(self: Arc<Users>, store: Arc<dyn Store>, length: Duration) {
        let end = Instant::now() + length;
        while Instant::now() < end {
            sleep(Duration::from_secs(60 + self.draw(120) as u64)).await;
            let at_work = self.world.witness.at_work();
            if at_work.is_empty() {
                continue;
            }
            let run = at_work[self.draw(at_work.len())];
            let asked = entry(Action::CancelRun, self.world.now());
            // Without an answer nobody knows.
            if let Ok(Cancelled::Done(_)) = store.cancel_run(run, CancelReason::Requested, asked).await {
                self.world.note(format_args!("{run} is cancelled"));
                let mut cancelled = self.cancelled.lock().unwrap_or_else(PoisonError::into_inner);
                cancelled.push((run, self.world.now()));
            }
        }
    }

    /// Each run that was cancelled ended soon.
    pub(crate) async fn check(&self, store: &dyn Store) -> Result<()> {
        let cancelled = self.cancelled.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (id, asked) in cancelled {
            if self.world.may_have_forgotten(asked) {
                continue;
            }
            let Some(run) = store.run(id).await? else { continue };
            if let RunStatus::Ended { at, reason, .. } = &run.status
                && at.since(asked) > REACHES_WITHIN_MS
            {
                let after = at.since(asked) / 1_000;
                self.world.violated(format!("run {id} was cancelled and ended {after} s later: {reason}"));
            }
        }
        Ok(())
    }
}
