//! The project's chores: `cargo xtask test | simulate | chaos | bench | lint | sbom`.

mod bench;
mod chaos;
mod deny;
mod imports;
mod sbom;
mod simulate;
mod tests;
mod untrusted;

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use clap::Parser;

#[derive(Parser)]
#[command(name = "cargo xtask")]
enum Chore {
    /// Every test, with all of its set-up.
    Test,
    /// Runs a fleet on virtual time with faults by a seed, and checks the promises.
    Simulate(simulate::Args),
    /// Kills the real server at random moments, again and again, and reads the ledger.
    Chaos(chaos::Args),
    /// Measures and prints.
    Bench {
        #[command(subcommand)]
        what: Option<bench::What>,
    },
    /// Clippy, who imports whom, and what deny.toml says of licences and sources.
    Lint,
    /// Lists what the binary is made of, as CycloneDX.
    Sbom(sbom::Args),
}

fn main() -> ExitCode {
    let done = match Chore::parse() {
        Chore::Test => tests::run(),
        Chore::Simulate(args) => simulate::run(&args),
        Chore::Chaos(args) => chaos::run(&args),
        Chore::Bench { what } => bench::run(what),
        Chore::Lint => lint(),
        Chore::Sbom(args) => sbom::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn lint() -> Result<()> {
    imports::check()?;
    deny::check()?;
    untrusted::check()?;
    cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])
}

fn cargo(args: &[&str]) -> Result<()> {
    let shown = args.join(" ");
    eprintln!("xtask: cargo {shown}");
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let status = Command::new(cargo).args(args).current_dir(root()).status().context("cargo")?;
    if !status.success() {
        bail!("cargo {shown} failed");
    }
    Ok(())
}

/// The workspace's folder.
fn root() -> &'static std::path::Path {
    std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
