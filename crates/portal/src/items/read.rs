//! Items and their data, for those who may read them.

use std::convert::Infallible;

use axum::body::Body;
use bytes::Bytes;
use isochrone_domain::{Item, ItemId};
use serde_json::json;

use super::wire::ItemDocument;
use super::{Of, no_item};
use crate::answer::{Answer, Document, Failure, File};
use crate::budget::{Exhausted, Held, Share};
use crate::request::Call;
use crate::serve::Served;

/// A file is written in pieces of this size, in bytes.
const PIECE: usize = 64 << 10;

/// `GET content/items/<id>`
pub(crate) async fn item(portal: &Served, call: &Call, id: &str) -> Result<Answer, Failure> {
    let item = readable(portal, call, id).await?;
    let data = format!("/content/items/{}/data", item.id);
    Ok(Document::new(item.title.clone(), ItemDocument::from(item)).link("Data", data).into())
}

/// `GET content/items/<id>/data`
pub(crate) async fn data(portal: &Served, call: &Call, id: &str) -> Result<Answer, Failure> {
    let item = readable(portal, call, id).await?;
    let mut held = Held::default();
    let room =
        portal.budget.hold(&mut held, Share::Downloads, usize::try_from(item.size).unwrap_or(usize::MAX));
    room.await.map_err(|Exhausted| Failure::busy("Too many downloads at once. Try again."))?;
    let data = Bytes::from(portal.store.item_data(item.id).await?.ok_or_else(no_item)?);
    Ok(Answer::File(File {
        name: if item.kind == "Notebook" { format!("{}.ipynb", item.id) } else { item.id.to_string() },
        content_type: "application/octet-stream".to_owned(),
        size: data.len() as u64,
        body: in_pieces(data, held),
    }))
}

/// A body of these bytes. They count until the last of them is taken.
fn in_pieces(data: Bytes, held: Held) -> Body {
    let starts = (0..data.len()).step_by(PIECE);
    Body::from_stream(futures::stream::iter(starts.map(move |start| {
        let _until_here = &held;
        Ok::<_, Infallible>(data.slice(start..data.len().min(start + PIECE)))
    })))
}

/// `GET content/users/<user>/items/<id>`
pub(crate) async fn own(of: Of<'_>, id: &str) -> Result<Answer, Failure> {
    let (_, owner) = of.reader().await?;
    let item = of.item(&owner, id).await?;
    let sharing = json!({"access": item.access.name(), "groups": []});
    let both = json!({"item": ItemDocument::from(item), "sharing": sharing});
    Ok(Document::new("Item", both).into())
}

/// The item, for those who may read it; for others it is not there.
async fn readable(portal: &Served, call: &Call, id: &str) -> Result<Item, Failure> {
    let caller = portal.sign_in.caller(call).await?;
    let id: ItemId = id.parse().map_err(|_| no_item())?;
    let item = portal.store.item(id).await?;
    item.filter(|item| item.readable_by(&caller.user)).ok_or_else(no_item)
}
