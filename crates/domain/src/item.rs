//! Items: the notebooks and the like that tasks point at.

use serde::{Deserialize, Serialize};

use crate::{EpochMillis, ItemId, User};

/// Who may read an item beside its owner and administrators. The names are ArcGIS's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Nobody.
    #[default]
    Private,
    /// Every user.
    Org,
}

impl Access {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Access::Private => "private",
            Access::Org => "org",
        }
    }
}

/// What is known of an item; its bytes are kept beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// Names it for its whole life.
    pub id: ItemId,
    /// Whose it is.
    pub owner: String,
    /// Who else may read it.
    #[serde(default)]
    pub access: Access,
    /// For people.
    pub title: String,
    /// ArcGIS's item type, such as `Notebook`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its data's size in bytes.
    pub size: u64,
    /// When it was added.
    pub created: EpochMillis,
    /// When it was last changed.
    pub modified: EpochMillis,
    /// What its owner says of it.
    #[serde(flatten, default)]
    pub details: ItemDetails,
}

/// What an item's owner says of it, for people and for searches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ItemDetails {
    /// Words.
    pub tags: Vec<String>,
    /// ArcGIS's own words.
    pub type_keywords: Vec<String>,
    /// May be long.
    pub description: Option<String>,
    /// One sentence.
    pub snippet: Option<String>,
    /// A service's address.
    pub url: Option<String>,
}

impl Item {
    /// Whether the user may read it, and so have tasks that run it.
    pub fn readable_by(&self, user: &User) -> bool {
        self.access == Access::Org || user.may_read(&self.owner)
    }
}
