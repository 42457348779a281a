//! The log of who did what, and what the ledger shows.

use std::ops::Range;

use async_trait::async_trait;
use isochrone_domain::{AuditEntry, EpochMillis, TaskId};
use rusqlite::{Connection, params};

use super::{SqliteStore, fires, retention, rows};
use crate::{AuditStore, FireRecord, Result};

#[async_trait]
impl AuditStore for SqliteStore {
    async fn audit(&self, span: Range<EpochMillis>) -> Result<Vec<AuditEntry>> {
        self.read(move |db| {
            let sql = "SELECT body FROM audit WHERE at >= ?1 AND at < ?2 ORDER BY at, seq";
            rows::many(db, sql, [span.start.0, span.end.0], rows::body)
        })
        .await
    }

    async fn fires(&self, task: Option<TaskId>, span: Range<EpochMillis>) -> Result<Vec<FireRecord>> {
        self.read(move |db| fires::list(db, task, &span)).await
    }

    async fn trim_records(&self, before: EpochMillis, limit: u64) -> Result<u64> {
        self.write(move |db| retention::trim_records(db, before, limit)).await
    }
}

/// Adds an entry, within the write that it tells of.
pub(super) fn insert(db: &Connection, entry: &AuditEntry) -> Result<()> {
    let sql = "INSERT INTO audit (at, body) VALUES (?1, ?2)";
    rows::execute(db, sql, params![entry.at.0, rows::json(entry)]).map(drop)
}
