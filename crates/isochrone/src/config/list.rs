//! Lists that a variable of the environment can hold: `A,B`.

use std::fmt::Display;
use std::str::FromStr;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A list, or text with commas between its parts.
pub(crate) fn deserialize<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        List(Vec<String>),
        Text(String),
    }
    let parts = match Written::deserialize(deserializer)? {
        Written::List(parts) => parts,
        Written::Text(text) => text.split(',').map(str::to_owned).collect(),
    };
    let parts = parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty());
    parts.map(|part| part.parse().map_err(|error| D::Error::custom(format!("{part:?}: {error}")))).collect()
}

pub(crate) fn serialize<S: Serializer, T: Display>(list: &[T], serializer: S) -> Result<S::Ok, S::Error> {
    list.iter().map(ToString::to_string).collect::<Vec<_>>().serialize(serializer)
}
