//! The broker's connection is cut between a publish and its confirm: the run is published again, and executed
//! once.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use isochrone_domain::{Outcome, RunId};
use isochrone_store::RunStore;

use super::{all_ended, on_fleet, seconds};
use crate::fleet::{Fleet, TASKS, never};
use crate::{Proxy, Server, eventually_within};

/// However the cut falls, the run is executed within this time, and published again.
const WITHIN: Duration = Duration::from_secs(30);

/// `basic.publish` in AMQP 0-9-1 by the exchange without a name: what follows is the queue's name, with its length
/// before it. Heartbeats are published, too.
const PUBLISH: &[u8] = &[0, 60, 0, 40, 0, 0, 0];
/// Of `basic.ack`, by which the broker confirms.
const CONFIRM: &[u8] = &[0, 60, 0, 80];

const QUEUE: &str = "isochrone.runs.ExecuteReport";

/// How hard.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How many runs, each with a cut connection, on each fleet.
    pub cuts: u32,
    /// How many fleets at once: most of the time each waits to connect again.
    pub fleets: u32,
}

impl Plan {
    /// For every day.
    pub const SMOKE: Plan = Plan { cuts: 6, fleets: 1 };
    /// As much as is promised.
    pub const FULL: Plan = Plan { cuts: 125, fleets: 4 };
}

/// What was seen.
#[derive(Debug)]
pub struct Seen {
    cuts: u32,
    twice: u32,
    slowest: Duration,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Seen { cuts, twice, slowest } = self;
        write!(
            f,
            "{cuts} runs published with the confirm cut off, {twice} of them before there was a worker and seen twice in \
             the queue, {cuts} runs executed, each once; with a worker there the slowest began after {}",
            seconds(*slowest)
        )
    }
}

/// Cuts the scheduler's connection at each run's publish.
pub async fn run(binary: &Path, plan: Plan) -> Result<Seen> {
    let fleets = (0..plan.fleets).map(|_| on_fleet(binary, 1, async |fleet| cut(fleet, plan).await));
    let seen = try_join_all(fleets).await?.into_iter();
    seen.reduce(|one, other| Seen {
        cuts: one.cuts + other.cuts,
        twice: one.twice + other.twice,
        slowest: one.slowest.max(other.slowest),
    })
    .context("no fleet")
}

async fn cut(fleet: &mut Fleet, plan: Plan) -> Result<Seen> {
    let proxy = Proxy::start(fleet.rabbit.address()).await?;
    fleet.env("ISOCHRONE_AMQP_URL", fleet.rabbit.url_through(&proxy));
    let scheduler = fleet.scheduler().await?;
    fleet.env("ISOCHRONE_AMQP_URL", fleet.rabbit.url());
    let task = scheduler.create_task(&never("asked for")).await?;
    let (mut runs, mut slowest) = (Vec::new(), Duration::ZERO);
    // First without a worker: nobody takes the run before it is published again, and each is there twice.
    let waiting = plan.cuts / 2;
    for n in 1..=u64::from(waiting) {
        runs.push(published_and_cut(&scheduler, &task, &proxy).await?);
        eventually_within(WITHIN, "the run to be published again", async || {
            // Each look is a connection of its own.
            tokio::time::sleep(Duration::from_millis(250)).await;
            Ok(fleet.rabbit.queue_depth(QUEUE).await?.filter(|depth| *depth >= 2 * n))
        })
        .await?;
    }
    let worker = fleet.worker(50).await?;
    for _ in waiting..plan.cuts {
        let asked = Instant::now();
        let run = published_and_cut(&scheduler, &task, &proxy).await?;
        runs.push(run);
        let begun = eventually_within(WITHIN, "the run to be executed", async || {
            Ok(fleet.drill.begun().into_iter().find(|begun| begun.run == run))
        })
        .await?;
        slowest = slowest.max(begun.at.saturating_duration_since(asked));
    }
    check(fleet, worker, &runs).await?;
    Ok(Seen { cuts: plan.cuts, twice: waiting, slowest })
}

/// Asks for a run, and waits until its publish has reached the broker and the confirm is lost.
async fn published_and_cut(scheduler: &Server, task: &str, proxy: &Proxy) -> Result<RunId> {
    let (closed, accepted) = (proxy.closed(), proxy.accepted());
    let length = u8::try_from(QUEUE.len()).context("the queue's name")?;
    proxy.close_at_answer(&[PUBLISH, &[length], QUEUE.as_bytes()].concat(), CONFIRM);
    let run = scheduler.post(&format!("{TASKS}/{task}/run"), &[]).await?;
    let run = run["runId"].as_str().with_context(|| format!("run now: {run}"))?.parse()?;
    eventually_within(WITHIN, "the confirm to be cut off, and the scheduler to connect again", async || {
        Ok((proxy.closed() > closed && proxy.accepted() > accepted).then_some(()))
    })
    .await?;
    Ok(run)
}

/// Each run was executed once and succeeded, when every message for it has been seen by the worker.
async fn check(fleet: &Fleet, worker: Server, runs: &[RunId]) -> Result<()> {
    let store = fleet.store().await?;
    let ledger = all_ended(&store, runs.len(), WITHIN).await?;
    eventually_within(WITHIN, "each message to be taken", async || {
        Ok(fleet.rabbit.queue_depth(QUEUE).await?.filter(|depth| *depth == 0))
    })
    .await?;
    // What it had taken and not acknowledged would be in the queue again.
    ensure!(worker.terminate().await?, "the worker did not end in order");
    let left = fleet.rabbit.queue_depth(QUEUE).await?;
    ensure!(left == Some(0), "{left:?} messages were not acknowledged");
    let fires: Vec<_> = ledger.tasks.values().flat_map(|fires| &fires.0).collect();
    ensure!(fires.len() == runs.len(), "{} runs in the ledger, {} asked for", fires.len(), runs.len());
    for run in runs {
        let fire = fires.iter().find(|fire| fire.run == *run);
        let fire = fire.with_context(|| format!("run {run} is not in the ledger"))?;
        let succeeded = matches!(fire.outcome, Some((Outcome::Succeeded, ..)));
        ensure!(succeeded, "run {run} ended with {:?}", fire.outcome);
        let kept = store.run(*run).await?.with_context(|| format!("run {run}"))?;
        ensure!(kept.attempt == 1, "{} attempts at run {run}", kept.attempt);
    }
    let begun = fleet.drill.begun();
    ensure!(begun.len() == runs.len(), "{} attempts at {} runs", begun.len(), runs.len());
    ensure!(begun.iter().all(|begun| runs.contains(&begun.run)), "executed, and not asked for");
    ensure!(fleet.drill.doubled().is_empty(), "begun twice: {:?}", fleet.drill.doubled());
    Ok(())
}
