//! Users and what they may do.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::EpochMillis;

/// What a user may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything, with everybody's tasks.
    Admin,
    /// Create tasks and items, and all with the own ones.
    Publisher,
    /// Read the own ones.
    Viewer,
}

impl Role {
    /// Its name in commands and configuration.
    pub fn name(self) -> &'static str {
        match self {
            Role::Admin => "admin",
            Role::Publisher => "publisher",
            Role::Viewer => "viewer",
        }
    }

    /// ArcGIS's name for it.
    pub fn arcgis(self) -> &'static str {
        match self {
            Role::Admin => "org_admin",
            Role::Publisher => "org_publisher",
            Role::Viewer => "org_user",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        [Role::Admin, Role::Publisher, Role::Viewer]
            .into_iter()
            .find(|role| role.name() == text)
            .ok_or_else(|| "expected admin, publisher or viewer".to_owned())
    }
}

/// Somebody who signs in.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// Unique; compared without regard to ASCII case.
    pub name: String,
    /// What the user may do.
    pub role: Role,
    /// The password's argon2id hash in PHC form.
    pub password_hash: String,
    /// When the user was added.
    pub created: EpochMillis,
    /// When the user last got a token.
    pub last_login: Option<EpochMillis>,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("name", &self.name).field("role", &self.role).finish_non_exhaustive()
    }
}

impl User {
    /// The rule for names: they stand in URLs and in reports.
    pub fn valid_name(name: &str) -> bool {
        (1..=128).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-@".contains(&b))
    }

    /// Whether the user may see what `owner` owns.
    pub fn may_read(&self, owner: &str) -> bool {
        self.role == Role::Admin || self.name.eq_ignore_ascii_case(owner)
    }

    /// Whether the user may create and change what `owner` owns.
    pub fn may_write(&self, owner: &str) -> bool {
        self.may_read(owner) && self.role != Role::Viewer
    }
}
