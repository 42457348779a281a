//! One simulation, from its seed to what it found.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use isochrone_store::{Store, simulation};
use tokio::time::{Instant, sleep, sleep_until};

use crate::faults;
use crate::fleet::{self, Member, Role};
use crate::planted::Bug;
use crate::promises;
use crate::users::Users;
use crate::workload;
use crate::world::{BEGINS, Process, World};

/// How much is simulated.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Virtual time in which tasks fire and faults happen.
    pub length: Duration,
    /// How many tasks there are.
    pub tasks: usize,
    /// Whether something goes wrong each minute.
    pub faults: bool,
    /// Whether the trace's lines are kept.
    pub traced: bool,
    /// A bug that is planted, to see that it is found.
    pub bug: Option<Bug>,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan { length: Duration::from_hours(2), tasks: 200, faults: true, traced: false, bug: None }
    }
}

/// What a simulation found.
#[derive(Clone, Debug)]
pub struct Report {
    /// Which one it was.
    pub seed: u64,
    /// The broken promises; empty: all were kept.
    pub violations: Vec<String>,
    /// A digest of all that happened: the same for the same seed.
    pub digest: u64,
    /// Events in the trace.
    pub events: u64,
    /// Fires in the ledger.
    pub fires: usize,
    /// Steps that the work made.
    pub steps: u64,
    /// Runs that two worked on right after a failover, which is a known gap.
    pub overlaps: u64,
    /// The trace, if it was to be kept.
    pub trace: Vec<String>,
}

/// Shards that have tasks: enough for one of them to be ill, few enough to be looked at quickly.
const SHARDS: u8 = 2;

/// How long everything may take to come to its end after the last fault.
const SETTLE: Duration = Duration::from_hours(4);

/// Runs the simulation of a seed.
///
/// # Errors
/// Where the simulation itself can't be run; a broken promise is in the report.
pub fn simulate(seed: u64, plan: Plan) -> Result<Report> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true);
    #[cfg(tokio_unstable)]
    builder.rng_seed(tokio::runtime::RngSeed::from_bytes(&seed.to_le_bytes()));
    let runtime = builder.build().context("no runtime")?;
    let report = runtime.block_on(run(seed, plan));
    simulation::set(None);
    report
}

async fn run(seed: u64, plan: Plan) -> Result<Report> {
    let world = World::new(seed, plan.traced, plan.bug);
    let settings = simulation::Settings { began_ms: BEGINS.0, began: world.began(), shards: SHARDS };
    simulation::set(Some(settings));
    let mut chance = fastrand::Rng::with_seed(seed);
    // Who makes the tasks, and looks at the end.
    let observer = fleet::open(&world, &Process::new("observer".to_owned())).await;
    let end = BEGINS + plan.length;
    let tasks = workload::make(&*observer, &mut chance, plan.tasks, BEGINS, end).await?;
    let mut members = [
        Member::new(Role::Scheduler, "scheduler-1"),
        Member::new(Role::Scheduler, "scheduler-2"),
        Member::new(Role::Worker, "worker-1"),
        Member::new(Role::Worker, "worker-2"),
        Member::new(Role::Worker, "worker-3"),
    ];
    for member in &mut members {
        member.start(&world);
    }
    let users = Users::new(&world, seed);
    let cancelling = tokio::spawn(Arc::clone(&users).cancel_runs(Arc::clone(&observer), plan.length));
    let faults_end = world.began() + plan.length;
    if plan.faults {
        faults::happen(&world, &mut members, &mut chance, faults_end).await;
    }
    sleep_until(faults_end).await;
    world.note("no more faults begin");
    cancelling.await.context("the users")?;
    settle(&*observer).await?;
    let figures = promises::check(&world, &*observer, &tasks, BEGINS, end).await?;
    users.check(&*observer).await?;
    Ok(report(seed, &world, figures.fires))
}

/// Waits until every run has ended.
async fn settle(store: &dyn Store) -> Result<()> {
    let until = Instant::now() + SETTLE;
    // What is due in the last minute is decided by then.
    sleep(Duration::from_mins(1)).await;
    while Instant::now() < until && !promises::open_runs(store).await?.is_empty() {
        sleep(Duration::from_secs(10)).await;
    }
    Ok(())
}

fn report(seed: u64, world: &Arc<World>, fires: usize) -> Report {
    let violations = world.violations();
    let (steps, overlaps) = {
        let seen = world.witness.seen();
        (seen.steps, seen.overlaps)
    };
    let (digest, events, trace) = world.trace.end();
    Report { seed, violations, digest, events, fires, steps, overlaps, trace }
}
