//! `cargo xtask chaos`: does to real processes what may happen to them, and prints a line of figures for each
//! kind of fault.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;
use isochrone_testkit::chaos::{
    api, broker, clocks, confirm, leader, mix, pause, remote, replicas, store, upgrade, worker,
};
use isochrone_testkit::{ServerOptions, kills};

/// What happens.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Row {
    /// SIGKILL of the one process with everything embedded: 50 on a fast clock and 50 on the real one.
    Embedded,
    /// SIGKILL of the scheduler that leads.
    Leader,
    /// SIGKILL of a worker in mid-run.
    Worker,
    /// SIGSTOP of a worker past its lease, then SIGCONT.
    Pause,
    /// RabbitMQ stopped, its queue deleted, its connections closed, its memory short.
    Broker,
    /// The connection cut between a publish and its confirm.
    Confirm,
    /// SIGKILL of Redis.
    Store,
    /// Redis's clock off, forth and back, and that of the scheduler that leads.
    Clocks,
    /// SIGKILL of Redis's master while its replicas lag.
    Replicas,
    /// All of it at once.
    Mix,
    /// SIGKILL while other servers do the work.
    Remote,
    /// Cancels at every moment of a run's life, of each type.
    Cancel,
    /// A fleet brought to another version and back, process by process.
    Upgrade,
    /// Every case that the APIs' description allows, and others.
    Api,
}

/// How hard.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these; without one all of them.
    rows: Vec<Row>,
    /// As little as the tests do.
    #[arg(long)]
    smoke: bool,
    /// `upgrade`: the binary of the version before; none: the same as is tested, which makes it a rolling restart.
    #[arg(long, value_name = "BINARY")]
    from: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    crate::cargo(&["build", "--release", "--locked", "--package", "isochrone"])?;
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| crate::root().join("target"), Into::into);
    let binary = target.join("release/isochrone");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let rows = if args.rows.is_empty() { Row::value_variants() } else { &args.rows };
    runtime.block_on(async {
        for row in rows {
            let name = row.to_possible_value().context("each row has a name")?;
            let seen = row.happens(&binary, args).await;
            println!("{}: {}", name.get_name(), seen.with_context(|| name.get_name().to_owned())?);
        }
        Ok(())
    })
}

impl Row {
    /// Gives a line of figures.
    async fn happens(self, binary: &Path, args: &Args) -> Result<String> {
        let smoke = args.smoke;
        Ok(match self {
            Row::Embedded => embedded(binary, smoke).await?,
            Row::Leader => {
                let plan = if smoke { leader::Plan::SMOKE } else { leader::Plan::FULL };
                leader::run(binary, plan).await?.to_string()
            }
            Row::Worker => {
                let plan = if smoke { worker::Plan::SMOKE } else { worker::Plan::FULL };
                worker::run(binary, plan).await?.to_string()
            }
            Row::Pause => {
                let plan = if smoke { pause::Plan::SMOKE } else { pause::Plan::FULL };
                pause::run(binary, plan).await?.to_string()
            }
            Row::Broker => {
                let plan = if smoke { broker::Plan::SMOKE } else { broker::Plan::FULL };
                broker::run(binary, plan).await?.to_string()
            }
            Row::Confirm => {
                let plan = if smoke { confirm::Plan::SMOKE } else { confirm::Plan::FULL };
                confirm::run(binary, plan).await?.to_string()
            }
            Row::Store => {
                let plan = if smoke { store::Plan::SMOKE } else { store::Plan::FULL };
                store::run(binary, plan).await?.to_string()
            }
            Row::Clocks => {
                let plan = if smoke { clocks::Plan::SMOKE } else { clocks::Plan::FULL };
                clocks::run(binary, plan).await?.to_string()
            }
            Row::Replicas => {
                let plan = if smoke { replicas::Plan::SMOKE } else { replicas::Plan::FULL };
                replicas::run(binary, plan).await?.to_string()
            }
            Row::Remote => {
                let plan = if smoke { remote::kills::Plan::SMOKE } else { remote::kills::Plan::FULL };
                remote::kills::run(binary, plan).await?.to_string()
            }
            Row::Cancel => {
                let plan = if smoke { remote::cancels::Plan::SMOKE } else { remote::cancels::Plan::FULL };
                remote::cancels::run(binary, plan).await?.to_string()
            }
            Row::Upgrade => {
                let plan = if smoke { upgrade::Plan::SMOKE } else { upgrade::Plan::FULL };
                upgrade::run(args.from.as_deref().unwrap_or(binary), binary, plan).await?.to_string()
            }
            Row::Api => {
                let plan = if smoke { api::Plan::SMOKE } else { api::Plan::FULL };
                api::run(binary, plan).await?.to_string()
            }
            Row::Mix => {
                let plan = if smoke { mix::Plan::SMOKE } else { mix::Plan::FULL };
                mix::run(binary, plan).await?.to_string()
            }
        })
    }
}

/// On the fast clock a minute is two seconds: kills fall before, on and after many minutes.
async fn embedded(binary: &Path, smoke: bool) -> Result<String> {
    let fast = kills::Kills { kills: 50, tasks: 20, speed: 30, longest_life: Duration::from_secs(4) };
    if smoke {
        return embedded_once(binary, kills::Kills { kills: 8, ..fast }).await;
    }
    let real = kills::Kills { speed: 1, longest_life: Duration::from_secs(24), ..fast };
    let (fast, real) = (embedded_once(binary, fast).await?, embedded_once(binary, real).await?);
    Ok(format!("fast clock: {fast}; real clock: {real}"))
}

async fn embedded_once(binary: &Path, plan: kills::Kills) -> Result<String> {
    let dir = tempfile::tempdir()?;
    let options = ServerOptions::new(binary, dir.path().join("data"));
    match kills::run(&options, plan).await {
        Ok(seen) => Ok(format!(
            "{} kills, {} fires, 0 missing, 0 doubled, each with an outcome; slowest start on the existing data \
             directory {:.1} s",
            plan.kills,
            seen.fires,
            seen.slowest_start.as_secs_f64()
        )),
        Err(error) => {
            let kept = dir.keep();
            Err(error).with_context(|| format!("what was left lies in {}", kept.display()))
        }
    }
}
