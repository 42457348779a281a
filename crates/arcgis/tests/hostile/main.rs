//! What becomes of answers that are none: each has an outcome that a caller can act on, and none takes long or much.

mod jobs;
mod portal_and_gp;

use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context, Result};
use isochrone_arcgis::Error;
use isochrone_arcgis::gp::NotSubmitted;

/// Of one request; the real limit is a minute.
const TIMEOUT: Duration = Duration::from_millis(500);
/// Where much is sent before it is too much, by a debug build.
const PATIENT: Duration = Duration::from_mins(1);
const MIB: u64 = 1 << 20;

type Read<'a> = (&'static str, Pin<Box<dyn Future<Output = isochrone_arcgis::Result<()>> + 'a>>);

/// An outcome as the table has it.
fn word(outcome: &std::result::Result<(), NotSubmitted>) -> String {
    let kind = |error: &Error| match error {
        Error::Token(_) => "token",
        Error::Forbidden(_) => "forbidden",
        Error::Refused(_) => "refused",
        Error::Unavailable(_) => "unavailable",
        Error::Busy(_) => "busy",
        Error::Unreadable(_) => "unreadable",
        Error::Config(_) => "config",
    };
    match outcome {
        Ok(()) => "done".to_owned(),
        Err(NotSubmitted::Nothing(error)) => kind(error).to_owned(),
        Err(NotSubmitted::Unknown(error)) => format!("unknown, {}", kind(error)),
    }
}

/// The most memory that this process ever had, in bytes.
fn peak() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

/// One test, for the memory is the process's.
#[tokio::test(flavor = "multi_thread")]
async fn every_hostile_answer_has_an_outcome() -> Result<()> {
    jobs::check().await?;
    portal_and_gp::check().await
}
