//! Items and their data, for those who may read them.

use axum::body::Body;
use isochrone_domain::{Item, ItemId};
use serde_json::json;

use super::wire::ItemDocument;
use super::{Of, no_item};
use crate::answer::{Answer, Document, Failure, File};
use crate::request::Call;
use crate::serve::Served;

/// `GET content/items/<id>`
pub(crate) async fn item(portal: &Served, call: &Call, id: &str) -> Result<Answer, Failure> {
    let item = readable(portal, call, id).await?;
    let data = format!("/content/items/{}/data", item.id);
    Ok(Document::new(item.title.clone(), ItemDocument::from(item)).link("Data", data).into())
}

/// `GET content/items/<id>/data`
pub(crate) async fn data(portal: &Served, call: &Call, id: &str) -> Result<Answer, Failure> {
    let item = readable(portal, call, id).await?;
    let data = portal.store.item_data(item.id).await?.ok_or_else(no_item)?;
    Ok(Answer::File(File {
        name: if item.kind == "Notebook" { format!("{}.ipynb", item.id) } else { item.id.to_string() },
        content_type: "application/octet-stream".to_owned(),
        size: data.len() as u64,
        body: Body::from(data),
    }))
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
