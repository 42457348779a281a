//! What a portal says of users, items and tasks.

use serde::Deserialize;
use serde_json::value::RawValue;

/// A user of the portal.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// Unique.
    pub username: String,
    /// `org_admin`, `org_publisher`, `org_user`, or the id of a role of the organization's own.
    #[serde(default)]
    pub role: Option<String>,
    /// What the user may do.
    #[serde(default)]
    pub privileges: Vec<String>,
    /// Whether the user can't sign in.
    #[serde(default)]
    pub disabled: bool,
    /// Epoch ms.
    #[serde(default)]
    pub created: Option<i64>,
    /// The groups that the user is in.
    #[serde(default)]
    pub groups: Vec<Group>,
}

impl User {
    /// Whether the user may read an item that is shared with these groups.
    pub fn may_read(&self, item: &Item, groups: &[String]) -> bool {
        let member = || self.groups.iter().any(|group| groups.contains(&group.id));
        let open = match item.access.as_str() {
            "public" | "org" => true,
            "shared" => member(),
            _ => false,
        };
        let own = item.owner.eq_ignore_ascii_case(&self.username);
        !self.disabled && (open || own || self.role.as_deref() == Some("org_admin"))
    }
}

/// A group of users.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Group {
    /// Names it.
    pub id: String,
}

/// An item of the portal.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Item {
    /// Names it.
    pub id: String,
    /// Whose it is.
    pub owner: String,
    /// ArcGIS's item type.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// `private`, `shared` (with groups), `org` or `public`.
    #[serde(default)]
    pub access: String,
    /// When it was last changed, in epoch ms.
    #[serde(default)]
    pub modified: Option<i64>,
}

/// A part of a list of tasks.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskPage {
    /// How many there are in all, if the portal says so.
    #[serde(default)]
    pub total: Option<u64>,
    /// Where the next part starts; -1: this was the last.
    #[serde(default = "last")]
    pub next_start: i64,
    /// The tasks' resources, as the portal wrote them.
    pub tasks: Vec<Box<RawValue>>,
}

fn last() -> i64 {
    -1
}

/// The groups that an item is shared with.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Sharing {
    pub(crate) admin: Vec<Group>,
    pub(crate) member: Vec<Group>,
    pub(crate) other: Vec<Group>,
}
