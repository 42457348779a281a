//! `[notebook.secrets.OWNER]`: what reaches the notebooks of an owner's tasks as variables of their environment,
//! and is masked in what is kept of a run: its log, its result, and the outputs of the executed notebook.
//!
//! A mask is no wall: a notebook that encodes a secret (base64, backwards, letter by letter) gets it past the mask.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

/// What stands in a secret's place.
const MASKED: &str = "***";

/// Shorter ones stand in too much that is no secret.
const SHORTEST: usize = 6;

/// Where a secret's value is.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// Here.
    Value(String),
    /// In a file of the worker's, which is read for each run.
    File(PathBuf),
    /// In this variable of the worker's environment.
    Env(String),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Secret::Value(_) => f.write_str("(hidden)"),
            Secret::File(file) => f.debug_tuple("File").field(file).finish(),
            Secret::Env(name) => f.debug_tuple("Env").field(name).finish(),
        }
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Secret::Value(_) => serializer.serialize_str("(hidden)"),
            Secret::File(file) => BTreeMap::from([("file", file.to_string_lossy())]).serialize(serializer),
            Secret::Env(name) => BTreeMap::from([("env", name)]).serialize(serializer),
        }
    }
}

/// Its own errors say nothing of what was written.
impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Value(String),
            File(OnlyFile),
            Env(OnlyEnv),
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct OnlyFile {
            file: PathBuf,
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct OnlyEnv {
            env: String,
        }
        match Written::deserialize(deserializer) {
            Ok(Written::Value(value)) => Ok(Secret::Value(value)),
            Ok(Written::File(OnlyFile { file })) => Ok(Secret::File(file)),
            Ok(Written::Env(OnlyEnv { env })) => Ok(Secret::Env(env)),
            Err(_) => Err(D::Error::custom(
                "is no secret of a notebook: expected a text, {file = \"PATH\"} or {env = \"VARIABLE\"}",
            )),
        }
    }
}

/// Secrets by owner and name.
pub type Secrets = BTreeMap<String, BTreeMap<String, Secret>>;

/// Why secrets can't be used; names owner and name, and says nothing of the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("notebook.secrets.{owner}.{name}: {problem}")]
pub struct UnusableSecret {
    owner: String,
    name: String,
    problem: String,
}

/// Checks what can be checked before a run: names, and values that stand in the configuration.
pub fn check(secrets: &Secrets) -> Result<(), UnusableSecret> {
    for (owner, own) in secrets {
        for (name, secret) in own {
            let unusable = |problem: &str| UnusableSecret {
                owner: owner.clone(),
                name: name.clone(),
                problem: problem.to_owned(),
            };
            check_name(name).map_err(unusable)?;
            if let Secret::Value(value) = secret {
                check_value(value).map_err(|problem| unusable(&problem))?;
            }
        }
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), &'static str> {
    let plain = !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !plain {
        return Err("a variable's name has letters, digits and '_'");
    }
    // They decide what runs, not what it knows.
    let upper = name.to_ascii_uppercase();
    let ours =
        ["PATH", "HOME", "LANG", "TZ", "TMPDIR", "IPYTHONDIR", "NB_AUTH_FILE"].contains(&upper.as_str());
    if ours || ["ISOCHRONE_", "LD_", "PYTHON", "JUPYTER_"].iter().any(|begin| upper.starts_with(begin)) {
        return Err("this variable is Isochrone's or the system's: choose another name");
    }
    Ok(())
}

fn check_value(value: &str) -> Result<(), String> {
    if value.contains('\0') {
        return Err("it holds a byte 0, which no variable can".to_owned());
    }
    if value.chars().count() < SHORTEST {
        return Err(format!("it has less than {SHORTEST} characters: it could not be masked"));
    }
    Ok(())
}

/// A run's secrets.
#[derive(Clone, Default)]
pub(super) struct RunSecrets {
    variables: BTreeMap<String, String>,
    mask: Mask,
}

impl RunSecrets {
    /// Those of this owner, read now.
    pub(super) fn of(secrets: &Secrets, owner: &str) -> Result<RunSecrets, UnusableSecret> {
        let mut variables = BTreeMap::new();
        let own = secrets.iter().filter(|(name, _)| name.eq_ignore_ascii_case(owner));
        for (owner, (name, secret)) in own.flat_map(|(owner, own)| own.iter().map(move |one| (owner, one))) {
            let value = read(secret).and_then(|value| check_value(&value).map(|()| value));
            let unusable = |problem| UnusableSecret { owner: owner.clone(), name: name.clone(), problem };
            variables.insert(name.clone(), value.map_err(unusable)?);
        }
        let mask = Mask::new(variables.values().map(String::as_str));
        Ok(RunSecrets { variables, mask })
    }

    /// For the environment of the notebook's processes.
    pub(super) fn variables(&self) -> &BTreeMap<String, String> {
        &self.variables
    }

    pub(super) fn mask(&self) -> &Mask {
        &self.mask
    }
}

fn read(secret: &Secret) -> Result<String, String> {
    let text = match secret {
        Secret::Value(value) => return Ok(value.clone()),
        Secret::File(file) => {
            std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?
        }
        Secret::Env(name) => {
            std::env::var(name).map_err(|_| format!("the worker's environment has no text {name}"))?
        }
    };
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// Takes secrets out of texts.
#[derive(Clone, Default)]
pub(super) struct Mask {
    /// The longest first: one may hold another.
    secrets: Arc<[String]>,
}

impl Mask {
    fn new<'a>(secrets: impl Iterator<Item = &'a str>) -> Mask {
        let mut all: Vec<String> = Vec::new();
        for secret in secrets {
            all.push(secret.to_owned());
            // Of one of several lines, each line: logs and notebooks have them one by one.
            let lines = secret.lines().map(str::trim).filter(|line| line.chars().count() >= SHORTEST);
            all.extend(lines.map(str::to_owned));
        }
        all.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        all.dedup();
        Mask { secrets: all.into() }
    }

    /// Whether there is nothing to mask.
    pub(super) fn is_empty(&self) -> bool {
        self.secrets.is_empty()
    }

    /// The length of the longest secret, in bytes.
    pub(super) fn longest(&self) -> usize {
        self.secrets.first().map_or(0, String::len)
    }

    /// The text without secrets.
    pub(super) fn text(&self, text: String) -> String {
        let mut masked = text;
        for secret in &*self.secrets {
            if masked.contains(secret.as_str()) {
                masked = masked.replace(secret.as_str(), MASKED);
            }
        }
        masked
    }

    /// The same of a text that may have been cut: at its end, a secret's beginning is masked, too.
    pub(super) fn cut_text(&self, text: String) -> String {
        let mut masked = self.text(text);
        let begun = |secret: &String| {
            let lengths = (SHORTEST..secret.len()).rev().filter(|length| secret.is_char_boundary(*length));
            lengths.into_iter().find(|length| masked.ends_with(&secret[..*length]))
        };
        if let Some(length) = self.secrets.iter().filter_map(begun).max() {
            masked.truncate(masked.len() - length);
            masked.push_str(MASKED);
        }
        masked
    }

    /// The executed notebook without secrets in its outputs and metadata. Sources are the owner's own.
    pub(super) fn notebook(&self, content: Vec<u8>) -> Result<Vec<u8>, serde_json::Error> {
        if self.is_empty() {
            return Ok(content);
        }
        let mut notebook: Value = serde_json::from_slice(&content)?;
        let mut changed = false;
        if let Some(metadata) = notebook.get_mut("metadata") {
            changed |= self.value(metadata);
        }
        let cells = notebook.get_mut("cells").and_then(Value::as_array_mut);
        for cell in cells.into_iter().flatten() {
            if let Some(outputs) = cell.get_mut("outputs").and_then(Value::as_array_mut) {
                // A stream's pieces: a secret may begin in one and end in the next.
                join_streams(outputs);
                for output in outputs {
                    changed |= self.value(output);
                }
            }
        }
        if !changed {
            return Ok(content);
        }
        let mut masked = Vec::with_capacity(content.len());
        let format = serde_json::ser::PrettyFormatter::with_indent(b" ");
        notebook.serialize(&mut serde_json::Serializer::with_formatter(&mut masked, format))?;
        masked.push(b'\n');
        Ok(masked)
    }

    /// Whether anything was masked.
    fn value(&self, value: &mut Value) -> bool {
        match value {
            Value::String(text) => {
                let masked = self.text(std::mem::take(text));
                let changed = masked.contains(MASKED);
                *text = masked;
                changed
            }
            // Lines of one text.
            Value::Array(values) if !values.is_empty() && values.iter().all(Value::is_string) => {
                let text: String = values.iter().filter_map(Value::as_str).collect();
                let masked = self.text(text);
                if !masked.contains(MASKED) {
                    return false;
                }
                *values = masked.split_inclusive('\n').map(Value::from).collect();
                true
            }
            Value::Array(values) => {
                let mut changed = false;
                for value in values {
                    changed |= self.value(value);
                }
                changed
            }
            Value::Object(fields) => {
                let mut changed = false;
                let taken = std::mem::take(fields);
                *fields = taken
                    .into_iter()
                    .map(|(name, mut value)| {
                        changed |= self.value(&mut value);
                        let masked = self.text(name);
                        changed |= masked.contains(MASKED);
                        (masked, value)
                    })
                    .collect::<Map<_, _>>();
                changed
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }
}

/// Makes one output of those of a stream that follow each other.
fn join_streams(outputs: &mut Vec<Value>) {
    let text = |output: &Value| match &output["text"] {
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect(),
        text => text.as_str().unwrap_or_default().to_owned(),
    };
    let mut joined: Vec<Value> = Vec::with_capacity(outputs.len());
    for output in outputs.drain(..) {
        match joined.last_mut() {
            Some(last)
                if output["output_type"] == "stream"
                    && last["output_type"] == "stream"
                    && last["name"] == output["name"] =>
            {
                let whole: String = text(last) + &text(&output);
                last["text"] = whole.split_inclusive('\n').map(Value::from).collect();
            }
            _ => joined.push(output),
        }
    }
    *outputs = joined;
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn mask(secrets: &[&str]) -> Mask {
        Mask::new(secrets.iter().copied())
    }

    #[test]
    fn secrets_are_taken_out_of_texts_and_out_of_cut_ones() {
        let mask = mask(&["s3cret-word", "s3cret-word-and-more", "first line\nsecond line"]);
        assert_eq!(mask.text("a s3cret-word-and-more, a s3cret-word".to_owned()), "a ***, a ***");
        assert_eq!(mask.text("second line".to_owned()), "***", "each line of a secret of several");
        assert_eq!(mask.cut_text("it is s3cret-wo".to_owned()), "it is ***");
        assert_eq!(
            mask.cut_text("it is s3c".to_owned()),
            "it is s3c",
            "too little to tell it from other words"
        );
    }

    #[test]
    fn an_executed_notebook_keeps_its_sources_and_loses_secrets_in_its_outputs() {
        let mask = mask(&["s3cret-word"]);
        let stream = |text: Value| json!({"output_type": "stream", "name": "stdout", "text": text});
        let notebook = json!({
            "cells": [{
                "cell_type": "code", "source": ["print(1) # s3cret-word is what I wrote myself"],
                "outputs": [
                    stream(json!(["a line\n", "s3cr"])), stream(json!("et-word\n")),
                    {"output_type": "error", "ename": "E", "evalue": "s3cret-word", "traceback": ["x s3cret-word"]},
                    {"output_type": "display_data", "data": {"application/json": {"s3cret-word": [1, "s3cret-word"]}}},
                ],
            }],
            "metadata": {"widgets": {"state": "s3cret-word"}}, "nbformat": 4, "nbformat_minor": 5,
        });
        let masked = mask.notebook(notebook.to_string().into_bytes()).unwrap();
        let masked: Value = serde_json::from_slice(&masked).unwrap();
        let cell = &masked["cells"][0];
        assert_eq!(cell["source"], notebook["cells"][0]["source"]);
        assert_eq!(cell["outputs"][0]["text"], json!(["a line\n", "***\n"]));
        assert!(!cell["outputs"].to_string().contains("s3cret"), "{cell}");
        assert!(!masked["metadata"].to_string().contains("s3cret"));
        let clean = json!({"cells": [], "metadata": {}, "nbformat": 4}).to_string().into_bytes();
        assert_eq!(mask.notebook(clean.clone()).unwrap(), clean);
    }

    #[test]
    fn what_can_t_be_used_is_named_and_not_shown() {
        let secrets = |name: &str, value: &str| -> Secrets {
            let own = BTreeMap::from([(name.to_owned(), Secret::Value(value.to_owned()))]);
            BTreeMap::from([("ann".to_owned(), own)])
        };
        assert_eq!(check(&secrets("DB_PASSWORD", "long enough")), Ok(()));
        for (name, value) in [
            ("a-b", "long enough"),
            ("PATH", "long enough"),
            ("LD_PRELOAD", "long enough"),
            ("X", "tiny"),
            ("X", "with\0zero"),
        ] {
            let error = check(&secrets(name, value)).unwrap_err().to_string();
            assert!(
                error.contains(&format!("notebook.secrets.ann.{name}")) && !error.contains(value),
                "{error}"
            );
        }
        let of = RunSecrets::of(&secrets("DB_PASSWORD", "long enough"), "ANN").unwrap();
        assert_eq!(of.variables().len(), 1);
        assert!(
            RunSecrets::of(&secrets("DB_PASSWORD", "long enough"), "bob").unwrap().variables().is_empty()
        );
    }
}
