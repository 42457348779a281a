//! A value that is never shown.

use std::fmt;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize, Serializer};

/// A value that is never shown: not in `config show`, not in a log, not in an error.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("(hidden)")
    }
}

/// The secret in a variable, or in the file that the variable with `_FILE` added names.
pub(crate) fn from_environment(variable: &str) -> Result<Option<String>> {
    let file_variable = format!("{variable}_FILE");
    match (std::env::var(variable).ok(), std::env::var(&file_variable).ok()) {
        (Some(_), Some(_)) => bail!("{variable} and {file_variable} are both set; unset one"),
        (Some(secret), None) => Ok(Some(secret)),
        (None, Some(file)) => {
            let text =
                std::fs::read_to_string(&file).with_context(|| format!("{file_variable} names {file}"))?;
            Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
        }
        (None, None) => Ok(None),
    }
}
