//! `cargo xtask simulate`: the simulator (`crates/simulator`) by many seeds. It is built optimized, and with Tokio's
//! seeded order of `select!`, so that a seed's trace is always the same.

use std::process::Command;

use anyhow::{Context, Result, bail};

/// The seeds that `cargo xtask test` simulates.
const TESTED: u64 = 500;

/// Their virtual hours, and their tasks: less than in a run of its own, where the tests have an hour in all.
const TESTED_HOURS: &str = "0.5";
const TESTED_TASKS: &str = "100";

/// How much is simulated.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many seeds.
    #[arg(long, default_value_t = TESTED)]
    seeds: u64,
    /// The first of them: to see one again, with `--seeds 1`.
    #[arg(long, default_value_t = 1)]
    first_seed: u64,
    /// Virtual hours of each seed.
    #[arg(long, default_value_t = 2.0)]
    hours: f64,
    /// Print the trace of every seed, not only of the first that breaks a promise.
    #[arg(long)]
    trace: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let (seeds, first, hours) = (args.seeds.to_string(), args.first_seed.to_string(), args.hours.to_string());
    let mut words = vec!["run", "--quiet", "--"];
    words.extend(["--seeds", &seeds, "--first-seed", &first, "--hours", &hours]);
    if args.trace {
        words.push("--trace");
    }
    cargo(&words)
}

/// The simulator's own tests, and as many seeds as fit among the tests.
pub(crate) fn test() -> Result<()> {
    cargo(&["test", "--no-fail-fast"])?;
    let seeds = TESTED.to_string();
    cargo(&["run", "--quiet", "--", "--seeds", &seeds, "--hours", TESTED_HOURS, "--tasks", TESTED_TASKS])
}

/// Runs cargo for the simulator.
fn cargo(words: &[&str]) -> Result<()> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    let [chore, rest @ ..] = words else { bail!("cargo has nothing to do") };
    eprintln!("xtask: the simulator: cargo {}", words.join(" "));
    let status = Command::new(cargo)
        .arg(chore)
        .args(["--profile", "simulation", "--locked", "--package", "isochrone-simulator"])
        .args(rest)
        .env("RUSTFLAGS", format!("{flags} --cfg tokio_unstable"))
        .current_dir(crate::root())
        .status()
        .context("cargo")?;
    if !status.success() {
        bail!("the simulation failed");
    }
    Ok(())
}
