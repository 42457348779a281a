//! `isochrone import`: tasks from a file, or from a portal.

mod lines;
mod portal;
mod tally;

use std::process::ExitCode;

use anyhow::Result;

use crate::args::{Import, OutputFormat};
use crate::config::Loaded;
use crate::wiring::House;

pub(crate) async fn run(loaded: &Loaded, import: Import, output: OutputFormat) -> Result<ExitCode> {
    let house = House::open(&loaded.config).await?;
    let policies = loaded.config.policies();
    let tally = match &import.from.url {
        Some(url) => portal::import(&house, &policies, &import, url).await?,
        None => lines::import(&house, &policies, &import).await?,
    };
    tally.tell(output)
}
