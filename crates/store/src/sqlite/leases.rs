//! Attempts and their leases.
//!
//! The attempt's number is the fencing token. A write of an attempt counts only while the run is
//! executing with that number: a claim raises it, a finish and the reaper end it. A lease that is
//! over but not reaped yet can still be renewed, since nobody else can have the run before the reaper.

use std::time::Duration;

use isochrone_domain::{Artifact, AttemptEnd, EpochMillis, Lease, Run, RunId, RunStatus, settle};
use rusqlite::{Connection, params};
use tracing::warn;

use super::{fires, rows, runs, tasks};
use crate::{Claim, Claimed, Clock, Finished, Held, LONGEST_LEASE, Refusal, Renewal, Result, StoreError};

/// What a lease is cut to when the clock was set back: some times the 15 s that leases are usually long.
/// Settled at once, the work of workers that live would be done twice.
const TO_RENEW: Duration = Duration::from_mins(1);

/// Gives a worker a due run as its next attempt.
pub(super) fn claim(
    db: &Connection,
    id: RunId,
    worker: String,
    lease: Duration,
    now: EpochMillis,
) -> Result<Claim> {
    let Some(mut run) = runs::find(db, id)? else {
        return Ok(Claim::Refused(Refusal::Deleted));
    };
    match run.status {
        RunStatus::Queued { due } if due <= now => {}
        RunStatus::Queued { .. } => {
            // The clock was set back after it was published: the wake-up came too early and is gone.
            let sql = "UPDATE runs SET published = NULL WHERE id = ?1 AND published IS NOT NULL";
            rows::execute(db, sql, [id.as_bytes()])?;
            return Ok(Claim::Refused(Refusal::NotDue));
        }
        RunStatus::Waiting => return Ok(Claim::Refused(Refusal::NotDue)),
        RunStatus::Executing { .. } => return Ok(Claim::Refused(Refusal::Held)),
        RunStatus::Ended { .. } => return Ok(Claim::Refused(Refusal::Ended)),
    }
    let task = tasks::find(db, run.task)?.ok_or_else(|| orphan(&run))?;
    run.attempt += 1;
    run.status = RunStatus::Executing { lease: Lease { worker, until: now + lease } };
    if run.started.is_none() {
        run.started = Some(now);
        fires::note(db, &run)?;
    }
    runs::update(db, &run)?;
    Ok(Claim::Granted(Box::new(Claimed { run, task })))
}

/// Renews one lease.
pub(super) fn renew(db: &Connection, held: Held, until: EpochMillis) -> Result<Renewal> {
    let mut run = match current(db, held.run, held.attempt)? {
        Ok(run) => run,
        Err(refusal) => return Ok(Renewal::Lost(refusal)),
    };
    if let RunStatus::Executing { lease } = &mut run.status {
        lease.until = until;
    }
    if held.progress.is_some() {
        run.progress = held.progress;
    }
    runs::update(db, &run)?;
    Ok(Renewal::Held { cancel: run.cancel })
}

/// Keeps what an attempt has found out: a remote job's handle, the version of its item.
pub(super) fn note(
    db: &Connection,
    id: RunId,
    attempt: u32,
    noted: impl FnOnce(&mut Run),
) -> Result<Finished> {
    let mut run = match current(db, id, attempt)? {
        Ok(run) => run,
        Err(refusal) => return Ok(Finished::Fenced(refusal)),
    };
    noted(&mut run);
    runs::update(db, &run)?;
    Ok(Finished::Kept(Box::new(run)))
}

/// Ends an attempt, as its worker has it.
pub(super) fn finish(
    db: &Connection,
    id: RunId,
    attempt: u32,
    end: AttemptEnd,
    artifacts: Vec<Artifact>,
    now: EpochMillis,
) -> Result<Finished> {
    match current(db, id, attempt)? {
        Ok(run) => {
            let run = settle_attempt(db, &run, end, artifacts, now)?;
            Ok(Finished::Kept(Box::new(run)))
        }
        Err(refusal) => finished_before(db, id, attempt, refusal),
    }
}

/// The attempt is over: was it finished, or did it lapse?
fn finished_before(db: &Connection, id: RunId, attempt: u32, refusal: Refusal) -> Result<Finished> {
    let Some(run) = runs::find(db, id)? else {
        return Ok(Finished::Fenced(refusal));
    };
    let sql = "SELECT 1 FROM lapses WHERE run = ?1 AND attempt = ?2";
    let lapsed = rows::one(db, sql, params![id.as_bytes(), attempt], |_| Ok(()))?.is_some();
    let begun = (1..=run.attempt).contains(&attempt);
    Ok(if begun && !lapsed { Finished::Kept(Box::new(run)) } else { Finished::Fenced(refusal) })
}

/// Settles the attempts whose lease is over, and shortens leases that were given before `clock` was
/// set back.
pub(super) fn reap(db: &Connection, clock: Clock, now: EpochMillis, limit: u64) -> Result<Vec<Run>> {
    shorten(db, clock, now, limit)?;
    let sql = "SELECT body FROM runs WHERE status = 'executing' AND lease_until <= ?1
               ORDER BY lease_until, seq LIMIT ?2";
    let lapsed: Vec<Run> = rows::many(db, sql, [now.0, rows::signed(limit)], rows::body)?;
    let mut settled = Vec::with_capacity(lapsed.len());
    for run in lapsed {
        let sql = "INSERT INTO lapses (run, attempt) VALUES (?1, ?2)";
        rows::execute(db, sql, params![run.id.as_bytes(), run.attempt])?;
        settled.push(settle_attempt(db, &run, AttemptEnd::Lapsed, Vec::new(), now)?);
    }
    Ok(settled)
}

/// No lease given at `now`, or while that was on its way here, ends later.
pub(super) fn latest_end(clock: Clock, now: EpochMillis) -> EpochMillis {
    now + clock.of_real(LONGEST_LEASE + TO_RENEW)
}

fn shorten(db: &Connection, clock: Clock, now: EpochMillis, limit: u64) -> Result<()> {
    let sql = "SELECT body FROM runs WHERE status = 'executing' AND lease_until > ?1
               ORDER BY lease_until, seq LIMIT ?2";
    let latest = latest_end(clock, now);
    let far: Vec<Run> = rows::many(db, sql, [latest.0, rows::signed(limit)], rows::body)?;
    for mut run in far {
        if let RunStatus::Executing { lease } = &mut run.status {
            warn!(run_id = %run.id, until = %lease.until, "the clock was set back; the lease is cut short");
            lease.until = now + clock.of_real(TO_RENEW);
        }
        runs::update(db, &run)?;
    }
    Ok(())
}

/// The run, if this attempt has it now.
pub(super) fn current(db: &Connection, id: RunId, attempt: u32) -> Result<std::result::Result<Run, Refusal>> {
    let Some(run) = runs::find(db, id)? else {
        return Ok(Err(Refusal::Deleted));
    };
    Ok(match run.status {
        RunStatus::Executing { .. } if run.attempt == attempt => Ok(run),
        RunStatus::Executing { .. } => Err(Refusal::Held),
        RunStatus::Ended { .. } => Err(Refusal::Ended),
        RunStatus::Waiting | RunStatus::Queued { .. } => Err(Refusal::NotDue),
    })
}

/// Run, task, ledger and the next waiting run, as the end of the run's attempt leaves them.
fn settle_attempt(
    db: &Connection,
    run: &Run,
    end: AttemptEnd,
    artifacts: Vec<Artifact>,
    now: EpochMillis,
) -> Result<Run> {
    let task = tasks::find(db, run.task)?.ok_or_else(|| orphan(run))?;
    let settled = settle(&task, run, end, artifacts, now);
    if settled.task != task {
        tasks::update(db, &settled.task)?;
    }
    if settled.run.status.ended() {
        runs::end(db, &settled.run, now)?;
    } else {
        runs::update(db, &settled.run)?;
    }
    Ok(settled.run)
}

/// A run without its task: the schema allows none.
pub(super) fn orphan(run: &Run) -> StoreError {
    StoreError::Corrupt(format!("run {} has no task", run.id))
}
