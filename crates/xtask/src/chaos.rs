//! `cargo xtask chaos`: kills the real server at random moments, again and again, and reads the ledger.

use std::time::Duration;

use anyhow::{Context, Result};
use isochrone_testkit::{ServerOptions, kills};

/// How hard.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many kills, each time.
    #[arg(long, default_value_t = 50)]
    kills: u32,
    /// Tasks that fire every minute.
    #[arg(long, default_value_t = 20)]
    tasks: u32,
    /// Only with the fast clock.
    #[arg(long)]
    fast_only: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    crate::cargo(&["build", "--release", "--locked", "--package", "isochrone"])?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let (kills, tasks) = (args.kills, args.tasks);
        // On the fast clock a minute is two seconds: kills fall before, on and after many minutes.
        one("fast clock", kills::Kills { kills, tasks, speed: 30, longest_life: Duration::from_secs(4) })
            .await?;
        if !args.fast_only {
            one("real clock", kills::Kills { kills, tasks, speed: 1, longest_life: Duration::from_secs(24) })
                .await?;
        }
        Ok(())
    })
}

async fn one(name: &str, plan: kills::Kills) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let binary = crate::root().join("target/release/isochrone");
    let options = ServerOptions::new(binary, dir.path().join("data"));
    eprintln!("xtask: {name}: {} kills, {} tasks every minute", plan.kills, plan.tasks);
    let seen = match kills::run(&options, plan).await {
        Ok(seen) => seen,
        Err(error) => {
            let kept = dir.keep();
            return Err(error).with_context(|| format!("{name}; what was left lies in {}", kept.display()));
        }
    };
    println!(
        "{name}: {} kills, {} fires, 0 missing, 0 doubled, each with an outcome",
        plan.kills, seen.fires
    );
    println!("  slowest start on the existing data directory: {:?}", seen.slowest_start);
    for (what, count) in seen.summary {
        println!("  {count:6}  {what}");
    }
    Ok(())
}
