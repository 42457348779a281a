//! Items: the notebooks and the like that tasks point at.

use serde::{Deserialize, Serialize};

use crate::{EpochMillis, ItemId};

/// What is known of an item; its bytes are kept beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// Names it for its whole life.
    pub id: ItemId,
    /// Whose it is.
    pub owner: String,
    /// For people.
    pub title: String,
    /// ArcGIS's item type, such as `Notebook`.
    pub kind: String,
    /// Its data's size in bytes.
    pub size: u64,
    /// When it was added.
    pub created: EpochMillis,
    /// When its data was last replaced.
    pub modified: EpochMillis,
}
