//! The keys in use, and sealed values written anew.

use std::collections::BTreeSet;

use async_trait::async_trait;
use isochrone_domain::unknown::to_json;
use isochrone_domain::{RunId, Task};
use rusqlite::params;

use super::{SqliteStore, accounts, rows, runs, tasks};
use crate::seal::KeyId;
use crate::{Grant, Result, SecretStore, TokenHash};

#[async_trait]
impl SecretStore for SqliteStore {
    async fn keys_in_use(&self) -> Result<BTreeSet<KeyId>> {
        let sql = "SELECT id FROM seal_keys ORDER BY id";
        let ids = self.read(|db| rows::many(db, sql, [], rows::parsed::<KeyId>)).await?;
        Ok(ids.into_iter().collect())
    }

    async fn use_key(&self, key: KeyId) -> Result<()> {
        let sql = "INSERT INTO seal_keys (id) VALUES (?1) ON CONFLICT DO NOTHING";
        self.write(move |db| rows::execute(db, sql, [key.to_string()]).map(drop)).await
    }

    async fn retire_key(&self, key: KeyId) -> Result<()> {
        let sql = "DELETE FROM seal_keys WHERE id = ?1";
        self.write(move |db| rows::execute(db, sql, [key.to_string()]).map(drop)).await
    }

    async fn reseal_task(&self, task: &Task) -> Result<bool> {
        let task = task.clone();
        self.write(move |db| {
            if tasks::version(db, task.id)? != Some(task.version) {
                return Ok(false);
            }
            tasks::update(db, &task)?;
            Ok(true)
        })
        .await
    }

    async fn reseal_handle(&self, run: RunId, old: &str, new: &str) -> Result<bool> {
        let (old, new) = (old.to_owned(), new.to_owned());
        self.write(move |db| {
            let Some(mut stored) = runs::find(db, run)? else { return Ok(false) };
            if stored.handle.as_ref() != Some(&old) {
                return Ok(false);
            }
            stored.handle = Some(new);
            // Not as a change of the run: whether it was published stays as it is.
            let sql = "UPDATE runs SET body = ?2 WHERE id = ?1";
            rows::execute(db, sql, params![run.as_bytes(), to_json(&stored)])?;
            Ok(true)
        })
        .await
    }

    async fn grants(&self) -> Result<Vec<(TokenHash, Grant)>> {
        let sql = "SELECT body, hash FROM grants ORDER BY hash";
        self.read(|db| rows::many(db, sql, [], |row| Ok((TokenHash(row.get(1)?), rows::record(row)?)))).await
    }

    async fn reseal_grant(&self, hash: TokenHash, old: &Grant, new: &Grant) -> Result<bool> {
        let (old, new) = (old.clone(), to_json(new));
        self.write(move |db| {
            if accounts::find_grant(db, hash)?.as_ref() != Some(&old) {
                return Ok(false);
            }
            rows::execute(db, "UPDATE grants SET body = ?2 WHERE hash = ?1", params![hash.0, new])?;
            Ok(true)
        })
        .await
    }
}
