//! The ledger of fires, read after the fact, and what must hold of it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, ensure};
use isochrone_domain::{EpochMillis, TaskId};
use isochrone_store::sqlite::SqliteStore;
use isochrone_store::{AuditStore, Clock, FireRecord};

const MINUTE: i64 = 60_000;

/// Every fire of every task.
pub struct Ledger {
    /// By task; each task's fires in the order of their minutes.
    pub tasks: BTreeMap<TaskId, TaskFires>,
}

/// The fires of one task.
pub struct TaskFires(pub Vec<FireRecord>);

impl Ledger {
    /// Reads the ledger of a data directory.
    pub async fn read(data_dir: &Path) -> Result<Ledger> {
        Ledger::of(&SqliteStore::open(data_dir, Clock::SYSTEM)?).await
    }

    /// Reads the ledger of a store.
    pub async fn of(store: &dyn AuditStore) -> Result<Ledger> {
        let mut tasks: BTreeMap<TaskId, TaskFires> = BTreeMap::new();
        for fire in store.fires(None, EpochMillis(0)..EpochMillis::MAX).await? {
            tasks.entry(fire.task).or_insert_with(|| TaskFires(Vec::new())).0.push(fire);
        }
        for fires in tasks.values_mut() {
            fires.0.sort_by_key(|fire| fire.planned);
        }
        Ok(Ledger { tasks })
    }

    /// Every minute of every task, from its first to its last, stands in the ledger exactly once and with
    /// an outcome. Gives the number of fires.
    pub fn check_every_minute(&self) -> Result<usize> {
        let mut fires_in_all = 0;
        for (task, fires) in &self.tasks {
            for pair in fires.0.windows(2) {
                let step = pair[1].planned.since(pair[0].planned);
                ensure!(step != 0, "task {task}: the fire of {} is doubled", pair[0].planned);
                ensure!(
                    step == MINUTE,
                    "task {task}: no fire between {} and {}",
                    pair[0].planned,
                    pair[1].planned
                );
            }
            for fire in &fires.0 {
                ensure!(fire.outcome.is_some(), "task {task}: the fire of {} has no outcome", fire.planned);
            }
            fires_in_all += fires.0.len();
        }
        Ok(fires_in_all)
    }

    /// How often each reason and outcome occurs, for people.
    pub fn summary(&self) -> BTreeMap<String, usize> {
        let mut summary = BTreeMap::new();
        for fire in self.tasks.values().flat_map(|fires| &fires.0) {
            let outcome = fire.outcome.map_or_else(
                || "no outcome".to_owned(),
                |(outcome, reason, _)| format!("{outcome}/{}", reason.code()),
            );
            *summary.entry(format!("{} -> {outcome}", fire.reason.code())).or_default() += 1;
        }
        summary
    }
}
