//! The log of who did what, and what the ledger shows.

use std::ops::Range;

use async_trait::async_trait;
use isochrone_domain::{AuditEntry, EpochMillis, TaskId};
use rusqlite::functions::FunctionFlags;
use rusqlite::{Connection, Row, params};

use super::{SqliteStore, fires, retention, rows};
use crate::chain::{AuditChain, AuditKey, ChainEnd, Checkpoint, Digest, Link, StoredEntry};
use crate::{AuditStore, FireRecord, Result};

/// The number of the only chain.
const CHAIN: usize = 0;

#[async_trait]
impl AuditStore for SqliteStore {
    async fn audit(&self, span: Range<EpochMillis>) -> Result<Vec<AuditEntry>> {
        self.read(move |db| {
            let sql = "SELECT body FROM audit WHERE at >= ?1 AND at < ?2 ORDER BY at, number";
            rows::many(db, sql, [span.start.0, span.end.0], rows::body)
        })
        .await
    }

    async fn audit_heads(&self) -> Result<Vec<ChainEnd>> {
        self.read(|db| Ok(vec![head(db)?.0])).await
    }

    async fn audit_chain(&self, chain: usize) -> Result<AuditChain> {
        self.read(move |db| {
            let (head, checkpoint) = head(db)?;
            let sql = "SELECT number, key, digest, body FROM audit ORDER BY number";
            let entries = rows::many(db, sql, [], |row| {
                let key = rows::maybe_parsed(row, 1)?;
                let link = Link { number: rows::counted(row, 0)?, key, digest: Digest(row.get(2)?) };
                Ok(StoredEntry { link: Some(link), text: row.get(3)? })
            })?;
            Ok(AuditChain { index: chain, checkpoint, entries, head })
        })
        .await
    }

    async fn fires(&self, task: Option<TaskId>, span: Range<EpochMillis>) -> Result<Vec<FireRecord>> {
        self.read(move |db| fires::list(db, task, &span)).await
    }

    async fn note(&self, entry: AuditEntry) -> Result<()> {
        self.write(move |db| insert(db, &entry)).await
    }

    async fn trim_records(&self, before: EpochMillis, limit: u64) -> Result<u64> {
        let key = std::sync::Arc::clone(&self.audit_key);
        self.write(move |db| Ok(retention::trim_fires(db, before, limit)? + trim(db, &key, before, limit)?))
            .await
    }
}

/// Teaches the connection that writes how to make digests: `audit_key()` and `audit_digest(number, before, text)`.
pub(super) fn add_functions(db: &Connection, key: &std::sync::Arc<AuditKey>) -> Result<()> {
    let (id, key) = (key.id().map(|id| id.to_string()), std::sync::Arc::clone(key));
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    db.create_scalar_function("audit_key", 0, flags, move |_| Ok(id.clone()))?;
    db.create_scalar_function("audit_digest", 3, flags, move |call| {
        let (number, before) = (call.get::<i64>(0)?, Digest(call.get(1)?));
        let digest = key.entry(CHAIN, number as u64, before, call.get_raw(2).as_str()?);
        Ok(digest.0)
    })?;
    Ok(())
}

/// Adds an entry, within the write that it tells of.
pub(super) fn insert(db: &Connection, entry: &AuditEntry) -> Result<()> {
    let sql = "INSERT INTO audit (number, at, body, key, digest)
               SELECT number + 1, ?1, ?2, audit_key(), audit_digest(number + 1, digest, ?2) FROM audit_chain";
    rows::execute(db, sql, params![entry.at.0, rows::json(entry)])?;
    let sql = "UPDATE audit_chain SET (number, digest) =
                   (SELECT number, digest FROM audit WHERE number = audit_chain.number + 1)";
    rows::execute(db, sql, []).map(drop)
}

fn head(db: &Connection) -> Result<(ChainEnd, Option<Checkpoint>)> {
    let read = |row: &Row<'_>| {
        let checkpoint = match row.get_ref(2)? {
            rusqlite::types::ValueRef::Null => None,
            _ => Some(rows::from_json(row, 2)?),
        };
        Ok((ChainEnd { number: rows::counted(row, 0)?, digest: Digest(row.get(1)?) }, checkpoint))
    };
    let found = rows::one(db, "SELECT number, digest, checkpoint FROM audit_chain", [], read)?;
    Ok(found.unwrap_or((ChainEnd::EMPTY, None)))
}

/// Forgets the chain's beginning, as far as it lies before a moment, and leaves a checkpoint.
fn trim(db: &Connection, key: &AuditKey, before: EpochMillis, limit: u64) -> Result<u64> {
    // What stands behind one that is to be kept is kept, too: the clock may have been set back.
    let sql = "SELECT number, digest FROM audit
               WHERE number < coalesce((SELECT min(number) FROM audit WHERE at >= ?1), 9223372036854775807)
                   AND number < (SELECT min(number) FROM audit) + ?2
               ORDER BY number DESC LIMIT 1";
    let end = rows::one(db, sql, params![before.0, rows::signed(limit)], |row| {
        Ok(ChainEnd { number: rows::counted(row, 0)?, digest: Digest(row.get(1)?) })
    })?;
    let Some(end) = end else { return Ok(0) };
    let forgotten = rows::execute(db, "DELETE FROM audit WHERE number <= ?1", [rows::signed(end.number)])?;
    let checkpoint = rows::json(&key.checkpoint(CHAIN, end));
    rows::execute(db, "UPDATE audit_chain SET checkpoint = ?1", [checkpoint])?;
    Ok(forgotten as u64)
}
