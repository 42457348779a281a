//! Items, as far as tasks need them: what runs can be looked at.

use axum::body::Body;
use isochrone_domain::{Item, ItemId};
use serde::Serialize;

use crate::answer::{Answer, Document, Failure, File, missing};
use crate::request::Call;
use crate::serve::Served;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ItemDocument {
    id: String,
    owner: String,
    title: String,
    #[serde(rename = "type")]
    kind: String,
    type_keywords: [&'static str; 0],
    tags: [&'static str; 0],
    description: Option<String>,
    snippet: Option<String>,
    url: Option<String>,
    access: &'static str,
    created: i64,
    modified: i64,
    owner_folder: Option<String>,
    protected: bool,
    size: u64,
    num_views: u64,
}

impl From<Item> for ItemDocument {
    fn from(item: Item) -> ItemDocument {
        ItemDocument {
            id: item.id.to_string(),
            owner: item.owner,
            title: item.title,
            kind: item.kind,
            type_keywords: [],
            tags: [],
            description: None,
            snippet: None,
            url: None,
            access: item.access.name(),
            created: item.created.0,
            modified: item.modified.0,
            owner_folder: None,
            protected: false,
            size: item.size,
            num_views: 0,
        }
    }
}

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

/// The item, for those who may read it; for others it is not there.
async fn readable(portal: &Served, call: &Call, id: &str) -> Result<Item, Failure> {
    let caller = portal.sign_in.caller(call).await?;
    let id: ItemId = id.parse().map_err(|_| no_item())?;
    let item = portal.store.item(id).await?;
    item.filter(|item| item.readable_by(&caller.user)).ok_or_else(no_item)
}

fn no_item() -> Failure {
    missing("item").with_code("CONT_0001")
}
