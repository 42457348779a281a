//! Runs, the outbox, and people's wishes.

use std::time::Duration;

use async_trait::async_trait;
use isochrone_domain::unknown::to_json;
use isochrone_domain::{
    Amendment, Artifact, AttemptEnd, AuditEntry, CancelReason, Claimant, EpochMillis, Fence, Held,
    ItemSnapshot, LogLine, OverlapPolicy, Run, RunId, RunStatus, Task, TaskId, TaskType, amend, cancel,
    recount, retry,
};
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params};

use super::rows::{self, Conditions};
use super::{SqliteStore, audit, fires, leases, logs, outbox, retention, tasks};
use crate::runs::RECOUNTED;
use crate::{
    Backlog, Cancelled, Claim, Finished, Keep, LONGEST_LEASE, OutboxEntry, OutboxState, Page, Paged, Place,
    PublishedThrough, Renewal, Result, RunFilter, RunStore, Stretch,
};

#[async_trait]
impl RunStore for SqliteStore {
    async fn run(&self, id: RunId) -> Result<Option<Run>> {
        self.read(move |db| find(db, id)).await
    }

    async fn runs(&self, filter: &RunFilter, page: Page) -> Result<Paged<Run>> {
        let conditions = conditions(filter);
        self.read(move |db| rows::page(db, "runs", conditions, "planned DESC, seq DESC", page)).await
    }

    async fn runs_from(&self, filter: &RunFilter, after: Option<Place>, limit: u64) -> Result<Stretch<Run>> {
        let mut conditions = conditions(filter);
        if let Some(Place { first, then }) = after {
            let seq = i64::try_from(then).unwrap_or(i64::MAX);
            conditions.and("(planned, seq) < (?, ?)", [Value::Integer(first), Value::Integer(seq)]);
        }
        let order = "planned DESC, seq DESC";
        self.read(move |db| rows::stretch(db, "runs", conditions, "planned, seq", order, limit)).await
    }

    async fn outbox_state(&self) -> Result<OutboxState> {
        self.read(outbox::state).await
    }

    async fn queue_delayed(&self, now: EpochMillis, limit: u64) -> Result<u64> {
        self.write_unsynced(move |db| outbox::queue_delayed(db, now, limit)).await
    }

    async fn unpublished(
        &self,
        kind: TaskType,
        published: &PublishedThrough,
        limit: u64,
    ) -> Result<Vec<OutboxEntry>> {
        let published = published.clone();
        self.read(move |db| outbox::unpublished(db, kind, &published, limit)).await
    }

    async fn published_through(&self, kind: TaskType) -> Result<PublishedThrough> {
        self.read(move |db| outbox::published_through(db, kind)).await
    }

    async fn set_published_through(&self, kind: TaskType, published: &PublishedThrough) -> Result<()> {
        let published = published.clone();
        self.write_unsynced(move |db| outbox::set_published_through(db, kind, &published)).await
    }

    async fn unclaimed(&self, kind: TaskType, published: &PublishedThrough) -> Result<u64> {
        let published = published.clone();
        self.read(move |db| outbox::unclaimed(db, kind, &published)).await
    }

    async fn requeue(&self, kind: TaskType, published: &PublishedThrough, count: u64) -> Result<u64> {
        let published = published.clone();
        self.write_unsynced(move |db| outbox::requeue(db, kind, &published, count)).await
    }

    async fn backlog(&self) -> Result<Backlog> {
        self.read(outbox::backlog).await
    }

    async fn next_expiry(&self) -> Result<Option<EpochMillis>> {
        let clock = self.clock;
        self.read(move |db| leases::next_expiry(db, clock)).await
    }

    async fn claim(&self, run: RunId, by: &Claimant, lease: Duration) -> Result<Claim> {
        let (by, clock) = (by.clone(), self.clock);
        let lease = lease.min(clock.of_real(LONGEST_LEASE));
        self.write_unsynced(move |db| leases::claim(db, run, &by, lease, clock.now())).await
    }

    async fn renew(&self, worker: &str, held: &[Held], lease: Duration) -> Result<Vec<Renewal>> {
        let (worker, held, clock) = (worker.to_owned(), held.to_vec(), self.clock);
        let lease = lease.min(clock.of_real(LONGEST_LEASE));
        self.write_unsynced(move |db| {
            let until = clock.now() + lease;
            held.iter().map(|held| leases::renew(db, &worker, held, until)).collect()
        })
        .await
    }

    async fn checkpoint(&self, run: RunId, fence: Fence, handle: &str) -> Result<Finished> {
        let handle = handle.to_owned();
        self.write(move |db| leases::note(db, run, fence, |run| run.handle = Some(handle))).await
    }

    async fn note_item(&self, run: RunId, fence: Fence, item: &ItemSnapshot) -> Result<Finished> {
        let item = item.clone();
        self.write(move |db| leases::note(db, run, fence, |run| run.item = Some(item))).await
    }

    async fn append_log(&self, run: RunId, fence: Fence, first: u64, lines: &[LogLine]) -> Result<Finished> {
        let lines = lines.to_vec();
        self.write(move |db| logs::append(db, run, fence, first, &lines)).await
    }

    async fn log(&self, run: RunId, page: Page) -> Result<Paged<LogLine>> {
        self.read(move |db| logs::list(db, run, page)).await
    }

    async fn finish(
        &self,
        run: RunId,
        fence: Fence,
        end: AttemptEnd,
        artifacts: Vec<Artifact>,
    ) -> Result<Finished> {
        let clock = self.clock;
        self.write(move |db| leases::finish(db, run, fence, end, artifacts, clock.now())).await
    }

    async fn reap(&self, now: EpochMillis, limit: u64) -> Result<Vec<Run>> {
        let clock = self.clock;
        let (settled, deferred) = self.write(move |db| leases::reap(db, clock, now, limit)).await?;
        self.deferrals.expiries(deferred);
        Ok(settled)
    }

    async fn trim_runs(&self, task: TaskId, keep: Keep, limit: u64) -> Result<Vec<RunId>> {
        let clock = self.clock;
        self.write(move |db| retention::trim_runs(db, task, keep, limit, clock.now())).await
    }

    async fn deleted_runs(&self, until: EpochMillis, limit: u64) -> Result<Vec<RunId>> {
        self.read(move |db| retention::deleted_runs(db, until, limit)).await
    }

    async fn forget_deleted_runs(&self, runs: &[RunId]) -> Result<()> {
        let runs = runs.to_vec();
        self.write(move |db| retention::forget_deleted_runs(db, &runs)).await
    }

    async fn cancel_run(&self, run: RunId, why: CancelReason, audit: AuditEntry) -> Result<Cancelled> {
        let clock = self.clock;
        self.write(move |db| cancel_run(db, run, why, &audit, clock.now())).await
    }

    async fn retry_run(&self, run: RunId, audit: AuditEntry) -> Result<Cancelled> {
        let clock = self.clock;
        self.write(move |db| retry_run(db, run, &audit, clock.now())).await
    }

    async fn amend_run(&self, run: RunId, amendment: Amendment, audit: AuditEntry) -> Result<Cancelled> {
        let clock = self.clock;
        self.write(move |db| amend_run(db, run, amendment, &audit, clock.now())).await
    }

    async fn delete_run(&self, run: RunId, audit: AuditEntry) -> Result<Cancelled> {
        let clock = self.clock;
        self.write(move |db| delete_run(db, run, &audit, clock.now())).await
    }
}

/// The columns that follow from a run's status.
fn columns(status: &RunStatus) -> (&'static str, Option<i64>) {
    match status {
        RunStatus::Waiting => ("waiting", None),
        RunStatus::Queued { due } => ("queued", Some(due.0)),
        RunStatus::Executing { .. } => ("executing", None),
        RunStatus::Ended { .. } => ("ended", None),
    }
}

/// The run with this id.
pub(super) fn find(db: &Connection, id: RunId) -> Result<Option<Run>> {
    rows::one(db, "SELECT body FROM runs WHERE id = ?1", [id.as_bytes()], rows::record)
}

/// How many runs of a task have not ended.
pub(super) fn unfinished(db: &Connection, task: TaskId) -> Result<u64> {
    let sql = "SELECT count(*) FROM runs WHERE task = ?1 AND status <> 'ended'";
    let count = rows::one(db, sql, [task.as_bytes()], |row| row.get::<_, i64>(0))?;
    Ok(count.unwrap_or(0) as u64)
}

/// Adds a run.
pub(super) fn insert(db: &Connection, task: &Task, run: &Run) -> Result<()> {
    let (status, due) = columns(&run.status);
    let sql = "INSERT INTO runs (id, task, owner, kind, planned, status, due, attempt, body, number)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    rows::execute(
        db,
        sql,
        params![
            run.id.as_bytes(),
            run.task.as_bytes(),
            task.owner,
            run.kind.name(),
            run.planned.0,
            status,
            due,
            run.attempt,
            to_json(run),
            outbox::number(db, &run.status)?,
        ],
    )
    .map(drop)
}

/// Writes a run over the stored one. If it is queued, it is so anew, to be published. If it executes, its lease stays as
/// it is.
pub(super) fn update(db: &Connection, run: &Run) -> Result<()> {
    let (status, due) = columns(&run.status);
    let sql = "UPDATE runs SET status = ?2, due = ?3, attempt = ?4, number = ?6, body = ?5,
                   lease_until = CASE ?2 WHEN 'executing' THEN lease_until END
               WHERE id = ?1";
    let (body, number) = (to_json(run), outbox::number(db, &run.status)?);
    rows::execute(db, sql, params![run.id.as_bytes(), status, due, run.attempt, body, number]).map(drop)
}

/// Writes a run that has ended, here and in the ledger, and lets the next one go.
pub(super) fn end(db: &Connection, run: &Run, now: EpochMillis) -> Result<()> {
    update(db, run)?;
    fires::note(db, run)?;
    release_waiting(db, run.task, now)
}

/// The task's longest waiting run, if no other is ahead of it. It says twice that the runs have not
/// ended: SQLite does not conclude it, and without it reads the task's whole history.
const NEXT_WAITING: &str = "SELECT body FROM runs
    WHERE task = ?1 AND status = 'waiting' AND status <> 'ended'
      AND NOT EXISTS (SELECT 1 FROM runs
                      WHERE task = ?1 AND status IN ('queued', 'executing') AND status <> 'ended')
    ORDER BY seq LIMIT 1";

/// Queues the task's longest waiting run, if no other is ahead of it.
pub(super) fn release_waiting(db: &Connection, task: TaskId, now: EpochMillis) -> Result<()> {
    let read = |row: &Row<'_>| rows::readable(rows::record::<Run>(row), "the next waiting run");
    // One that only a newer version can read is let go by that, and what lets go is not held up by it.
    let Some(mut next) = rows::one(db, NEXT_WAITING, [task.as_bytes()], read)?.flatten() else {
        return Ok(());
    };
    next.status = RunStatus::Queued { due: now };
    update(db, &next)
}

/// Queues all of the task's waiting runs: they may overlap now.
pub(super) fn release_all_waiting(db: &Connection, task: TaskId, now: EpochMillis) -> Result<()> {
    let sql =
        "SELECT body FROM runs WHERE task = ?1 AND status = 'waiting' AND status <> 'ended' ORDER BY seq";
    let read = |row: &Row<'_>| rows::readable(rows::record::<Run>(row), "runs");
    for mut run in rows::many(db, sql, [task.as_bytes()], read)?.into_iter().flatten() {
        run.status = RunStatus::Queued { due: now };
        update(db, &run)?;
    }
    Ok(())
}

fn conditions(filter: &RunFilter) -> Conditions {
    let mut conditions = Conditions::default();
    if let Some(task) = filter.task {
        conditions.and("task = ?", [Value::Blob(task.as_bytes().to_vec())]);
    }
    if let Some(owner) = &filter.owner {
        conditions.and("owner = ?", [Value::Text(owner.clone())]);
    }
    match filter.ended {
        Some(true) => conditions.and("status = 'ended'", []),
        Some(false) => conditions.and("status <> 'ended'", []),
        None => {}
    }
    conditions
}

fn cancel_run(
    db: &Connection,
    id: RunId,
    why: CancelReason,
    entry: &AuditEntry,
    now: EpochMillis,
) -> Result<Cancelled> {
    let Some(run) = find(db, id)? else {
        return Ok(Cancelled::Missing);
    };
    let Some(cancelled) = cancel(&run, &entry.actor, why, now) else {
        return Ok(Cancelled::Refused(Box::new(run)));
    };
    if cancelled.status.ended() {
        end(db, &cancelled, now)?;
    } else {
        update(db, &cancelled)?;
    }
    audit::insert(db, entry)?;
    Ok(Cancelled::Done(Box::new(cancelled)))
}

fn retry_run(db: &Connection, id: RunId, entry: &AuditEntry, now: EpochMillis) -> Result<Cancelled> {
    let Some(run) = find(db, id)? else {
        return Ok(Cancelled::Missing);
    };
    let Some(mut again) = retry(&run, now) else {
        return Ok(Cancelled::Refused(Box::new(run)));
    };
    let task = tasks::find(db, run.task)?.ok_or_else(|| leases::orphan(&run))?;
    if task.policies.overlap != OverlapPolicy::Allow && unfinished(db, run.task)? > 0 {
        again.status = RunStatus::Waiting;
    }
    update(db, &again)?;
    fires::note(db, &again)?;
    // A fire that was decided while nothing was unfinished has to be decided anew.
    tasks::update(db, &task)?;
    audit::insert(db, entry)?;
    Ok(Cancelled::Done(Box::new(again)))
}

fn amend_run(
    db: &Connection,
    id: RunId,
    amendment: Amendment,
    entry: &AuditEntry,
    now: EpochMillis,
) -> Result<Cancelled> {
    let Some(run) = find(db, id)? else {
        return Ok(Cancelled::Missing);
    };
    let Some(amended) = amend(&run, amendment) else {
        return Ok(Cancelled::Refused(Box::new(run)));
    };
    update(db, &amended)?;
    fires::note(db, &amended)?;
    if let Some(task) = tasks::find(db, run.task)? {
        let sql = "SELECT body FROM runs WHERE task = ?1 AND id <> ?2 AND status = 'ended'
                   ORDER BY planned DESC, seq DESC LIMIT ?3";
        let values = params![run.task.as_bytes(), id.as_bytes(), RECOUNTED];
        let others = rows::many(db, sql, values, |row| rows::readable(rows::record(row), "runs"))?;
        let others: Vec<Run> = others.into_iter().flatten().collect();
        let recounted = recount(&task, &run, &amended, &others, now);
        if recounted != task {
            tasks::update(db, &recounted)?;
        }
    }
    audit::insert(db, entry)?;
    Ok(Cancelled::Done(Box::new(amended)))
}

fn delete_run(db: &Connection, id: RunId, entry: &AuditEntry, now: EpochMillis) -> Result<Cancelled> {
    let Some(run) = find(db, id)? else {
        return Ok(Cancelled::Missing);
    };
    if !run.status.ended() {
        return Ok(Cancelled::Refused(Box::new(run)));
    }
    // Its log goes with it.
    retention::delete_run(db, id, now)?;
    audit::insert(db, entry)?;
    Ok(Cancelled::Done(Box::new(run)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // Tests.
mod tests {
    use super::*;
    use crate::Clock;

    #[test]
    fn what_waits_is_found_without_the_tasks_history() {
        let dir = tempfile::tempdir().unwrap();
        drop(SqliteStore::open(dir.path(), Clock::SYSTEM).unwrap());
        let db = Connection::open(dir.path().join("isochrone.db")).unwrap();
        let mut plan = db.prepare(&format!("EXPLAIN QUERY PLAN {NEXT_WAITING}")).unwrap();
        let steps = plan.query_map([[0; 16]], |row| row.get::<_, String>(3)).unwrap();
        let steps = steps.map(|step| step.unwrap()).collect::<Vec<_>>().join("; ");
        assert_eq!(steps.matches("runs_unfinished").count(), 2, "{steps}");
        assert!(!steps.contains("TEMP B-TREE"), "{steps}");
    }
}
