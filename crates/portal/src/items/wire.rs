//! Items as JSON documents, with ArcGIS's names.

use isochrone_domain::{Item, ItemId};
use serde::Serialize;
use utoipa::ToSchema;

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ItemDocument {
    id: String,
    owner: String,
    title: String,
    name: Option<String>,
    #[serde(rename = "type")]
    kind: String,
    type_keywords: Vec<String>,
    tags: Vec<String>,
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
            name: (item.kind == "Notebook").then(|| format!("{}.ipynb", item.id)),
            owner: item.owner,
            title: item.title,
            kind: item.kind,
            type_keywords: item.details.type_keywords,
            tags: item.details.tags,
            description: item.details.description,
            snippet: item.details.snippet,
            url: item.details.url,
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

impl ItemDocument {
    /// What a page calls the item, and its path below the API's root.
    pub(super) fn link(&self) -> (String, String) {
        let label = if self.title.is_empty() { &self.id } else { &self.title };
        (label.clone(), format!("/content/items/{}", self.id))
    }
}

/// A change was made.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Changed {
    success: bool,
    id: String,
    item_id: String,
    folder: &'static str,
}

impl From<ItemId> for Changed {
    fn from(id: ItemId) -> Changed {
        Changed { success: true, id: id.to_string(), item_id: id.to_string(), folder: "" }
    }
}
