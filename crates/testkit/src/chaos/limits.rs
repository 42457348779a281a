//! Exact counts: each task has run as often as it may, in the store, in the ledger and by the drill's count.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use isochrone_domain::{EpochMillis, Outcome, Reason, RunId, RunStatus, TaskId};
use isochrone_store::redis::RedisStore;
use isochrone_store::{Page, RunFilter, RunStore, TaskStore};

use crate::fleet::DrillServer;
use crate::{Ledger, eventually_within};

/// More than the runs of a task.
const ALL: Page = Page { offset: 0, limit: 1_000 };

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
        // The whole ledger is read each time.
        tokio::time::sleep(Duration::from_millis(250)).await;
        // Redis may have been killed a moment ago.
        let Ok(ledger) = Ledger::of(store).await else { return Ok(None) };
        let done = limits.iter().all(|(task, limit)| {
            let fires = ledger.tasks.get(task).map_or(&[][..], |fires| &fires.0);
            fires.len() as u64 >= *limit && fires.iter().all(|fire| fire.outcome.is_some())
        });
        Ok(done.then_some(()))
    })
    .await
}

/// The counts agree with the limits and with each other, and no minute was left out.
pub(super) async fn counted(
    store: &RedisStore,
    drill: &DrillServer,
    limits: &BTreeMap<TaskId, u64>,
) -> Result<Counted> {
    let ledger = Ledger::of(store).await?;
    ledger.check_every_minute()?;
    ensure!(ledger.tasks.len() == limits.len(), "{} of {} tasks fired", ledger.tasks.len(), limits.len());
    let mut begun: BTreeMap<TaskId, BTreeSet<RunId>> = BTreeMap::new();
    for attempt in drill.begun() {
        begun.entry(attempt.task).or_default().insert(attempt.run);
    }
    let mut runs = 0;
    for (id, limit) in limits {
        let task = store.task(*id).await?.with_context(|| format!("task {id}"))?;
        let count = task.occurrences;
        ensure!(count == *limit, "task {id} may run {limit} times and counts {count}");
        ensure!(task.next_fire.is_none(), "task {id} has a next fire");
        let fires = ledger.tasks.get(id).with_context(|| format!("task {id} never fired"))?;
        let fires = fires.0.iter().filter(|fire| !matches!(fire.outcome, Some((Outcome::Skipped, ..))));
        let in_ledger: BTreeMap<_, _> = fires.map(|fire| (fire.run, fire.outcome)).collect();
        let count = in_ledger.len();
        ensure!(count as u64 == *limit, "task {id}: {count} of {limit} runs in the ledger");
        let executed = begun.remove(id).unwrap_or_default();
        ensure!(
            executed.iter().eq(in_ledger.keys()),
            "task {id}: executed {executed:?}, in the ledger {in_ledger:?}"
        );
        let filter = RunFilter { task: Some(*id), ..RunFilter::default() };
        let kept = store.runs(&filter, ALL).await?.rows.into_iter();
        let kept: BTreeMap<_, _> = kept.map(|run| (run.id, ended(run.status))).collect();
        ensure!(kept == in_ledger, "task {id}: runs {kept:?}, in the ledger {in_ledger:?}");
        runs += count;
    }
    ensure!(begun.is_empty(), "executed for tasks that nobody made: {:?}", begun.keys());
    ensure!(drill.doubled().is_empty(), "begun twice: {:?}", drill.doubled());
    ensure!(drill.overlapped().is_empty(), "two with a valid lease at once: {:?}", drill.overlapped());
    Ok(Counted { tasks: limits.len(), runs, attempts: drill.count() })
}

/// As the ledger has it.
fn ended(status: RunStatus) -> Option<(Outcome, Reason, EpochMillis)> {
    match status {
        RunStatus::Ended { outcome, reason, at } => Some((outcome, reason, at)),
        _ => None,
    }
}
