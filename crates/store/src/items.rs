//! Items and their data.

use std::sync::Arc;

use async_trait::async_trait;
use isochrone_domain::{AuditEntry, Item, ItemId};

use crate::{Page, Paged, Result, Saved};

/// Items and their data.
#[async_trait]
pub trait ItemStore: Send + Sync {
    /// Keeps an item, if its `version` is still the stored one (0: there is none of its id), as the next one.
    /// Without `data` the stored data stays.
    async fn put_item(&self, item: &Item, data: Option<Arc<Vec<u8>>>, audit: AuditEntry) -> Result<Saved>;

    /// The item with this id.
    async fn item(&self, id: ItemId) -> Result<Option<Item>>;

    /// Its data.
    async fn item_data(&self, id: ItemId) -> Result<Option<Vec<u8>>>;

    /// Both, as they were at one moment.
    async fn item_with_data(&self, id: ItemId) -> Result<Option<(Item, Vec<u8>)>>;

    /// Forgets an item and its data; the audit log keeps the fact. False: it was not there.
    async fn delete_item(&self, id: ItemId, audit: AuditEntry) -> Result<bool>;

    /// The items of an owner, or all, the newest first.
    async fn items(&self, owner: Option<&str>, page: Page) -> Result<Paged<Item>>;
}
