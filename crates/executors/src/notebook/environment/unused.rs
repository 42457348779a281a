//! Removes environments that nobody uses any more, and makes room for new ones.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use super::error::EnvironmentError;
use super::folder::Folder;
use super::item::ItemRequirements;
use super::{Shared, short};
use crate::untrusted::UntrustedDir;

const DAY: u64 = 24 * 60 * 60;

/// Folders that environments have: names of a digest, and those that earlier versions gave.
fn is_environment(name: &OsStr) -> bool {
    [12, 32].contains(&name.len()) && name.as_bytes().iter().all(u8::is_ascii_hexdigit)
}

/// All that are there, those first that nobody has used for longest.
pub(super) fn all(parent: &Path) -> Vec<Folder> {
    let names =
        UntrustedDir::open(parent).ok().and_then(|folder| Some(folder.names().ok()?.collect::<Vec<_>>()));
    let names = names.unwrap_or_default().into_iter().map_while(Result::ok);
    let folders = names.filter(|name| is_environment(name));
    let mut found: Vec<Folder> = folders.map(|name| Folder::of(parent, &name.to_string_lossy())).collect();
    found.sort_by_cached_key(|folder| std::cmp::Reverse(folder.unused_for()));
    found
}

/// Whether it could be removed; those in use can't.
fn remove(folder: &Folder, why: &str) -> bool {
    let lock = match folder.take() {
        Ok(Some(lock)) => lock,
        Ok(None) => return false,
        Err(error) => {
            tracing::warn!(folder = %folder.path().display(), %error, "an unused Python environment can't be locked");
            return false;
        }
    };
    let removed = folder.remove(lock);
    match &removed {
        Ok(()) => tracing::info!(environment = short(folder.path()), why, "a Python environment is removed"),
        Err(error) => {
            tracing::warn!(folder = %folder.path().display(), %error, "an unused Python environment can't be removed");
        }
    }
    removed.is_ok()
}

impl Shared {
    /// Removes what nobody has used for `[notebook] environments_unused_days`, but the operator's own.
    pub(super) async fn remove_unused(&self) {
        let Ok(wanted) = self.wanted(&ItemRequirements::default()).await else { return };
        let age = Duration::from_secs(self.config.environments_unused_days.saturating_mul(DAY));
        let Ok(parent) = self.parent() else { return };
        let removing = move || {
            for folder in all(&parent) {
                // What is not complete is there to be looked at, and for whoever is about to build it.
                let age = if folder.manifest().is_some() { age } else { age.min(Duration::from_secs(DAY)) };
                if folder.unused_for() > age && folder.path() != wanted.folder.path() {
                    remove(&folder, "unused");
                }
            }
        };
        drop(tokio::task::spawn_blocking(removing).await);
    }

    /// Removes what was used longest ago where one more than `[notebook] environments_max` would be there.
    pub(super) async fn make_room(&self, new: &Folder) -> Result<(), EnvironmentError> {
        let operators = self.wanted(&ItemRequirements::default()).await?.folder;
        let (parent, most) = (self.parent().map_err(|error| self.io(&error))?, self.config.environments_max);
        let new = new.clone();
        let removing = move || {
            let mut others = all(&parent);
            others.retain(|folder| folder.path() != new.path() && folder.manifest().is_some());
            let mut left = others.len();
            let unneeded = others.iter().filter(|folder| folder.path() != operators.path());
            for folder in unneeded {
                if left < most {
                    break;
                }
                if remove(folder, "there are as many as there may be") {
                    left -= 1;
                }
            }
            left < most || new.path() == operators.path()
        };
        match tokio::task::spawn_blocking(removing).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(EnvironmentError::TooMany { most }),
            Err(error) => Err(self.io(&std::io::Error::other(error))),
        }
    }
}
