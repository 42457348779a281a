//! Users and what they may do.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{EpochMillis, Record, UnknownFields};

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
    /// Since when nobody signs in as the user, and no task of the user runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<EpochMillis>,
    /// Grows when all that was given to the user becomes void beside its tokens: when the user is disabled.
    #[serde(default)]
    pub epoch: u32,
    /// What a newer version stored with it.
    #[serde(skip)]
    pub unknown: UnknownFields,
}

impl Record for User {
    fn unknown(&self) -> &UnknownFields {
        &self.unknown
    }

    fn unknown_mut(&mut self) -> &mut UnknownFields {
        &mut self.unknown
    }
}

/// What changes of a user; what is absent stays as it is.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct UserChange {
    /// What the user may do.
    pub role: Option<Role>,
    /// Another password's hash.
    pub password_hash: Option<String>,
    /// Whether the user is disabled.
    pub disabled: Option<bool>,
}

impl UserChange {
    /// The user after the change.
    #[must_use]
    pub fn applied_to(&self, old: &User, now: EpochMillis) -> User {
        let disabled = match self.disabled {
            Some(true) => Some(old.disabled.unwrap_or(now)),
            Some(false) => None,
            None => old.disabled,
        };
        User {
            role: self.role.unwrap_or(old.role),
            password_hash: self.password_hash.clone().unwrap_or_else(|| old.password_hash.clone()),
            epoch: old.epoch + u32::from(disabled.is_some() && old.disabled.is_none()),
            disabled,
            ..old.clone()
        }
    }
}

impl fmt::Debug for UserChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("UserChange");
        shown.field("role", &self.role).field("disabled", &self.disabled).finish_non_exhaustive()
    }
}

/// Whether somebody is left who can sign in here and may do everything, after the user of this name became `new`
/// (none: was deleted). Where there was nobody before, nobody is missed.
pub fn keeps_an_administrator(users: &[User], name: &str, new: Option<&User>) -> bool {
    let others = || users.iter().filter(|user| !user.name.eq_ignore_ascii_case(name));
    let before = users.iter().any(User::administrates);
    !before || new.is_some_and(User::administrates) || others().any(User::administrates)
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("name", &self.name).field("role", &self.role).finish_non_exhaustive()
    }
}

impl User {
    /// Whether the user can sign in here and may do everything. A real portal's users have no password here.
    pub fn administrates(&self) -> bool {
        self.role == Role::Admin && self.disabled.is_none() && !self.password_hash.is_empty()
    }

    /// Changes with what makes void all that was given to the user: it is another one after a new password and after the user was disabled, so that
    /// what carries an old one is worth nothing.
    pub fn stamp(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(self.password_hash.as_bytes());
        hash.update(self.epoch.to_be_bytes());
        hex::encode(hash.finalize())
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str, role: Role) -> User {
        User {
            name: name.to_owned(),
            role,
            password_hash: "hash".to_owned(),
            created: EpochMillis(1),
            last_login: None,
            disabled: None,
            epoch: 0,
            unknown: UnknownFields::NONE,
        }
    }

    #[test]
    fn the_last_administrator_stays_one() {
        let (ann, bob) = (user("Ann", Role::Admin), user("bob", Role::Publisher));
        let demoted = User { role: Role::Viewer, ..ann.clone() };
        let disabled = User { disabled: Some(EpochMillis(2)), ..ann.clone() };
        let users = [ann.clone(), bob.clone()];
        for new in [None, Some(&demoted), Some(&disabled)] {
            assert!(!keeps_an_administrator(&users, "ANN", new), "{new:?}");
        }
        let renewed = User { password_hash: "other".to_owned(), ..ann.clone() };
        assert!(keeps_an_administrator(&users, "ann", Some(&renewed)));
        assert!(keeps_an_administrator(&users, "bob", None));
        let two = [ann.clone(), user("carl", Role::Admin)];
        assert!(keeps_an_administrator(&two, "ann", None));
        let other_disabled =
            [ann.clone(), User { disabled: Some(EpochMillis(2)), ..user("carl", Role::Admin) }];
        assert!(!keeps_an_administrator(&other_disabled, "ann", None), "one who is disabled does not count");
        let portals = [User { password_hash: String::new(), ..ann }, bob];
        assert!(keeps_an_administrator(&portals, "ann", Some(&demoted)), "a portal's roles are the portal's");
    }

    #[test]
    fn a_change_says_one_thing_and_leaves_the_others() {
        let ann = user("Ann", Role::Publisher);
        let change = UserChange { disabled: Some(true), ..UserChange::default() };
        let disabled = change.applied_to(&ann, EpochMillis(5));
        assert_eq!((disabled.disabled, disabled.role), (Some(EpochMillis(5)), Role::Publisher));
        assert_eq!(change.applied_to(&disabled, EpochMillis(9)), disabled, "once more is nothing");
        let enable = UserChange { disabled: Some(false), ..UserChange::default() };
        let enabled = enable.applied_to(&disabled, EpochMillis(9));
        assert_eq!(User { epoch: 0, ..enabled.clone() }, ann);
        assert_ne!(enabled.stamp(), ann.stamp(), "what was given before stays void");
        let renewed = UserChange { password_hash: Some("new".to_owned()), ..UserChange::default() };
        assert_ne!(renewed.applied_to(&ann, EpochMillis(9)).stamp(), ann.stamp());
        let promoted = UserChange { role: Some(Role::Admin), ..UserChange::default() };
        assert_eq!(promoted.applied_to(&ann, EpochMillis(9)).stamp(), ann.stamp());
    }
}
