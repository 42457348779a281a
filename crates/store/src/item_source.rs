//! How the items that tasks run are seen, whatever keeps them: the store itself or a portal.

use std::sync::Arc;

use async_trait::async_trait;
use isochrone_domain::{ItemId, ItemSnapshot, TaskType};

use crate::Store;

/// The items could not be asked for; the text is for people.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct ItemsUnavailable(pub String);

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
        let unavailable = |error: crate::StoreError| ItemsUnavailable(error.to_string());
        let Some(item) = self.0.item(id).await.map_err(unavailable)? else { return Ok(None) };
        let reader = self.0.user(reader).await.map_err(unavailable)?;
        Ok(reader.filter(|user| item.readable_by(user)).map(|_| item.snapshot()))
    }
}
