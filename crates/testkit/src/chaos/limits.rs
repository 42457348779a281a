//! Exact counts: each task has run as often as it may, in the store, in the ledger and by the drill's count.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use isochrone_domain::{EpochMillis, Outcome, RunId, TaskId};
use isochrone_store::redis::RedisStore;
use isochrone_store::{AuditStore, FireRecord, TaskStore};

use crate::eventually_within;
use crate::fleet::DrillServer;

/// What agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counted {
    tasks: usize,
    runs: usize,
    attempts: usize,
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counted { tasks, runs, attempts } = self;
        write!(f, "{tasks} limits exact: {runs} runs in store, ledger and drill ({attempts} attempts)")
    }
}

/// Waits until each task has fired as often as it may and each of its runs has ended.
pub(super) async fn each_fired_its_limit(
    store: &RedisStore,
    limits: &BTreeMap<TaskId, u64>,
    within: Duration,
) -> Result<()> {
    eventually_within(within, "each task to have run as often as it may", async || {
        // Redis may have been killed a moment ago.
        let Ok(fires) = of_task(store).await else { return Ok(None) };
        let done = limits.iter().all(|(task, limit)| {
            let fires = fires.get(task).map_or(&[][..], Vec::as_slice);
            fires.len() as u64 >= *limit && fires.iter().all(|fire| fire.outcome.is_some())
        });
        Ok(done.then_some(()))
    })
    .await
}

/// The counts agree with the limits and with each other.
pub(super) async fn counted(
    store: &RedisStore,
    drill: &DrillServer,
    limits: &BTreeMap<TaskId, u64>,
) -> Result<Counted> {
    let fires = of_task(store).await?;
    let mut begun: BTreeMap<TaskId, BTreeSet<RunId>> = BTreeMap::new();
    for attempt in drill.begun() {
        begun.entry(attempt.task).or_default().insert(attempt.run);
    }
    let mut runs = 0;
    for (id, limit) in limits {
        let task = store.task(*id).await?.with_context(|| format!("task {id}"))?;
        let of_it = fires.get(id).with_context(|| format!("task {id} never fired"))?;
        let in_ledger: BTreeSet<RunId> = of_it
            .iter()
            .filter(|fire| !matches!(fire.outcome, Some((Outcome::Skipped, ..))))
            .map(|fire| fire.run)
            .collect();
        ensure!(
            task.occurrences == *limit,
            "task {id} may run {limit} times and counts {}",
            task.occurrences
        );
        ensure!(task.next_fire.is_none(), "task {id} has a next fire");
        ensure!(
            in_ledger.len() as u64 == *limit,
            "task {id}: {} of {limit} runs in the ledger",
            in_ledger.len()
        );
        let executed = begun.remove(id).unwrap_or_default();
        ensure!(executed == in_ledger, "task {id}: executed {executed:?}, in the ledger {in_ledger:?}");
        runs += in_ledger.len();
    }
    ensure!(begun.is_empty(), "executed for tasks that nobody made: {:?}", begun.keys());
    ensure!(drill.doubled().is_empty(), "begun twice: {:?}", drill.doubled());
    ensure!(drill.overlapped().is_empty(), "two with a valid lease at once: {:?}", drill.overlapped());
    Ok(Counted { tasks: limits.len(), runs, attempts: drill.count() })
}

async fn of_task(store: &RedisStore) -> Result<BTreeMap<TaskId, Vec<FireRecord>>> {
    let mut of_task: BTreeMap<TaskId, Vec<FireRecord>> = BTreeMap::new();
    for fire in store.fires(None, EpochMillis(0)..EpochMillis::MAX).await? {
        of_task.entry(fire.task).or_default().push(fire);
    }
    Ok(of_task)
}
