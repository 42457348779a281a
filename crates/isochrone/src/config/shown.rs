//! What is shown of a configuration: every setting but what is secret.

use std::collections::BTreeMap;

use anyhow::Result;
use figment::Figment;
use isochrone_domain::redact;
use serde::Serialize;

use super::{Config, Loaded, secret};

/// A setting as `config show` tells it.
#[derive(Debug, Serialize)]
pub(crate) struct Setting {
    pub(crate) key: String,
    pub(crate) value: serde_json::Value,
    pub(crate) from: String,
}

impl Loaded {
    /// Every setting with its value and its origin; secrets are hidden.
    pub(crate) fn settings(&self) -> Result<Vec<Setting>> {
        let mut leaves = BTreeMap::new();
        flatten("", serde_json::to_value(&self.config)?, &mut leaves);
        let setting =
            |(key, value): (String, _)| Setting { from: self.origin(&key), value: shown(&key, value), key };
        Ok(leaves.into_iter().map(setting).collect())
    }
}

/// Whether a configuration has secrets in it.
pub(super) fn has_secrets(figment: &Figment) -> bool {
    let Ok(config) = figment.extract::<Config>() else { return false };
    let mut leaves = BTreeMap::new();
    flatten("", serde_json::to_value(config).unwrap_or_default(), &mut leaves);
    leaves.iter().any(|(key, value)| value == secret::HIDDEN || is_secret_variable(key))
}

/// What notebooks have in their environment is anything, so none of it is shown.
const NOTEBOOK_VARIABLES: &str = "notebook.environment.";

fn is_secret_variable(key: &str) -> bool {
    key.strip_prefix(NOTEBOOK_VARIABLES).is_some_and(redact::is_secret_name)
}

/// A setting's value as it may be shown: URLs are without passwords and tokens.
fn shown(key: &str, value: serde_json::Value) -> serde_json::Value {
    match value {
        _ if key.starts_with(NOTEBOOK_VARIABLES) => secret::HIDDEN.into(),
        serde_json::Value::String(text) => redact::urls(&text).into(),
        serde_json::Value::Array(values) => values.into_iter().map(|value| shown(key, value)).collect(),
        value => value,
    }
}

fn flatten(prefix: &str, value: serde_json::Value, leaves: &mut BTreeMap<String, serde_json::Value>) {
    match value {
        serde_json::Value::Object(object) => {
            for (key, value) in object {
                let key = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
                flatten(&key, value, leaves);
            }
        }
        value => {
            leaves.insert(prefix.to_owned(), value);
        }
    }
}
