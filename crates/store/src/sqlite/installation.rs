//! Whose database this is.

use async_trait::async_trait;
use isochrone_domain::InstallationId;
use rusqlite::Connection;

use super::{SqliteStore, rows};
use crate::{InstallationStore, Result, StoreError};

#[async_trait]
impl InstallationStore for SqliteStore {
    async fn installation(&self) -> Result<InstallationId> {
        if let Some(id) = self.read(find).await? {
            return Ok(id);
        }
        self.write(|db| {
            let new = "INSERT OR IGNORE INTO installation (one, id) VALUES (1, ?1)";
            rows::execute(db, new, [InstallationId::random().as_bytes()])?;
            find(db)?.ok_or_else(|| StoreError::Corrupt("it has no installation's id".to_owned()))
        })
        .await
    }
}

fn find(db: &Connection) -> Result<Option<InstallationId>> {
    let id = |row: &rusqlite::Row<'_>| Ok(InstallationId::from_bytes(row.get(0)?));
    rows::one(db, "SELECT id FROM installation", [], id)
}
