//! What only one at a time may have.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::params;

use super::{SqliteStore, rows};
use crate::{HoldStore, Result};

#[async_trait]
impl HoldStore for SqliteStore {
    async fn hold(&self, what: &str, holder: &str, length: Duration) -> Result<bool> {
        let (what, holder, clock) = (what.to_owned(), holder.to_owned(), self.clock);
        self.write_unsynced(move |db| {
            let (now, until) = (clock.now(), clock.now() + length);
            rows::execute(db, "DELETE FROM holds WHERE until <= ?1", [now.0])?;
            // One that ends later than it would, given now, was given before the clock was set back.
            let sql = "INSERT INTO holds (what, holder, until) VALUES (?1, ?2, ?3)
                       ON CONFLICT (what) DO UPDATE SET holder = ?2, until = ?3
                       WHERE holder = ?2 OR until > ?3";
            Ok(rows::execute(db, sql, params![what, holder, until.0])? > 0)
        })
        .await
    }

    async fn let_go(&self, what: &str, holder: &str) -> Result<()> {
        let (what, holder) = (what.to_owned(), holder.to_owned());
        self.write_unsynced(move |db| {
            let sql = "DELETE FROM holds WHERE what = ?1 AND holder = ?2";
            rows::execute(db, sql, params![what, holder]).map(drop)
        })
        .await
    }
}
