//! Items and their data.

use async_trait::async_trait;
use isochrone_domain::{AuditEntry, Item, ItemId};

use crate::{Page, Paged, Result};

/// Items and their data.
#[async_trait]
pub trait ItemStore: Send + Sync {
    /// Adds an item or replaces the one with its id.
    async fn put_item(&self, item: &Item, data: Vec<u8>, audit: AuditEntry) -> Result<()>;

    /// The item with this id.
    async fn item(&self, id: ItemId) -> Result<Option<Item>>;

    /// Its data.
    async fn item_data(&self, id: ItemId) -> Result<Option<Vec<u8>>>;

    /// Forgets an item and its data; the audit log keeps the fact. False: it was not there.
    async fn delete_item(&self, id: ItemId, audit: AuditEntry) -> Result<bool>;

    /// The items of an owner, or all, the newest first.
    async fn items(&self, owner: Option<&str>, page: Page) -> Result<Paged<Item>>;
}
