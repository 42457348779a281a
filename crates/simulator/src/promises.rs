//! What must be so when faults have stopped and everything has come to its end.

use std::collections::BTreeMap;

use isochrone_domain::{EpochMillis, FireId, Outcome, Run, RunId, RunStatus, Task, planned_minutes};
use isochrone_store::{FireRecord, Page, Result, RunFilter, Store};

use crate::world::World;

/// Figures of a simulation that has ended.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) fires: usize,
    pub(crate) open: usize,
}

/// How many runs have not ended.
pub(crate) async fn open_runs(store: &dyn Store) -> Result<Vec<Run>> {
    let filter = RunFilter { ended: Some(false), ..RunFilter::default() };
    store.runs(&filter, Page { offset: 0, limit: 100_000 }).await.map(|paged| paged.rows)
}

/// Compares what the store has with what the tasks planned in this span.
pub(crate) async fn check(
    world: &World,
    store: &dyn Store,
    tasks: &[Task],
    from: EpochMillis,
    until: EpochMillis,
) -> Result<Figures> {
    let every = EpochMillis(0)..EpochMillis::MAX;
    let mut ledger: BTreeMap<_, Vec<FireRecord>> = BTreeMap::new();
    for row in store.fires(None, every).await? {
        ledger.entry(row.task).or_default().push(row);
    }
    let runs = store.runs(&RunFilter::default(), Page { offset: 0, limit: 1_000_000 }).await?.rows;
    let runs: BTreeMap<RunId, Run> = runs.into_iter().map(|run| (run.id, run)).collect();
    let mut figures = Figures::default();
    for made in tasks {
        let rows = ledger.remove(&made.id).unwrap_or_default();
        figures.fires += rows.len();
        let Some(task) = store.task(made.id).await? else {
            world.violated(format!("task {} is gone", made.id));
            continue;
        };
        let planned = planned_minutes(made, EpochMillis(from.0 + 1)..=until).collect::<Vec<_>>();
        check_minutes(world, &task, &rows, &planned);
        check_count(world, &task, &rows);
        for row in &rows {
            check_row(world, row, runs.get(&row.run));
        }
    }
    for run in runs.values() {
        check_crashes(world, run);
    }
    for run in runs.values().filter(|run| !run.status.ended()) {
        figures.open += 1;
        world.violated(format!("run {} does not end: {:?}", run.id, run.status));
    }
    Ok(figures)
}

/// Each planned minute has one row, and no other minute has one.
fn check_minutes(world: &World, task: &Task, rows: &[FireRecord], planned: &[EpochMillis]) {
    let mut decided: BTreeMap<EpochMillis, Vec<FireId>> = BTreeMap::new();
    for row in rows {
        decided.entry(row.planned).or_default().push(row.fire);
    }
    for (minute, fires) in &decided {
        if fires.len() > 1 {
            world.violated(format!("task {}: {} rows for minute {minute}", task.id, fires.len()));
        }
        if !planned.contains(minute) {
            world.violated(format!("task {}: a row for {minute}, which was not planned", task.id));
        }
    }
    // After the last allowed run nothing is planned.
    let last = if task.occurrences_left() == 0 { rows.iter().map(|row| row.planned).max() } else { None };
    for minute in planned.iter().filter(|minute| last.is_none_or(|last| **minute <= last)) {
        if !decided.contains_key(minute) {
            world.violated(format!("task {}: minute {minute} is not in the ledger", task.id));
        }
    }
}

fn check_count(world: &World, task: &Task, rows: &[FireRecord]) {
    let skipped = |row: &&FireRecord| matches!(row.outcome, Some((Outcome::Skipped, ..)));
    let runs = (rows.len() - rows.iter().filter(skipped).count()) as u64;
    if runs != task.occurrences {
        world.violated(format!("task {}: counted {}, made {runs} runs", task.id, task.occurrences));
    }
    if task.max_occurrences.is_some_and(|most| runs > most) {
        world.violated(format!("task {}: {runs} runs, at most {:?}", task.id, task.max_occurrences));
    }
}

/// The row tells the run's end.
fn check_row(world: &World, row: &FireRecord, run: Option<&Run>) {
    let Some(run) = run else {
        return world.violated(format!("fire {}: its run {} is not there", row.fire, row.run));
    };
    let RunStatus::Ended { outcome, reason, at } = &run.status else { return };
    if row.outcome != Some((*outcome, *reason, *at)) {
        let id = run.id;
        world.violated(format!("run {id} ended {outcome} ({reason}); its row says {:?}", row.outcome));
    }
}

/// A worker that lives is not taken for dead.
fn check_crashes(world: &World, run: &Run) {
    let until = match &run.status {
        RunStatus::Ended { at, .. } => *at,
        _ => EpochMillis::MAX,
    };
    // What goes wrong in the minute before may show afterwards.
    let from = EpochMillis(run.created.0 - 60_000);
    if run.crashes > 0 && !world.is_excused(from, until) {
        world
            .violated(format!("run {}: {} workers are said to have died, and none did", run.id, run.crashes));
    }
}
