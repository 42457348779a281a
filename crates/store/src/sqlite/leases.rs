//! Attempts and their leases.
//!
//! Who has a run and which writes count is decided by `domain`. A lease that is over but not reaped yet can still be
//! renewed, since nobody else can have the run before the reaper.

use std::time::Duration;

use isochrone_domain::{
    self as domain, Artifact, AttemptEnd, Claimant, EpochMillis, Fence, Held, Refusal, Renewed, Run, RunId,
    RunStatus, settle,
};
use rusqlite::{Connection, params};
use tracing::warn;

use super::{fires, retention, rows, runs, tasks};
use crate::runs::{PUT_OFF, TO_RENEW};
use crate::{Claim, Claimed, Clock, Finished, LONGEST_LEASE, Renewal, Result, StoreError};

/// Gives a worker a due run as its next attempt.
pub(super) fn claim(
    db: &Connection,
    id: RunId,
    by: &Claimant,
    lease: Duration,
    now: EpochMillis,
) -> Result<Claim> {
    let Some(run) = runs::find(db, id)? else {
        return Ok(Claim::Refused(retention::absence(db, id)?));
    };
    let claimed = match domain::claim(&run, by, now) {
        Ok(claimed) => claimed,
        Err(refusal) => {
            if matches!(run.status, RunStatus::Queued { .. }) {
                // The clock was set back after it was published: the wake-up came too early and is gone.
                let sql = "UPDATE runs SET number = NULL WHERE id = ?1";
                rows::execute(db, sql, [id.as_bytes()])?;
            }
            return Ok(Claim::Refused(refusal));
        }
    };
    let task = tasks::find(db, run.task)?.ok_or_else(|| orphan(&run))?;
    write_claim(db, &run, &claimed, now + lease)?;
    Ok(Claim::Granted(Box::new(Claimed { run: claimed, task })))
}

/// Writes a run that an attempt has taken.
fn write_claim(db: &Connection, before: &Run, run: &Run, until: EpochMillis) -> Result<()> {
    if before.started.is_none() {
        fires::note(db, run)?;
    }
    runs::update(db, run)?;
    set_lease(db, run.id.as_bytes(), until)
}

/// Moves the end of a run's lease. It stands in its column, and not in the run's record.
fn set_lease(db: &Connection, run: &[u8], until: EpochMillis) -> Result<()> {
    let sql = "UPDATE runs SET lease_until = ?2 WHERE id = ?1 AND status = 'executing'";
    rows::execute(db, sql, params![run, until.0]).map(drop)
}

/// Renews one lease.
pub(super) fn renew(db: &Connection, worker: &str, held: &Held, until: EpochMillis) -> Result<Renewal> {
    let run = match runs::find(db, held.run) {
        Ok(Some(run)) => run,
        Ok(None) => return Ok(Renewal::Lost(retention::absence(db, held.run)?)),
        Err(StoreError::Corrupt(_)) => return Ok(Renewal::Unreadable),
        Err(error) => return Err(error),
    };
    match domain::renew(&run, held, worker) {
        Ok(Renewed::Lease { progress: None }) => set_lease(db, run.id.as_bytes(), until)?,
        Ok(Renewed::Lease { progress }) => {
            runs::update(db, &Run { progress, ..run.clone() })?;
            set_lease(db, run.id.as_bytes(), until)?;
        }
        Ok(Renewed::Run(renewed)) => write_claim(db, &run, &renewed, until)?,
        Err(refusal) => return Ok(Renewal::Lost(refusal)),
    }
    Ok(Renewal::Held { cancel: run.cancel })
}

/// Keeps what an attempt has found out: a remote job's handle, the version of its item.
pub(super) fn note(
    db: &Connection,
    id: RunId,
    fence: Fence,
    noted: impl FnOnce(&mut Run),
) -> Result<Finished> {
    let mut run = match current(db, id, fence)? {
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
    fence: Fence,
    end: AttemptEnd,
    artifacts: Vec<Artifact>,
    now: EpochMillis,
) -> Result<Finished> {
    match current(db, id, fence)? {
        Ok(run) => {
            let run = settle_attempt(db, &run, end, artifacts, now)?;
            Ok(Finished::Kept(Box::new(run)))
        }
        Err(refusal) => finished_before(db, id, fence, refusal),
    }
}

/// The attempt is over: was it finished, or did it lapse?
fn finished_before(db: &Connection, id: RunId, fence: Fence, refusal: Refusal) -> Result<Finished> {
    let finished = runs::find(db, id)?.filter(|run| domain::has_finished(run, fence));
    Ok(finished.map_or(Finished::Fenced(refusal), |run| Finished::Kept(Box::new(run))))
}

/// Settles the attempts whose lease is over, and shortens leases that were given before `clock` was
/// set back. Answers how many can't be settled, too.
pub(super) fn reap(db: &Connection, clock: Clock, now: EpochMillis, limit: u64) -> Result<(Vec<Run>, usize)> {
    shorten(db, clock, now, limit)?;
    let sql = "SELECT id FROM runs WHERE status = 'executing' AND lease_until <= ?1
               ORDER BY lease_until, seq LIMIT ?2";
    let lapsed: Vec<Vec<u8>> = rows::many(db, sql, [now.0, rows::signed(limit)], |row| row.get(0))?;
    let (mut settled, mut deferred) = (Vec::with_capacity(lapsed.len()), 0);
    for id in lapsed {
        // Of a run or a task that can't be read nothing must be left half done.
        rows::execute(db, "SAVEPOINT one", [])?;
        match reap_one(db, &id, now) {
            Ok(run) => settled.extend(run),
            Err(StoreError::Corrupt(problem)) => {
                tracing::error!(
                    run_id = hex::encode(&id),
                    problem,
                    "an expired lease can't be settled; put off"
                );
                rows::execute(db, "ROLLBACK TO one", [])?;
                deferred += 1;
                // Else it would be looked at all the time.
                set_lease(db, &id, now + clock.of_real(PUT_OFF))?;
            }
            Err(error) => return Err(error),
        }
        rows::execute(db, "RELEASE one", [])?;
    }
    Ok((settled, deferred))
}

fn reap_one(db: &Connection, id: &[u8], now: EpochMillis) -> Result<Option<Run>> {
    let sql = "SELECT body FROM runs WHERE id = ?1";
    let run: Option<Run> = rows::one(db, sql, [id], rows::record)?;
    run.map(|run| settle_attempt(db, &run, AttemptEnd::Lapsed, Vec::new(), now)).transpose()
}

/// When the first lease ends; now, if one ends later than it can.
pub(super) fn next_expiry(db: &Connection, clock: Clock) -> Result<Option<EpochMillis>> {
    // One query each: SQLite answers a lone max() or min() from the end of its index.
    let ends = ["max", "min"].map(|end| {
        let sql = format!("SELECT {end}(lease_until) FROM runs WHERE status = 'executing'");
        rows::one(db, &sql, [], |row| row.get::<_, Option<i64>>(0)).map(Option::flatten)
    });
    let ([latest, first], now) = (ends, clock.now());
    if latest?.is_some_and(|latest| latest > latest_end(clock, now).0) {
        return Ok(Some(now));
    }
    Ok(first?.map(EpochMillis))
}

/// No lease given at `now`, or while that was on its way here, ends later.
pub(super) fn latest_end(clock: Clock, now: EpochMillis) -> EpochMillis {
    now + clock.of_real(LONGEST_LEASE + TO_RENEW)
}

fn shorten(db: &Connection, clock: Clock, now: EpochMillis, limit: u64) -> Result<()> {
    let sql = "SELECT id, lease_until FROM runs WHERE status = 'executing' AND lease_until > ?1
               ORDER BY lease_until, seq LIMIT ?2";
    let latest = latest_end(clock, now);
    let far: Vec<(Vec<u8>, i64)> =
        rows::many(db, sql, [latest.0, rows::signed(limit)], |row| Ok((row.get(0)?, row.get(1)?)))?;
    for (run, until) in far {
        warn!(run_id = hex::encode(&run), until, "the clock was set back; the lease is cut short");
        set_lease(db, &run, now + clock.of_real(TO_RENEW))?;
    }
    Ok(())
}

/// The run, if this attempt has it now.
pub(super) fn current(db: &Connection, id: RunId, fence: Fence) -> Result<std::result::Result<Run, Refusal>> {
    let Some(run) = runs::find(db, id)? else {
        return Ok(Err(retention::absence(db, id)?));
    };
    Ok(domain::check_fence(&run, fence).map(|()| run))
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
