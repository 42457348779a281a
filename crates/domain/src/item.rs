//! Items: the notebooks and the like that tasks point at.

use serde::{Deserialize, Serialize};

use crate::{EpochMillis, ItemId, Record, UnknownFields, User, item_digest};

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
    /// What its data does, and who made it so.
    #[serde(default)]
    pub content: ItemVersion,
    /// What its owner says of it.
    #[serde(flatten, default)]
    pub details: ItemDetails,
    /// Grows with each write: a writer that read an older version is refused.
    #[serde(default)]
    pub version: u64,
    /// What a newer version stored with it.
    #[serde(skip)]
    pub unknown: UnknownFields,
}

impl Record for Item {
    fn unknown(&self) -> &UnknownFields {
        &self.unknown
    }

    fn unknown_mut(&mut self) -> &mut UnknownFields {
        &mut self.unknown
    }
}

/// A version of an item's data, by what it does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ItemVersion {
    /// Of what the data does, in hex ([`item_digest`]): it stays the same where only outputs change.
    pub digest: String,
    /// Since when the data does this.
    pub since: EpochMillis,
    /// The user who made it so.
    pub by: String,
}

/// An item as it was read at a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ItemSnapshot {
    /// Whose it was.
    pub owner: String,
    /// When it had last been changed.
    pub modified: EpochMillis,
    /// What its data did.
    #[serde(flatten)]
    pub version: ItemVersion,
}

impl Default for ItemVersion {
    /// Of an item without data.
    fn default() -> Self {
        ItemVersion { digest: item_digest(b""), since: EpochMillis(0), by: String::new() }
    }
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
    /// The item as it is.
    pub fn snapshot(&self) -> ItemSnapshot {
        ItemSnapshot { owner: self.owner.clone(), modified: self.modified, version: self.content.clone() }
    }

    /// The item with this data, which `by` brings.
    #[must_use]
    pub fn with_data(mut self, data: &[u8], by: &str, now: EpochMillis) -> Item {
        let digest = item_digest(data);
        if self.content.digest != digest || self.version == 0 {
            self.content = ItemVersion { digest, since: now, by: by.to_owned() };
        }
        Item { size: data.len() as u64, modified: now, ..self }
    }

    /// Whether the user may read it, and so have tasks that run it.
    pub fn readable_by(&self, user: &User) -> bool {
        self.access == Access::Org || user.may_read(&self.owner)
    }
}
