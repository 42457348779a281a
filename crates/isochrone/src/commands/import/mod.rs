//! `isochrone import`: tasks from a file, or from a portal.

mod lines;
mod tally;

use std::process::ExitCode;

use anyhow::Result;

use crate::args::{Import, OutputFormat};
use crate::config::Loaded;
use crate::wiring::House;

pub(crate) async fn run(loaded: &Loaded, import: Import, output: OutputFormat) -> Result<ExitCode> {
    let house = House::open(&loaded.config).await?;
    let tally = lines::import(&house, &loaded.config.policies(), &import).await?;
    tally.tell(output)
}
