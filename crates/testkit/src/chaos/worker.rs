//! SIGKILL of a worker in mid-run: its runs begin again elsewhere, and soon.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use isochrone_domain::{Outcome, Reason};

use super::{agree, all_ended, create, disable_all, on_fleet, random_between, seconds};
use crate::fleet::{Begun, DrillServer, Fleet, Script};
use crate::{Ledger, Server, eventually};

/// Beyond the lease: the reaper, the queue, the claim.
const AFTER_LEASE: Duration = Duration::from_secs(5);

/// How hard.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How many workers are killed.
    pub kills: u32,
    /// Workers at a time.
    pub workers: usize,
    /// Runs that each can carry.
    pub slots: u32,
    /// Tasks that fire every minute.
    pub tasks: u32,
    /// Runs at least.
    pub runs: usize,
    /// How much faster than the world the fleet's clock runs.
    pub speed: u32,
    /// The workers' lease.
    pub lease: Duration,
    /// How long an attempt takes at least, and half of the time between two kills on average.
    pub shortest_hold: Duration,
    /// How long an attempt takes at most.
    pub longest_hold: Duration,
}

impl Plan {
    /// For every day.
    pub const SMOKE: Plan = Plan {
        kills: 10,
        workers: 3,
        slots: 20,
        tasks: 10,
        runs: 50,
        speed: 15,
        lease: Duration::from_secs(2),
        shortest_hold: Duration::from_millis(500),
        longest_hold: Duration::from_secs(2),
    };
    /// As much as is promised.
    pub const FULL: Plan = Plan {
        kills: 200,
        workers: 3,
        slots: 40,
        tasks: 40,
        runs: 2_000,
        speed: 6,
        lease: Duration::from_secs(15),
        shortest_hold: Duration::from_secs(1),
        longest_hold: Duration::from_secs(5),
    };
}

/// What was seen.
#[derive(Debug)]
pub struct Seen {
    kills: u32,
    runs: usize,
    attempts: usize,
    lost: usize,
    succeeded: usize,
    slowest: Duration,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Seen { kills, runs, attempts, lost, succeeded, slowest } = self;
        let gave_up = runs - succeeded;
        write!(
            f,
            "{kills} workers killed in mid-run, {runs} runs, each with an outcome ({succeeded} succeeded, {gave_up} \
             lost too many workers), {attempts} attempts, {lost} of them lost, 0 beside another; longest from a \
             kill to the next attempt {}",
            seconds(*slowest)
        )
    }
}

/// An attempt whose worker was killed.
struct Lost {
    attempt: Begun,
    killed: Instant,
}

/// Kills workers again and again.
pub async fn run(binary: &Path, plan: Plan) -> Result<Seen> {
    on_fleet(binary, plan.speed, async |fleet| kill_workers(fleet, plan).await).await
}

async fn kill_workers(fleet: &mut Fleet, plan: Plan) -> Result<Seen> {
    fleet.env("ISOCHRONE__WORKER__LEASE_SECONDS", plan.lease.as_secs());
    fleet.drill.script(move |_| Script {
        hold_ms: random_between(plan.shortest_hold..=plan.longest_hold).as_millis() as u64,
        succeed: true,
    });
    let scheduler = fleet.scheduler().await?;
    let mut workers = Vec::new();
    for _ in 0..plan.workers {
        workers.push(fleet.worker(plan.slots).await?);
    }
    let store = fleet.store().await?;
    let tasks = create(&scheduler, plan.tasks, &[]).await?;
    let mut lost = Vec::new();
    for _ in 0..plan.kills {
        tokio::time::sleep(random_between(Duration::ZERO..=plan.shortest_hold * 4)).await;
        lost.extend(kill_one(&fleet.drill, &mut workers).await?);
        workers.push(fleet.worker(plan.slots).await?);
    }
    let enough = || async { Ok((runs_begun(&fleet.drill) >= plan.runs).then_some(())) };
    crate::eventually_within(Duration::from_mins(10), "enough runs to begin", enough).await?;
    disable_all(&scheduler, &tasks).await?;
    let ledger = all_ended(&store, plan.runs, plan.lease * 10).await?;
    let agreed = agree(&ledger, &fleet.drill, tasks.len())?;
    check_outcomes(&ledger)?;
    let slowest = slowest(&lost, &fleet.drill.begun()).context("no next attempt was measured")?;
    ensure!(slowest <= plan.lease + AFTER_LEASE, "the next attempt began {slowest:?} after a kill");
    Ok(Seen {
        kills: plan.kills,
        runs: agreed.fires,
        attempts: agreed.attempts,
        lost: lost.len(),
        succeeded: agreed.succeeded,
        slowest,
    })
}

/// Kills a worker in mid-run; gives the attempts that it had.
async fn kill_one(drill: &DrillServer, workers: &mut Vec<Server>) -> Result<Vec<Lost>> {
    let victim = eventually("a worker in mid-run", async || {
        let busy = in_progress(drill);
        let mut busy = busy.iter().filter_map(|begun| workers.iter().position(|w| w.pid() == begun.worker));
        // Any: the runs' ids are in no order.
        Ok(busy.next())
    })
    .await?;
    let victim = workers.remove(victim);
    let pid = victim.pid();
    victim.kill()?;
    let killed = Instant::now();
    let had = in_progress(drill).into_iter().filter(|begun| begun.worker == pid);
    Ok(had.map(|attempt| Lost { attempt, killed }).collect())
}

fn in_progress(drill: &DrillServer) -> Vec<Begun> {
    drill.begun().into_iter().filter(|begun| begun.ended.is_none()).collect()
}

fn runs_begun(drill: &DrillServer) -> usize {
    drill.begun().chunk_by(|one, next| one.run == next.run).count()
}

/// A run succeeded, or was given up because too many workers died under it.
fn check_outcomes(ledger: &Ledger) -> Result<()> {
    for fire in ledger.tasks.values().flat_map(|fires| &fires.0) {
        let (outcome, reason, _) = fire.outcome.context("each fire has an outcome")?;
        let expected =
            matches!((outcome, reason), (Outcome::Succeeded, _) | (Outcome::Failed, Reason::WorkerLost));
        ensure!(expected, "run {} ended {outcome}: {reason}", fire.run);
    }
    Ok(())
}

/// The longest time from a kill to the next attempt. Where that one was lost between its claim and its
/// beginning, there is none to measure.
fn slowest(lost: &[Lost], begun: &[Begun]) -> Option<Duration> {
    let next = |lost: &Lost| {
        let (run, attempt) = (lost.attempt.run, lost.attempt.attempt + 1);
        let next = begun.iter().find(|begun| (begun.run, begun.attempt) == (run, attempt))?;
        Some(next.at.duration_since(lost.killed))
    };
    lost.iter().filter_map(next).max()
}
