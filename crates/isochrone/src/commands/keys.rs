//! `isochrone keys`: the keys that seal what is secret in the store.

use std::process::ExitCode;

use anyhow::Result;
use isochrone_store::seal::{Key, Rotation};
use serde::Serialize;

use crate::args::{KeysCommand, OutputFormat};
use crate::config::Loaded;
use crate::output::{self, Row};
use crate::wiring::House;

/// A key, and what is sealed with it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KeyRow {
    /// None: in the clear.
    key: Option<String>,
    /// Whether this process has it.
    here: bool,
    /// Whether what is written now is sealed with it.
    seals: bool,
    secrets: u64,
}

impl Row for KeyRow {
    const COLUMNS: &'static [&'static str] = &["key", "here", "seals", "secrets"];

    fn cells(&self) -> Vec<String> {
        let word = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
        let key = self.key.clone().unwrap_or_else(|| "(in the clear)".to_owned());
        vec![key, word(self.here), word(self.seals), self.secrets.to_string()]
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rotated {
    key: Option<String>,
    tasks: u64,
    runs: u64,
    grants: u64,
    unchanged: u64,
    retired: Vec<String>,
    kept: Vec<String>,
    failed: Vec<String>,
}

impl From<Rotation> for Rotated {
    fn from(done: Rotation) -> Rotated {
        let Rotation { key, tasks, runs, grants, unchanged, retired, kept, failed } = done;
        let retired = retired.into_iter().map(|key| key.to_string()).collect();
        let kept = kept.into_iter().map(|(key, why)| format!("{key}: {why}")).collect();
        Rotated { key: key.map(|key| key.to_string()), tasks, runs, grants, unchanged, retired, kept, failed }
    }
}

pub(crate) async fn run(loaded: &Loaded, command: KeysCommand, output: OutputFormat) -> Result<ExitCode> {
    match command {
        KeysCommand::Generate => generate(output),
        KeysCommand::Status => status(&House::open_existing(&loaded.config).await?, output).await,
        KeysCommand::Rotate => {
            let done = Rotated::from(House::open_existing(&loaded.config).await?.sealed.rotate().await?);
            output::one(output, &done)?;
            Ok(if done.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

/// Prints a new key, as a key file has it. The text says what it is; JSON has its id beside it.
fn generate(output: OutputFormat) -> Result<ExitCode> {
    #[derive(Serialize)]
    struct Made {
        id: String,
        key: String,
    }
    let key = Key::generate();
    match output {
        OutputFormat::Json => {
            output::one(output, &Made { id: key.id().to_string(), key: key.to_text().to_string() })?;
        }
        OutputFormat::Text => println!("# isochrone key {}\n{}", key.id(), *key.to_text()),
    }
    Ok(ExitCode::SUCCESS)
}

async fn status(house: &House, output: OutputFormat) -> Result<ExitCode> {
    let (ring, sealing) = (house.sealed.ring(), house.sealed.seals_with());
    let mut counts = house.sealed.survey().await?;
    for key in ring.ids().chain(house.store.keys_in_use().await?) {
        counts.entry(Some(key)).or_default();
    }
    counts.entry(None).or_default();
    let rows: Vec<KeyRow> = counts
        .into_iter()
        .map(|(key, secrets)| KeyRow {
            here: key.is_none_or(|key| ring.get(key).is_some()),
            seals: key == sealing,
            key: key.map(|key| key.to_string()),
            secrets,
        })
        .collect();
    output::list(output, &rows)?;
    Ok(ExitCode::SUCCESS)
}
