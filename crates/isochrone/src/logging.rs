//! Sets up tracing.

use std::io::IsTerminal;

use anyhow::{Context, Result};
use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Logs go to standard error: standard output is for results.
pub(crate) fn init(log: &Log) -> Result<()> {
    let mut filter = EnvFilter::try_new(&log.filter).context("log.filter can't be read")?;
    if !log.filter.contains("lapin") {
        // It calls each lost connection an error; the queue says itself what is lost and when it is back.
        filter = filter.add_directive("lapin=off".parse()?);
    }
    let terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match log.format {
        LogFormat::Pretty => builder.with_ansi(terminal).init(),
        LogFormat::Auto if terminal => builder.with_ansi(true).init(),
        LogFormat::Auto | LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    Ok(())
}
