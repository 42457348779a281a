//! Searches as they are read from requests, for the fuzz targets.

use isochrone_domain::{Access, EpochMillis, Item, ItemDetails, ItemId, ItemVersion, UnknownFields};

use super::query::Query;

/// Searches an item for what a query asks for.
pub(crate) fn search(text: &str) {
    let Ok(query) = Query::parse(text) else { return };
    let item = Item {
        id: ItemId::from_bytes([7; 16]),
        owner: "ann".to_owned(),
        kind: "Notebook".to_owned(),
        title: "\u{130}stanbul and K\u{f6}ln".to_owned(),
        details: ItemDetails { tags: vec!["gis".to_owned()], ..ItemDetails::default() },
        access: Access::Org,
        size: 0,
        created: EpochMillis(0),
        modified: EpochMillis(0),
        content: ItemVersion::default(),
        version: 0,
        unknown: UnknownFields::NONE,
    };
    let found = query.finds(&item);
    assert_ne!(Query::Not(Box::new(query)).finds(&item), found);
}
