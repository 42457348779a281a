//! Forgetting what is old.

use isochrone_domain::{EpochMillis, Refusal, RunId, TaskId};
use rusqlite::{Connection, Row, params};

use super::rows::{self, signed};
use crate::{Keep, Result};

/// Forgets ended runs of a task; their logs go with them.
pub(super) fn trim_runs(
    db: &Connection,
    task: TaskId,
    keep: Keep,
    limit: u64,
    now: EpochMillis,
) -> Result<Vec<RunId>> {
    let beyond = "SELECT id FROM runs WHERE task = ?1 AND status = 'ended'
                  ORDER BY planned DESC, seq DESC LIMIT ?2 OFFSET ?3";
    let id = |row: &Row<'_>| Ok(RunId::from_bytes(row.get(0)?));
    let mut forgotten =
        rows::many(db, beyond, params![task.as_bytes(), signed(limit), signed(keep.runs)], id)?;
    if forgotten.is_empty() {
        let old = "SELECT id FROM runs WHERE task = ?1 AND status = 'ended'
                       AND json_extract(body, '$.status.at') < ?2
                   ORDER BY planned, seq LIMIT ?3";
        forgotten = rows::many(db, old, params![task.as_bytes(), keep.ended_from.0, signed(limit)], id)?;
    }
    for run in &forgotten {
        delete_run(db, *run, now)?;
    }
    Ok(forgotten)
}

/// Deletes a run and notes that it is gone.
pub(super) fn delete_run(db: &Connection, run: RunId, now: EpochMillis) -> Result<()> {
    let gone = "INSERT OR REPLACE INTO deleted_runs (id, at) VALUES (?1, ?2)";
    rows::execute(db, gone, params![run.as_bytes(), now.0])?;
    rows::execute(db, "DELETE FROM runs WHERE id = ?1", [run.as_bytes()]).map(drop)
}

/// Notes that all runs of a task are gone, which go with it.
pub(super) fn note_deletion(db: &Connection, task: TaskId, now: EpochMillis) -> Result<()> {
    let gone = "INSERT OR REPLACE INTO deleted_runs (id, at) SELECT id, ?2 FROM runs WHERE task = ?1";
    rows::execute(db, gone, params![task.as_bytes(), now.0]).map(drop)
}

/// Runs that are gone since `until` or earlier.
pub(super) fn deleted_runs(db: &Connection, until: EpochMillis, limit: u64) -> Result<Vec<RunId>> {
    let sql = "SELECT id FROM deleted_runs WHERE at <= ?1 ORDER BY at LIMIT ?2";
    let id = |row: &Row<'_>| Ok(RunId::from_bytes(row.get(0)?));
    rows::many(db, sql, params![until.0, signed(limit)], id)
}

/// Why a run is not there.
pub(super) fn absence(db: &Connection, run: RunId) -> Result<Refusal> {
    let sql = "SELECT 1 FROM deleted_runs WHERE id = ?1";
    let deleted = rows::one(db, sql, [run.as_bytes()], |row| row.get::<_, i64>(0))?.is_some();
    Ok(if deleted { Refusal::Deleted } else { Refusal::Unknown })
}

/// Nothing is left of them.
pub(super) fn forget_deleted_runs(db: &Connection, runs: &[RunId]) -> Result<()> {
    for run in runs {
        rows::execute(db, "DELETE FROM deleted_runs WHERE id = ?1", [run.as_bytes()])?;
    }
    Ok(())
}

/// Forgets rows of the ledger.
pub(super) fn trim_fires(db: &Connection, before: EpochMillis, limit: u64) -> Result<u64> {
    let fires = "DELETE FROM fires WHERE fire IN (
                     SELECT fire FROM fires WHERE planned < ?1 AND outcome IS NOT NULL
                         AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.id = fires.run)
                     ORDER BY planned LIMIT ?2)";
    Ok(rows::execute(db, fires, params![before.0, signed(limit)])? as u64)
}
