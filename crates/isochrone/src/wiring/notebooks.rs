//! Where the items are that tasks run: in the store, or in the portal that this house stands in front of.

use std::sync::Arc;

use async_trait::async_trait;
use isochrone_arcgis::{Bearer, Error, Item, Portal, SignedIn};
use isochrone_domain::{EpochMillis, ItemId, ItemSnapshot, ItemVersion, TaskType, item_digest};
use isochrone_executors::notebook::{NoContent, Notebooks};
use isochrone_store::{ItemSource, ItemsUnavailable, Store};

/// Notebooks are items of the store.
pub(super) struct StoredNotebooks(pub(super) Arc<dyn Store>);

#[async_trait]
impl Notebooks for StoredNotebooks {
    async fn content(&self, id: ItemId, reader: &str) -> Result<Option<(ItemSnapshot, Vec<u8>)>, NoContent> {
        let unreadable = |error: isochrone_store::StoreError| NoContent::Store(error.to_string());
        let Some((item, data)) = self.0.item_with_data(id).await.map_err(unreadable)? else {
            return Ok(None);
        };
        let reader = self.0.user(reader).await.map_err(unreadable)?;
        Ok(reader.filter(|user| item.readable_by(user)).map(|_| (item.snapshot(), data)))
    }
}

/// Notebooks are items of a portal. An administrator reads them, for whoever may read them.
pub(super) struct PortalNotebooks(pub(super) SignedIn);

#[async_trait]
impl Notebooks for PortalNotebooks {
    async fn content(&self, id: ItemId, reader: &str) -> Result<Option<(ItemSnapshot, Vec<u8>)>, NoContent> {
        self.read(id, reader, Whose::Anybodys).await
    }
}

/// Which items are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    Anybodys,
    /// Not the reader's own.
    Others,
}

impl PortalNotebooks {
    async fn read(
        &self,
        id: ItemId,
        reader: &str,
        whose: Whose,
    ) -> Result<Option<(ItemSnapshot, Vec<u8>)>, NoContent> {
        let reader = reader.to_owned();
        match self
            .0
            .ask(|portal, bearer| content(portal, bearer, id.to_string(), reader.clone(), whose))
            .await
        {
            // The portal knows no such user or item.
            Err(Error::Refused(_)) => Ok(None),
            content => content.map_err(NoContent::Portal),
        }
    }
}

#[async_trait]
impl ItemSource for PortalNotebooks {
    /// Of notebooks alone, which have to be read for it: what other types of tasks work on is not carried out here, and
    /// may be large.
    async fn snapshot(
        &self,
        id: ItemId,
        kind: TaskType,
        reader: &str,
    ) -> Result<Option<ItemSnapshot>, ItemsUnavailable> {
        if kind != TaskType::ExecuteNotebook {
            return Ok(None);
        }
        let content = self.content(id, reader).await;
        Ok(content.map_err(unavailable)?.map(|(item, _)| item))
    }

    async fn snapshot_of_others(
        &self,
        id: ItemId,
        kind: TaskType,
        reader: &str,
    ) -> Result<Option<ItemSnapshot>, ItemsUnavailable> {
        if kind != TaskType::ExecuteNotebook {
            return Ok(None);
        }
        let content = self.read(id, reader, Whose::Others).await;
        Ok(content.map_err(unavailable)?.map(|(item, _)| item))
    }
}

fn unavailable(error: NoContent) -> ItemsUnavailable {
    match error {
        NoContent::Portal(Error::Unreadable(_)) => ItemsUnavailable::Unreadable(error.to_string()),
        _ => ItemsUnavailable::Away(error.to_string()),
    }
}

/// The item, if the user may read it.
async fn readable(
    portal: &Portal,
    bearer: &Bearer,
    id: &str,
    reader: &str,
) -> isochrone_arcgis::Result<Option<Item>> {
    let reader = portal.user(bearer, reader).await?;
    let item = portal.item(bearer, id).await?;
    let groups = match item.access.as_str() {
        "shared" => portal.item_groups(bearer, id).await?,
        _ => Vec::new(),
    };
    Ok(reader.may_read(&item, &groups).then_some(item))
}

async fn content(
    portal: Portal,
    bearer: Bearer,
    id: String,
    reader: String,
    whose: Whose,
) -> isochrone_arcgis::Result<Option<(ItemSnapshot, Vec<u8>)>> {
    let Some(item) = readable(&portal, &bearer, &id, &reader).await? else { return Ok(None) };
    if whose == Whose::Others && item.owner.eq_ignore_ascii_case(&reader) {
        return Ok(None);
    }
    let data = portal.item_data(&bearer, &id).await?;
    // A portal says when an item was changed, and not who did it: as good as its owner.
    let modified = EpochMillis(item.modified.unwrap_or_default());
    let version = ItemVersion { digest: item_digest(&data), since: modified, by: item.owner.clone() };
    Ok(Some((ItemSnapshot { owner: item.owner, modified, version }, data)))
}
