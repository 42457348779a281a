//! The keys that seal what is secret in the store.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use isochrone_store::seal::Keyring;
use serde::{Deserialize, Serialize};

use super::Secret;
use super::file_rights::{self, Rights};

/// The keys that seal what is secret in the store: one a line, 32 bytes in hex or base64; the first one seals,
/// all of them open. Without one, task parameters and the like are kept in the clear.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Secrets {
    /// The file that has them.
    pub(crate) key_file: Option<PathBuf>,
    /// They themselves, in place of a file.
    pub(crate) key: Option<Secret>,
}

impl Secrets {
    /// The keys; an empty ring where none is set.
    pub(crate) fn keyring(&self) -> Result<Keyring> {
        match (&self.key, &self.key_file) {
            (Some(_), Some(_)) => bail!(
                "secrets.key (ISOCHRONE_SECRETS_KEY) and secrets.key_file (ISOCHRONE_SECRETS_KEY_FILE) are \
                 both set; unset one"
            ),
            (Some(key), None) => Keyring::parse(key.reveal()).context("secrets.key (ISOCHRONE_SECRETS_KEY)"),
            (None, Some(file)) => {
                read(file).with_context(|| format!("secrets.key_file names {}", file.display()))
            }
            (None, None) => Ok(Keyring::default()),
        }
    }
}

fn read(file: &Path) -> Result<Keyring> {
    // As ssh does with its keys.
    if let Some(rights @ Rights::Everybody(_)) = file_rights::of(file)? {
        bail!("{rights}: chmod 600 it");
    }
    let text = zeroize::Zeroizing::new(std::fs::read_to_string(file)?);
    Ok(Keyring::parse(&text)?)
}
