//! A value that is never shown.

use std::fmt;

use anyhow::{Context, Result, bail};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What stands in its place.
pub(crate) const HIDDEN: &str = "(hidden)";

/// A value that is never shown: not in `config show`, not in a log, not in an error.
#[derive(Clone)]
pub(crate) struct Secret(String);

/// A password of digits comes from the environment as a number, and an error would show it.
impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Text(String),
            Natural(u64),
            Whole(i64),
            Flag(bool),
        }
        match Written::deserialize(deserializer) {
            Ok(Written::Text(text)) => Ok(Secret(text)),
            Ok(Written::Natural(number)) => Ok(Secret(number.to_string())),
            Ok(Written::Whole(number)) => Ok(Secret(number.to_string())),
            Ok(Written::Flag(flag)) => Ok(Secret(flag.to_string())),
            Err(_) => Err(D::Error::custom("is no text; put it in quotes")),
        }
    }
}

impl Secret {
    pub(crate) fn new(text: String) -> Secret {
        Secret(text)
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(HIDDEN)
    }
}

/// What a variable says. Set to nothing is not set: so a compose file passes a variable on that nobody gave.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The secret in a variable, or in the file that the variable with `_FILE` added names.
pub(crate) fn from_environment(variable: &str) -> Result<Option<String>> {
    let file_variable = format!("{variable}_FILE");
    match (self::variable(variable), self::variable(&file_variable)) {
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
