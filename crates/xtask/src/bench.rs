//! `cargo xtask bench`: measures and prints. Nothing here passes or fails by its speed.

mod http;
mod idle;
mod lateness;
mod notebook;

use anyhow::Result;
use clap::Subcommand;
use isochrone_testkit::ServerOptions;

/// What is measured; without a name, all of it.
#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum What {
    /// The next fire of schedules, and reading them.
    Quartz,
    /// The steps of the store.
    Store,
    /// From a fire's minute to its run's start, 100 tasks due at once.
    Lateness,
    /// The whole way of 10,000 runs on a real Redis and RabbitMQ, beside a bare program that does the same
    /// input and output.
    Pipe,
    /// 64 connections that read and create, with 10,000 tasks in the store.
    Http,
    /// Executing notebooks on a server, beside nbclient alone.
    Notebook,
    /// A server with 10,000 tasks and nothing due: start, memory, processor.
    Idle,
}

pub(crate) fn run(what: Option<What>) -> Result<()> {
    let all = [What::Quartz, What::Store, What::Notebook, What::Idle, What::Http, What::Lateness, What::Pipe];
    for what in what.map_or_else(|| all.to_vec(), |what| vec![what]) {
        match what {
            What::Quartz => crate::cargo(&["bench", "--locked", "--package", "isochrone-quartz"])?,
            What::Store => crate::cargo(&["bench", "--locked", "--package", "isochrone-store"])?,
            What::Pipe => crate::cargo(&["bench", "--locked", "--package", "isochrone", "--bench", "pipe"])?,
            What::Notebook => with_server(notebook::measure)?,
            What::Lateness => with_server(lateness::measure)?,
            What::Http => with_server(http::measure)?,
            What::Idle => with_server(idle::measure)?,
        }
    }
    Ok(())
}

/// Measures on the release binary and a fresh data directory.
fn with_server<F>(measure: impl FnOnce(ServerOptions) -> F) -> Result<()>
where
    F: Future<Output = Result<()>>,
{
    crate::cargo(&["build", "--release", "--locked", "--package", "isochrone"])?;
    let dir = tempfile::tempdir()?;
    let options = ServerOptions::new(crate::root().join("target/release/isochrone"), dir.path().join("data"));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(measure(options))
}

/// The value at a share (0 to 1) of a sorted list.
fn at(sorted: &[i64], share: f64) -> i64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * share).round() as usize).copied().unwrap_or(0)
}
