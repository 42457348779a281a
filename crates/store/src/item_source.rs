//! How the items that tasks run are seen, whatever keeps them: the store itself or a portal.

use std::sync::Arc;

use async_trait::async_trait;
use isochrone_domain::{ItemId, ItemSnapshot, TaskType};

use crate::Store;

/// What an item does could not be found out; the text is for people.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ItemsUnavailable {
    /// What keeps it does not answer: trying again may help.
    #[error("{0}")]
    Away(String),
    /// What came is too large, or no item's data.
    #[error("{0}")]
    Unreadable(String),
}

/// What keeps the items that tasks run.
#[async_trait]
pub trait ItemSource: Send + Sync {
    /// The item that a task of this type runs, as it is now. None: there is none that the user `reader` may read, or it
    /// is not kept here.
    async fn snapshot(
        &self,
        id: ItemId,
        kind: TaskType,
        reader: &str,
    ) -> Result<Option<ItemSnapshot>, ItemsUnavailable>;

    /// The same, if the item is somebody else's than the reader's: what one's own item does need not be looked at, and a
    /// portal's may be large.
    async fn snapshot_of_others(
        &self,
        id: ItemId,
        kind: TaskType,
        reader: &str,
    ) -> Result<Option<ItemSnapshot>, ItemsUnavailable> {
        let item = self.snapshot(id, kind, reader).await?;
        Ok(item.filter(|item| !item.owner.eq_ignore_ascii_case(reader)))
    }
}

/// Items of the store.
pub struct StoredItems(pub Arc<dyn Store>);

#[async_trait]
impl ItemSource for StoredItems {
    async fn snapshot(
        &self,
        id: ItemId,
        _: TaskType,
        reader: &str,
    ) -> Result<Option<ItemSnapshot>, ItemsUnavailable> {
        let unavailable = |error: crate::StoreError| ItemsUnavailable::Away(error.to_string());
        let Some(item) = self.0.item(id).await.map_err(unavailable)? else { return Ok(None) };
        let reader = self.0.user(reader).await.map_err(unavailable)?;
        Ok(reader.filter(|user| item.readable_by(user)).map(|_| item.snapshot()))
    }
}
