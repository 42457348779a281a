//! Where notebooks come from: the store's items, or those of the portal that this house stands in front of.

use std::sync::Arc;

use async_trait::async_trait;
use isochrone_arcgis::{Bearer, Error, Portal, SignedIn};
use isochrone_domain::ItemId;
use isochrone_executors::notebook::{NoContent, Notebooks};
use isochrone_store::Store;

/// Notebooks are items of the store.
pub(super) struct StoredNotebooks(pub(super) Arc<dyn Store>);

#[async_trait]
impl Notebooks for StoredNotebooks {
    async fn content(&self, id: ItemId, reader: &str) -> Result<Option<Vec<u8>>, NoContent> {
        let unreadable = |error: isochrone_store::StoreError| NoContent::Store(error.to_string());
        let Some(item) = self.0.item(id).await.map_err(unreadable)? else {
            return Ok(None);
        };
        let reader = self.0.user(reader).await.map_err(unreadable)?;
        if !reader.is_some_and(|user| item.readable_by(&user)) {
            return Ok(None);
        }
        self.0.item_data(id).await.map_err(unreadable)
    }
}

/// Notebooks are items of a portal. An administrator reads them, for whoever may read them.
pub(super) struct PortalNotebooks(pub(super) SignedIn);

#[async_trait]
impl Notebooks for PortalNotebooks {
    async fn content(&self, id: ItemId, reader: &str) -> Result<Option<Vec<u8>>, NoContent> {
        let reader = reader.to_owned();
        match self.0.ask(|portal, bearer| content(portal, bearer, id.to_string(), reader.clone())).await {
            // The portal knows no such user or item.
            Err(Error::Refused(_)) => Ok(None),
            content => content.map_err(NoContent::Portal),
        }
    }
}

async fn content(
    portal: Portal,
    bearer: Bearer,
    id: String,
    reader: String,
) -> isochrone_arcgis::Result<Option<Vec<u8>>> {
    let reader = portal.user(&bearer, &reader).await?;
    let item = portal.item(&bearer, &id).await?;
    let groups = match item.access.as_str() {
        "shared" => portal.item_groups(&bearer, &id).await?,
        _ => Vec::new(),
    };
    if !reader.may_read(&item, &groups) {
        return Ok(None);
    }
    portal.item_data(&bearer, &id).await.map(Some)
}
