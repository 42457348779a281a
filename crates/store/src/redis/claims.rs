//! What this process claimed, as it was read and written then: the end of an attempt needs no look before it
//! where nothing has changed since.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use isochrone_domain::{Fence, RunId};

use super::records::{StoredRun, StoredTask};

/// Attempts that are remembered at most; the end of another one looks first.
const MOST: usize = 4_096;

/// A run and its task as the claim left them.
#[derive(Clone, Debug)]
pub(super) struct Claimed {
    pub(super) run: StoredRun,
    pub(super) task: StoredTask,
}

/// The runs that this process claimed.
#[derive(Default)]
pub(super) struct Claims(Mutex<HashMap<RunId, Claimed>>);

impl Claims {
    fn all(&self) -> MutexGuard<'_, HashMap<RunId, Claimed>> {
        // Each step on the map is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn remember(&self, claimed: Claimed) {
        let mut all = self.all();
        // Those of attempts that were lost are never taken.
        if all.len() >= MOST {
            all.clear();
        }
        all.insert(claimed.run.run.id, claimed);
    }

    /// The run as it was claimed for this attempt.
    pub(super) fn take(&self, run: RunId, fence: Fence) -> Option<Claimed> {
        self.all().remove(&run).filter(|claimed| claimed.run.run.fence() == fence)
    }
}
