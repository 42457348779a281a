//! `isochrone config`: the settings, their values and where they came from.

use std::process::ExitCode;

use anyhow::Result;

use crate::args::{ConfigCommand, OutputFormat};
use crate::config::{Loaded, Setting};
use crate::output::{self, Row};

impl Row for Setting {
    const COLUMNS: &'static [&'static str] = &["key", "value", "from"];

    fn cells(&self) -> Vec<String> {
        vec![self.key.clone(), self.value.to_string(), self.from.clone()]
    }
}

pub(crate) fn run(command: &ConfigCommand, loaded: &Loaded, output: OutputFormat) -> Result<ExitCode> {
    match command {
        ConfigCommand::Show => output::list(output, &loaded.settings()?)?,
        ConfigCommand::Check => output::one(output, &serde_json::json!({"good": true}))?,
    }
    Ok(ExitCode::SUCCESS)
}
