//! `[notebook.secrets.OWNER]`: what reaches the notebooks of an owner's tasks as variables of their environment,
//! and is masked in what is kept of a run: its log, its result, and the outputs of the executed notebook
//! ([`isochrone_worker::Mask`] tells in which forms).

mod outputs;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use isochrone_domain::redact;
use isochrone_worker::{Mask, SHORTEST_SECRET};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(super) use outputs::masked_notebook;

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
    if value.chars().count() < SHORTEST_SECRET {
        return Err(format!("it has less than {SHORTEST_SECRET} characters: it could not be masked"));
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
    /// Those of this owner, read now. What looks like a secret in the `environment` of all notebooks is masked, too.
    pub(super) fn of(
        secrets: &Secrets,
        owner: &str,
        environment: &BTreeMap<String, String>,
    ) -> Result<RunSecrets, UnusableSecret> {
        let mut variables = BTreeMap::new();
        let own = secrets.iter().filter(|(name, _)| name.eq_ignore_ascii_case(owner));
        for (owner, (name, secret)) in own.flat_map(|(owner, own)| own.iter().map(move |one| (owner, one))) {
            let value = read(secret).and_then(|value| check_value(&value).map(|()| value));
            let unusable = |problem| UnusableSecret { owner: owner.clone(), name: name.clone(), problem };
            variables.insert(name.clone(), value.map_err(unusable)?);
        }
        let of_all = environment.iter().filter(|(name, _)| redact::is_secret_name(name));
        let mask = Mask::new(variables.values().chain(of_all.map(|(_, value)| value)).map(String::as_str));
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

#[cfg(test)]
mod tests {
    use super::*;

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
        let none = BTreeMap::new();
        let of = RunSecrets::of(&secrets("DB_PASSWORD", "long enough"), "ANN", &none).unwrap();
        assert_eq!(of.variables().len(), 1);
        assert!(
            RunSecrets::of(&secrets("DB_PASSWORD", "long enough"), "bob", &none)
                .unwrap()
                .variables()
                .is_empty()
        );
    }
}
