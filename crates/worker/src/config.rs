//! How a worker is set up.

use std::collections::HashMap;
use std::time::Duration;

use isochrone_domain::TaskType;

/// How a worker is set up. Durations are the world's, not the store's clock's.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// Unique to this process: leases carry it.
    pub name: String,
    /// Runs at a time, of each type that is not listed in `slots_of`.
    pub slots: usize,
    /// Runs at a time of a type.
    pub slots_of: HashMap<TaskType, usize>,
    /// A lease's length.
    pub lease: Duration,
    /// Between renewals.
    pub renew_every: Duration,
    /// How long work is suspended at most when the store does not renew its lease. It is killed then.
    pub longest_suspension: Duration,
    /// How long running work may go on once the worker drains.
    pub drain_grace: Duration,
}

impl WorkerConfig {
    /// The defaults of design: lease 15 s, renewed every 5 s.
    pub fn new(name: impl Into<String>) -> WorkerConfig {
        WorkerConfig {
            name: name.into(),
            slots: 128,
            slots_of: HashMap::new(),
            lease: Duration::from_secs(15),
            renew_every: Duration::from_secs(5),
            longest_suspension: Duration::from_mins(10),
            drain_grace: Duration::from_secs(20),
        }
    }

    pub(crate) fn slots_for(&self, kind: TaskType) -> usize {
        self.slots_of.get(&kind).copied().unwrap_or(self.slots).max(1)
    }

    /// How long the worker trusts a lease without news: shorter than the lease itself, so that the
    /// work is suspended before anybody else may begin it.
    pub(crate) fn trusted_lease(&self) -> Duration {
        self.lease * 4 / 5
    }
}
