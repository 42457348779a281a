//! `isochrone import`: tasks from a file, or from a portal.

mod lines;
mod portal;
mod tally;

use std::process::ExitCode;

use anyhow::Result;
use isochrone_scheduler::Taken;

use crate::args::{Import, OutputFormat};
use crate::config::Loaded;
use crate::wiring::House;

pub(crate) async fn run(loaded: &Loaded, import: Import, output: OutputFormat) -> Result<ExitCode> {
    let house = House::open(&loaded.config).await?;
    let policies = loaded.config.policies();
    let taken = if import.replace { Taken::Replace } else { Taken::Keep };
    let tally = match &import.from.url {
        Some(url) => portal::import(&house, &policies, taken, &import.from, url).await?,
        None => lines::import(&house, &policies, taken, &import).await?,
    };
    tally.tell(output)
}
