//! The ledger, and the commits that write it: what a task's due fires became.

use std::ops::Range;

use isochrone_domain::{
    AuditEntry, EpochMillis, FireId, Generation, Outcome, Reason, Run, RunId, RunStatus, Task, TaskId,
    Trigger, without_runs,
};
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params, params_from_iter};

use super::{audit, rows, runs, tasks};
use crate::{FireCommit, FireRecord, Result, Saved, StoreError};

/// One task's fires: all or nothing.
pub(super) fn commit(db: &Connection, commit: FireCommit, now: EpochMillis) -> Result<Saved> {
    let FireCommit { task, fires, mut runs } = commit;
    if !fires.iter().map(|fire| fire.id).eq(runs.iter().map(|run| run.fire)) {
        return Err(StoreError::Unavailable(format!(
            "the runs of task {} are not those of its fires",
            task.id
        )));
    }
    let planned = runs.len();
    let current = tasks::version(db, task.id)? == Some(task.version);
    // A fire can be in the ledger already although the task's row is as it was read: the task was
    // deleted and imported again. It fires no second time, but the task moves past it.
    let mut known = Vec::new();
    for run in &runs {
        known.push(exists(db, run.fire)?);
    }
    let repeated = planned > 0 && known.iter().all(|known| *known);
    if !current {
        return Ok(if repeated { Saved::Repeated } else { Saved::Stale });
    }
    let mut known = known.into_iter();
    let made = |runs: &[Run]| runs.iter().filter(|run| !run.status.ended()).count() as u64;
    let planned_runs = made(&runs);
    runs.retain(|_| known.next() == Some(false));
    let task = without_runs(&task, planned_runs - made(&runs));
    tasks::update(db, &task)?;
    for run in &runs {
        insert(db, &task, run)?;
        runs::insert(db, &task, run)?;
    }
    // The run that these were to wait for may have ended since the task was read.
    if runs.iter().any(|run| run.status == RunStatus::Waiting) {
        runs::release_waiting(db, task.id, now)?;
    }
    Ok(if repeated { Saved::Repeated } else { Saved::Done })
}

/// A run that a person asked for.
pub(super) fn commit_request(
    db: &Connection,
    task: &Task,
    run: &Run,
    entry: &AuditEntry,
    now: EpochMillis,
) -> Result<Saved> {
    if exists(db, run.fire)? {
        return Ok(Saved::Repeated);
    }
    if tasks::version(db, task.id)? != Some(task.version) {
        return Ok(Saved::Stale);
    }
    tasks::update(db, task)?;
    insert(db, task, run)?;
    runs::insert(db, task, run)?;
    runs::release_waiting(db, task.id, now)?;
    audit::insert(db, entry)?;
    Ok(Saved::Done)
}

fn exists(db: &Connection, fire: FireId) -> Result<bool> {
    let found = rows::one(db, "SELECT 1 FROM fires WHERE fire = ?1", [fire.as_bytes()], |_| Ok(()))?;
    Ok(found.is_some())
}

fn insert(db: &Connection, task: &Task, run: &Run) -> Result<()> {
    let generation = match run.trigger {
        Trigger::Schedule { generation } => Some(generation.0),
        Trigger::Request { .. } => None,
    };
    let End { outcome, reason, at } = End::of(run);
    let sql = "INSERT INTO fires (fire, task, run, kind, owner, title, generation, planned, decided, reason,
                                  outcome, end_reason, ended_at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
    rows::execute(
        db,
        sql,
        params![
            run.fire.as_bytes(),
            task.id.as_bytes(),
            run.id.as_bytes(),
            run.kind.name(),
            task.owner,
            task.title,
            generation,
            run.planned.0,
            run.created.0,
            run.fired.code(),
            outcome,
            reason,
            at,
        ],
    )
    .map(drop)
}

/// The columns that tell of a run's end; null until there is one.
struct End {
    outcome: Option<&'static str>,
    reason: Option<&'static str>,
    at: Option<i64>,
}

impl End {
    fn of(run: &Run) -> End {
        match run.status {
            RunStatus::Ended { outcome, reason, at } => {
                End { outcome: Some(outcome.name()), reason: Some(reason.code()), at: Some(at.0) }
            }
            RunStatus::Waiting | RunStatus::Queued { .. } | RunStatus::Executing { .. } => {
                End { outcome: None, reason: None, at: None }
            }
        }
    }
}

/// Writes into the ledger when a run began and how it ended, as the run has it now.
pub(super) fn note(db: &Connection, run: &Run) -> Result<()> {
    let End { outcome, reason, at } = End::of(run);
    let started = run.started.map(|at| at.0);
    let sql = "UPDATE fires SET started = ?2, outcome = ?3, end_reason = ?4, ended_at = ?5 WHERE fire = ?1";
    rows::execute(db, sql, params![run.fire.as_bytes(), started, outcome, reason, at]).map(drop)
}

/// Writes an end into the rows of a task's runs that have none: they are deleted with it.
pub(super) fn note_deletion(db: &Connection, task: TaskId, now: EpochMillis) -> Result<()> {
    let sql = "UPDATE fires SET outcome = iif(started IS NULL, ?2, ?3), end_reason = ?4, ended_at = ?5
               WHERE task = ?1 AND outcome IS NULL";
    let (unstarted, started) = (Outcome::Skipped.name(), Outcome::Failed.name());
    let reason = Reason::TaskDeleted.code();
    rows::execute(db, sql, params![task.as_bytes(), unstarted, started, reason, now.0]).map(drop)
}

/// The rows planned in a span of time, the oldest first.
pub(super) fn list(
    db: &Connection,
    task: Option<TaskId>,
    span: &Range<EpochMillis>,
) -> Result<Vec<FireRecord>> {
    let (of_task, id) = match task {
        Some(task) => (" AND task = ?", Some(Value::Blob(task.as_bytes().to_vec()))),
        None => ("", None),
    };
    let sql = format!(
        "SELECT fire, task, run, kind, owner, title, generation, planned, decided, reason,
                started, outcome, end_reason, ended_at
         FROM fires WHERE planned >= ? AND planned < ?{of_task} ORDER BY planned, decided, fire"
    );
    let values = [Value::Integer(span.start.0), Value::Integer(span.end.0)].into_iter().chain(id);
    rows::many(db, &sql, params_from_iter(values), record)
}

fn record(row: &Row<'_>) -> rusqlite::Result<FireRecord> {
    let outcome = match row.get_ref(11)? {
        rusqlite::types::ValueRef::Null => None,
        _ => Some((rows::outcome(row, 11)?, rows::reason(row, 12)?, rows::moment(row, 13)?)),
    };
    Ok(FireRecord {
        fire: FireId::from_bytes(row.get(0)?),
        task: TaskId::from_bytes(row.get(1)?),
        run: RunId::from_bytes(row.get(2)?),
        kind: rows::task_type(row, 3)?,
        owner: row.get(4)?,
        title: row.get(5)?,
        generation: row.get::<_, Option<u32>>(6)?.map(Generation),
        planned: rows::moment(row, 7)?,
        decided: rows::moment(row, 8)?,
        reason: rows::reason(row, 9)?,
        started: row.get::<_, Option<i64>>(10)?.map(EpochMillis),
        outcome,
    })
}
