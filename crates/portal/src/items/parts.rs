//! Big files come in parts: they wait in the artifact store until they are committed.

use isochrone_domain::Item;
use serde_json::json;

use super::Of;
use super::change::{change, changed};
use super::quota::Usage;
use super::uploads::Waiting;
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
    let items = &of.portal.items;
    let _turn = items.turnstile.pass().await;
    let number = number as u32;
    let (replaced, others): (Vec<_>, Vec<_>) =
        parts(of, &owner, &item).await?.into_iter().partition(|part| part.number == number);
    let size = |parts: &[Waiting]| parts.iter().map(|part| part.size).sum::<u64>();
    if size(&others) + upload.size() > MOST {
        return Err(Failure::parameter("file", format!("makes an item larger than {MOST} bytes")));
    }
    let more = upload.size().saturating_sub(size(&replaced));
    items.admit(&*of.portal.store, &owner, Usage { items: 0, bytes: more }).await?;
    items.uploads.keep_part(&owner, item.id, number, upload).await?;
    Ok(changed("Part added", item.id))
}

/// `POST content/users/<user>/items/<id>/commit`: the parts are the item's data now.
pub(crate) async fn commit(of: Of<'_>, id: &str) -> Result<Answer, Failure> {
    let (caller, owner) = of.changer().await?;
    // One after the other: each has its file in memory.
    let _turn = of.portal.items.turnstile.pass().await;
    let item = of.item(&owner, id).await?;
    let parts = parts(of, &owner, &item).await?;
    let data = of.portal.items.uploads.read(&parts).await?;
    if data.is_empty() && item.size > 0 {
        // It was committed before.
        return Ok(changed("Item committed", item.id));
    }
    let item = change(of, &caller, &owner, id, Some(data), Ok).await?;
    of.portal.items.uploads.forget(&owner, item.id).await;
    Ok(changed("Item committed", item.id))
}

/// `GET content/users/<user>/items/<id>/status`: whatever was asked for is done when its answer is there.
pub(crate) async fn status(of: Of<'_>, id: &str) -> Result<Answer, Failure> {
    let (_, owner) = of.reader().await?;
    let item = of.item(&owner, id).await?;
    let status = json!({"status": "completed", "statusMessage": "completed", "itemId": item.id.to_string()});
    Ok(Document::new("Status", status).into())
}

/// The parts that wait, in order.
async fn parts(of: Of<'_>, owner: &str, item: &Item) -> Result<Vec<Waiting>, Failure> {
    let waiting = of.portal.items.uploads.waiting_of(owner).await?;
    Ok(waiting.into_iter().filter(|part| part.item == item.id).collect())
}
