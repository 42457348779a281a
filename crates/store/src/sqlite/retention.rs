//! Forgetting what is old.

use isochrone_domain::{EpochMillis, Run, RunId, RunStatus, TaskId};
use rusqlite::{Connection, params};

use super::rows::{self, signed};
use crate::{Keep, Result};

/// Forgets ended runs of a task; their logs and lapses go with them.
pub(super) fn trim_runs(db: &Connection, task: TaskId, keep: Keep, limit: u64) -> Result<Vec<RunId>> {
    let beyond = "SELECT id FROM runs WHERE task = ?1 AND status = 'ended'
                  ORDER BY planned DESC, seq DESC LIMIT ?2 OFFSET ?3";
    let mut forgotten =
        rows::many(db, beyond, params![task.as_bytes(), signed(limit), signed(keep.runs)], |row| {
            Ok(RunId::from_bytes(row.get(0)?))
        })?;
    if forgotten.is_empty() {
        // The first planned are the first to have ended, but for a backfill's.
        let oldest = "SELECT body FROM runs WHERE task = ?1 AND status = 'ended'
                      ORDER BY planned, seq LIMIT ?2";
        let oldest: Vec<Run> = rows::many(db, oldest, params![task.as_bytes(), signed(limit)], rows::body)?;
        let old = |run: &Run| matches!(run.status, RunStatus::Ended { at, .. } if at < keep.ended_from);
        forgotten = oldest.iter().filter(|run| old(run)).map(|run| run.id).collect();
    }
    for run in &forgotten {
        rows::execute(db, "DELETE FROM runs WHERE id = ?1", [run.as_bytes()])?;
    }
    Ok(forgotten)
}

/// Forgets rows of the ledger and of the audit log.
pub(super) fn trim_records(db: &Connection, before: EpochMillis, limit: u64) -> Result<u64> {
    let fires = "DELETE FROM fires WHERE fire IN (
                     SELECT fire FROM fires WHERE planned < ?1 AND outcome IS NOT NULL
                         AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.id = fires.run)
                     ORDER BY planned LIMIT ?2)";
    let audit = "DELETE FROM audit WHERE seq IN (SELECT seq FROM audit WHERE at < ?1 ORDER BY at LIMIT ?2)";
    let mut count = 0;
    for sql in [fires, audit] {
        count += rows::execute(db, sql, params![before.0, signed(limit)])? as u64;
    }
    Ok(count)
}
