//! Items and their data.

use std::sync::Arc;

use async_trait::async_trait;
use isochrone_domain::unknown::to_json;
use isochrone_domain::{AuditEntry, Item, ItemId};
use rusqlite::types::Value;
use rusqlite::{Connection, params};

use super::rows::{self, Conditions};
use super::{SqliteStore, audit};
use crate::{ItemStore, Page, Paged, Result, Saved};

#[async_trait]
impl ItemStore for SqliteStore {
    async fn put_item(&self, item: &Item, data: Option<Arc<Vec<u8>>>, audit: AuditEntry) -> Result<Saved> {
        let item = item.clone();
        self.write(move |db| {
            let stored = find(db, item.id)?.map_or(0, |stored| stored.version);
            if stored != item.version {
                return Ok(Saved::Stale);
            }
            put(db, &Item { version: stored + 1, ..item }, data.as_deref().map(Vec::as_slice))?;
            audit::insert(db, &audit)?;
            Ok(Saved::Done)
        })
        .await
    }

    async fn item(&self, id: ItemId) -> Result<Option<Item>> {
        self.read(move |db| find(db, id)).await
    }

    async fn item_data(&self, id: ItemId) -> Result<Option<Vec<u8>>> {
        self.read(move |db| data(db, id)).await
    }

    async fn item_with_data(&self, id: ItemId) -> Result<Option<(Item, Vec<u8>)>> {
        self.read(move |db| Ok(find(db, id)?.zip(data(db, id)?))).await
    }

    async fn delete_item(&self, id: ItemId, audit: AuditEntry) -> Result<bool> {
        self.write(move |db| {
            let deleted = rows::execute(db, "DELETE FROM items WHERE id = ?1", [id.as_bytes()])? > 0;
            if deleted {
                audit::insert(db, &audit)?;
            }
            Ok(deleted)
        })
        .await
    }

    async fn items(&self, owner: Option<&str>, page: Page) -> Result<Paged<Item>> {
        let mut conditions = Conditions::default();
        if let Some(owner) = owner {
            conditions.and("owner = ?", [Value::Text(owner.to_owned())]);
        }
        self.read(move |db| rows::page(db, "items", conditions, "created DESC, seq DESC", page)).await
    }
}

fn find(db: &Connection, id: ItemId) -> Result<Option<Item>> {
    rows::one(db, "SELECT body FROM items WHERE id = ?1", [id.as_bytes()], rows::record)
}

fn data(db: &Connection, id: ItemId) -> Result<Option<Vec<u8>>> {
    rows::one(db, "SELECT data FROM item_data WHERE item = ?1", [id.as_bytes()], |row| row.get(0))
}

fn put(db: &Connection, item: &Item, data: Option<&[u8]>) -> Result<()> {
    let sql = "INSERT INTO items (id, owner, created, body) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT (id) DO UPDATE SET owner = excluded.owner, created = excluded.created,
                                              body = excluded.body";
    rows::execute(db, sql, params![item.id.as_bytes(), item.owner, item.created.0, to_json(item)])?;
    let Some(data) = data else { return Ok(()) };
    let sql = "INSERT INTO item_data (item, data) VALUES (?1, ?2)
               ON CONFLICT (item) DO UPDATE SET data = excluded.data";
    rows::execute(db, sql, params![item.id.as_bytes(), data]).map(drop)
}
