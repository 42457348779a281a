//! The outbox: the queued runs that are due, by numbers.

use isochrone_domain::{EpochMillis, RunId, RunStatus, TaskType};
use rusqlite::functions::FunctionFlags;
use rusqlite::{Connection, params};

use super::rows::{self, signed};
use crate::runs::{due_of, least_number};
use crate::{Backlog, Clock, OutboxEntry, OutboxState, PublishedThrough, Result};

/// SQLite has one shard.
const SHARD: u8 = 0;

/// Lets the connection that writes know what the store's clock shows.
pub(super) fn add_clock(db: &Connection, clock: Clock) -> Result<()> {
    db.create_scalar_function("now_ms", 0, FunctionFlags::SQLITE_DIRECTONLY, move |_| Ok(clock.now().0))?;
    Ok(())
}

/// The number of a run with this status: the next one, if it is queued and due.
pub(super) fn number(db: &Connection, status: &RunStatus) -> Result<Option<i64>> {
    let RunStatus::Queued { due } = status else { return Ok(None) };
    let sql = "UPDATE outbox SET last = max(last + 1, ?1) WHERE ?2 <= now_ms() RETURNING last";
    rows::one(db, sql, [signed(least_number(*due)), due.0], |row| row.get(0))
}

pub(super) fn state(db: &Connection) -> Result<OutboxState> {
    let last = rows::one(db, "SELECT last FROM outbox", [], |row| rows::counted(row, 0))?;
    let sql = "SELECT min(due) FROM runs WHERE status = 'queued' AND number IS NULL";
    let delayed = rows::one(db, sql, [], |row| row.get::<_, Option<i64>>(0))?.flatten();
    Ok(OutboxState { last: last.into_iter().collect(), delayed: delayed.map(EpochMillis) })
}

pub(super) fn queue_delayed(db: &Connection, now: EpochMillis, limit: u64) -> Result<u64> {
    let sql = "SELECT id, due FROM runs WHERE status = 'queued' AND number IS NULL AND due <= ?1
               ORDER BY due, seq LIMIT ?2";
    let due: Vec<(Vec<u8>, i64)> =
        rows::many(db, sql, [now.0, signed(limit)], |row| Ok((row.get(0)?, row.get(1)?)))?;
    renumber(db, due)
}

/// Gives runs the next numbers.
fn renumber(db: &Connection, runs: Vec<(Vec<u8>, i64)>) -> Result<u64> {
    let count = runs.len() as u64;
    for (id, due) in runs {
        let least = signed(least_number(EpochMillis(due)));
        rows::execute(db, "UPDATE outbox SET last = max(last + 1, ?1)", [least])?;
        rows::execute(db, "UPDATE runs SET number = (SELECT last FROM outbox) WHERE id = ?1", [id])?;
    }
    Ok(count)
}

pub(super) fn unpublished(
    db: &Connection,
    kind: TaskType,
    published: &PublishedThrough,
    limit: u64,
) -> Result<Vec<OutboxEntry>> {
    let sql = "SELECT id, number FROM runs WHERE kind = ?1 AND number IS NOT NULL AND number > ?2
               ORDER BY number LIMIT ?3";
    let behind = signed(published.of(SHARD));
    rows::many(db, sql, params![kind.name(), behind, signed(limit)], |row| {
        Ok(OutboxEntry { run: RunId::from_bytes(row.get(0)?), shard: SHARD, number: rows::counted(row, 1)? })
    })
}

pub(super) fn published_through(db: &Connection, kind: TaskType) -> Result<PublishedThrough> {
    let sql = "SELECT number FROM published_through WHERE kind = ?1";
    let number = rows::one(db, sql, [kind.name()], |row| rows::counted(row, 0))?;
    Ok(PublishedThrough(number.into_iter().map(|number| (SHARD, number)).collect()))
}

pub(super) fn set_published_through(
    db: &Connection,
    kind: TaskType,
    published: &PublishedThrough,
) -> Result<()> {
    let sql = "INSERT INTO published_through (kind, number) VALUES (?1, ?2)
               ON CONFLICT (kind) DO UPDATE SET number = excluded.number";
    rows::execute(db, sql, params![kind.name(), signed(published.of(SHARD))]).map(drop)
}

pub(super) fn unclaimed(db: &Connection, kind: TaskType, published: &PublishedThrough) -> Result<u64> {
    let sql = "SELECT count(*) FROM runs WHERE kind = ?1 AND number IS NOT NULL AND number <= ?2";
    let through = signed(published.of(SHARD));
    let count = rows::one(db, sql, params![kind.name(), through], |row| rows::counted(row, 0))?;
    Ok(count.unwrap_or(0))
}

pub(super) fn requeue(
    db: &Connection,
    kind: TaskType,
    published: &PublishedThrough,
    count: u64,
) -> Result<u64> {
    let sql = "SELECT id, 0 FROM runs WHERE kind = ?1 AND number IS NOT NULL AND number <= ?2
               ORDER BY number LIMIT ?3";
    let values = params![kind.name(), signed(published.of(SHARD)), signed(count)];
    let runs: Vec<(Vec<u8>, i64)> = rows::many(db, sql, values, |row| Ok((row.get(0)?, row.get(1)?)))?;
    renumber(db, runs)
}

pub(super) fn backlog(db: &Connection) -> Result<Backlog> {
    let sql = "SELECT r.kind, count(*), count(*) FILTER (WHERE r.number > ifnull(p.number, 0)),
                      min(r.number) FILTER (WHERE r.number > ifnull(p.number, 0))
               FROM runs r LEFT JOIN published_through p ON p.kind = r.kind
               WHERE r.number IS NOT NULL GROUP BY r.kind";
    let mut backlog = Backlog::default();
    let counts = rows::many(db, sql, [], |row| {
        let first: Option<i64> = row.get(3)?;
        Ok((rows::task_type(row, 0)?, rows::counted(row, 1)?, rows::counted(row, 2)?, first))
    })?;
    for (kind, queued, unpublished, first) in counts {
        backlog.queued.insert(kind, queued);
        backlog.unpublished += unpublished;
        let first = first.map(|number| due_of(number.max(0).unsigned_abs()));
        backlog.oldest = [backlog.oldest, first].into_iter().flatten().min();
    }
    Ok(backlog)
}
