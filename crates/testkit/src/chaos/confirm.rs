//! The broker's connection is cut between a publish and its confirm: the run is published again, and executed
//! once.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use isochrone_domain::RunId;

use super::{on_fleet, seconds};
use crate::fleet::{Fleet, TASKS, create_minutely, disable};
use crate::{Direction, Proxy, eventually_within};

/// However the cut falls, the run is executed within this time.
const WITHIN: Duration = Duration::from_secs(30);

/// How hard.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How many runs, each with a cut connection.
    pub cuts: u32,
}

impl Plan {
    /// For every day.
    pub const SMOKE: Plan = Plan { cuts: 8 };
    /// As much as is promised.
    pub const FULL: Plan = Plan { cuts: 500 };
}

/// What was seen.
#[derive(Debug)]
pub struct Seen {
    cuts: u32,
    connections: u64,
    slowest: Duration,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Seen { cuts, connections, slowest } = self;
        write!(
            f,
            "{cuts} runs published with the confirm cut off ({connections} connections), {cuts} executed, each \
             once; the slowest began after {}",
            seconds(*slowest)
        )
    }
}

/// Cuts the scheduler's connection at each run's publish.
pub async fn run(binary: &Path, plan: Plan) -> Result<Seen> {
    on_fleet(binary, 1, async |fleet| cut(fleet, plan).await).await
}

async fn cut(fleet: &mut Fleet, plan: Plan) -> Result<Seen> {
    let direct = fleet.rabbit.url();
    let proxy = Proxy::start(fleet.rabbit.address()).await?;
    let port = fleet.rabbit.address().port().to_string();
    fleet.env("ISOCHRONE_AMQP_URL", direct.replace(&port, &proxy.address().port().to_string()));
    let scheduler = fleet.scheduler().await?;
    fleet.env("ISOCHRONE_AMQP_URL", &direct);
    let _worker = fleet.worker(50).await?;
    let task = create_minutely(&scheduler, "asked for", &[]).await?;
    disable(&scheduler, task).await?;
    let (before, mut slowest) = (proxy.accepted(), Duration::ZERO);
    let mut runs: Vec<RunId> = Vec::new();
    for _ in 0..plan.cuts {
        let connections = proxy.accepted();
        // The next thing that the broker says to the scheduler is that it has the message; that is lost.
        proxy.close_after(Direction::ToClient, 0);
        let asked = Instant::now();
        let run = scheduler.post(&format!("{TASKS}/{task}/run"), &[]).await?;
        let run: RunId = run["runId"].as_str().with_context(|| format!("run now: {run}"))?.parse()?;
        runs.push(run);
        eventually_within(WITHIN, "the run to be executed", async || {
            Ok(fleet.drill.begun().iter().any(|begun| begun.run == run).then_some(()))
        })
        .await?;
        slowest = slowest.max(asked.elapsed());
        // The next cut needs a connection to cut.
        eventually_within(WITHIN, "the scheduler to connect again", async || {
            Ok((proxy.accepted() > connections).then_some(()))
        })
        .await?;
    }
    let connections = proxy.accepted() - before;
    ensure!(connections >= u64::from(plan.cuts), "only {connections} connections for {} cuts", plan.cuts);
    let begun = fleet.drill.begun();
    ensure!(begun.len() == runs.len(), "{} attempts at {} runs", begun.len(), runs.len());
    ensure!(fleet.drill.doubled().is_empty(), "begun twice: {:?}", fleet.drill.doubled());
    Ok(Seen { cuts: plan.cuts, connections, slowest })
}
