//! Big files come in parts: they wait in the artifact store until they are committed.

use futures::TryStreamExt;
use isochrone_domain::{Item, ItemId};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::json;

use super::Of;
use super::change::{changed, keep};
use crate::answer::{Answer, Document, Failure};

/// What an item's parts may have together, in bytes: its data lies in the store.
const MOST: u64 = 64 << 20;

/// As ArcGIS numbers them.
const MOST_PARTS: i64 = 10_000;

/// `POST content/users/<user>/items/<id>/addPart`: `file` and its place, `partNum` from 1.
pub(crate) async fn add_part(of: Of<'_>, id: &str) -> Result<Answer, Failure> {
    let (_, owner) = of.changer().await?;
    let item = of.item(&owner, id).await?;
    let number = of.call.parameters.whole("partNum", 1..=MOST_PARTS)?;
    let number = number.ok_or_else(|| Failure::parameter("partNum", "is required"))?;
    let upload = of.call.parameters.upload().ok_or_else(|| Failure::parameter("file", "is required"))?;
    let waiting: u64 = parts(of, item.id).await?.iter().map(|(_, size)| size).sum();
    if waiting + upload.len() as u64 > MOST {
        return Err(Failure::parameter("file", format!("makes an item larger than {MOST} bytes")));
    }
    // In the order of their names, they are in the order of their numbers.
    let part = folder(item.id).join(format!("{number:05}"));
    of.portal.artifacts.put(&part, upload.clone().into()).await?;
    Ok(changed("Part added", item.id))
}

/// `POST content/users/<user>/items/<id>/commit`: the parts are the item's data now.
pub(crate) async fn commit(of: Of<'_>, id: &str) -> Result<Answer, Failure> {
    let (caller, owner) = of.changer().await?;
    let item = of.item(&owner, id).await?;
    let mut data = Vec::new();
    for (part, _) in parts(of, item.id).await? {
        data.extend_from_slice(&of.portal.artifacts.get(&part).await?.bytes().await?);
    }
    if data.is_empty() && item.size > 0 {
        // It was committed before.
        return Ok(changed("Item committed", item.id));
    }
    let now = of.portal.store.now().await?;
    let item = Item { size: data.len() as u64, modified: now, ..item };
    keep(of, &caller, &item, data, now).await?;
    forget(of, item.id).await;
    Ok(changed("Item committed", item.id))
}

/// `GET content/users/<user>/items/<id>/status`: whatever was asked for is done when its answer is there.
pub(crate) async fn status(of: Of<'_>, id: &str) -> Result<Answer, Failure> {
    let (_, owner) = of.reader().await?;
    let item = of.item(&owner, id).await?;
    let status = json!({"status": "completed", "statusMessage": "completed", "itemId": item.id.to_string()});
    Ok(Document::new("Status", status).into())
}

/// Deletes parts that wait.
pub(super) async fn forget(of: Of<'_>, item: ItemId) {
    let forgetting = async {
        for (part, _) in parts(of, item).await? {
            of.portal.artifacts.delete(&part).await?;
        }
        Ok::<_, Failure>(())
    };
    if forgetting.await.is_err() {
        tracing::warn!(%item, "parts of an item's file are left");
    }
}

/// The parts that wait, in order, with their sizes.
async fn parts(of: Of<'_>, item: ItemId) -> Result<Vec<(Path, u64)>, Failure> {
    let found = of.portal.artifacts.list(Some(&folder(item)));
    let mut found: Vec<_> = found.map_ok(|part| (part.location, part.size)).try_collect().await?;
    found.sort();
    Ok(found)
}

fn folder(item: ItemId) -> Path {
    Path::from_iter(["uploads".to_owned(), item.to_string()])
}
