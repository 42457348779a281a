//! SIGKILL of the scheduler that leads, half of the time just after a minute began: every minute fires once,
//! and soon.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use isochrone_domain::EpochMillis;
use isochrone_store::TaskStore;
use isochrone_store::redis::RedisStore;

use super::{MINUTE_MS, agree, all_ended, caught_up, create, disable_all, leader, on_fleet, percentile};
use super::{random_between, seconds};
use crate::fleet::Fleet;
use crate::{Ledger, Server, eventually};

/// After a kill another leads within this time.
const TAKEOVER: Duration = Duration::from_secs(5);

/// Of a hundred runs, ninety-nine begin within this time, in the world's time.
const LATENESS: Duration = Duration::from_secs(6);

/// How hard.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How many leaders are killed.
    pub kills: u32,
    /// Tasks that fire every minute.
    pub tasks: u32,
    /// How much faster than the world the fleet's clock runs.
    pub speed: u32,
    /// The longest time that a leader leads before it is killed.
    pub longest_lead: Duration,
}

impl Plan {
    /// For every day.
    pub const SMOKE: Plan = Plan { kills: 4, tasks: 20, speed: 15, longest_lead: Duration::from_secs(3) };
    /// As much as is promised.
    pub const FULL: Plan = Plan { kills: 50, tasks: 100, speed: 6, longest_lead: Duration::from_secs(12) };
}

/// What was seen.
#[derive(Debug)]
pub struct Seen {
    kills: u32,
    fires: usize,
    takeover: Duration,
    p50: Duration,
    p99: Duration,
    longest: Duration,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Seen { kills, fires, takeover, p50, p99, longest } = self;
        write!(
            f,
            "{kills} leading schedulers killed, {fires} fires, 0 missing, 0 doubled, each run executed once; \
             lateness p50 {}, p99 {}, longest {}; longest takeover {}",
            seconds(*p50),
            seconds(*p99),
            seconds(*longest),
            seconds(*takeover)
        )
    }
}

/// Kills the leader again and again.
pub async fn run(binary: &Path, plan: Plan) -> Result<Seen> {
    on_fleet(binary, plan.speed, async |fleet| kill_leaders(fleet, plan).await).await
}

async fn kill_leaders(fleet: &mut Fleet, plan: Plan) -> Result<Seen> {
    let mut schedulers = vec![fleet.scheduler().await?, fleet.scheduler().await?, fleet.scheduler().await?];
    let _workers = [fleet.worker(plan.tasks).await?, fleet.worker(plan.tasks).await?];
    let store = fleet.store().await?;
    let tasks = create(&schedulers[0], plan.tasks, &[]).await?;
    let created = store.now().await?;
    let mut longest_takeover = Duration::ZERO;
    for n in 0..plan.kills {
        if n % 2 == 0 {
            tokio::time::sleep(random_between(Duration::ZERO..=plan.longest_lead)).await;
        } else {
            // Where it hurts: while fires are decided and published.
            tokio::time::sleep(fleet.until_minute()).await;
            tokio::time::sleep(random_between(Duration::ZERO..=Duration::from_millis(60))).await;
        }
        let takeover = kill_one(&store, &mut schedulers).await?;
        longest_takeover = longest_takeover.max(takeover);
        schedulers.push(fleet.scheduler().await?);
        // Two kills within a takeover would add up in the lateness.
        caught_up(&store).await?;
    }
    let stopped = store.now().await?;
    disable_all(&schedulers[0], &tasks).await?;
    let ledger = all_ended(&store, 1, Duration::from_mins(1)).await?;
    let agreed = agree(&ledger, &fleet.drill, tasks.len())?;
    ensure!(agreed.attempts == agreed.fires, "{} attempts for {} runs", agreed.attempts, agreed.fires);
    ensure!(agreed.succeeded == agreed.fires, "{} of {} runs succeeded", agreed.succeeded, agreed.fires);
    check_ends(&ledger, created, stopped)?;
    let mut lateness = lateness(&ledger, plan.speed)?;
    let (p50, p99) = (percentile(&mut lateness, 0.5), percentile(&mut lateness, 0.99));
    let longest = percentile(&mut lateness, 1.0);
    ensure!(longest_takeover <= TAKEOVER, "a takeover took {longest_takeover:?}");
    ensure!(p99 <= LATENESS, "lateness p99 is {p99:?} (p50 {p50:?}, longest {longest:?})");
    Ok(Seen { kills: plan.kills, fires: agreed.fires, takeover: longest_takeover, p50, p99, longest })
}

/// Kills the leader; gives how long it took until another led.
async fn kill_one(store: &RedisStore, schedulers: &mut Vec<Server>) -> Result<Duration> {
    let leads = eventually("a leader", async || leader(store).await).await?;
    let place = schedulers.iter().position(|scheduler| scheduler.pid() == leads);
    schedulers.remove(place.with_context(|| format!("process {leads} leads and is none of ours"))?).kill()?;
    let killed = Instant::now();
    eventually("another leader", async || Ok(leader(store).await?.filter(|pid| *pid != leads))).await?;
    Ok(killed.elapsed())
}

/// The ledger begins with the first minute after the tasks were made and ends with the last one before they
/// were disabled.
fn check_ends(ledger: &Ledger, created: EpochMillis, stopped: EpochMillis) -> Result<()> {
    for (task, fires) in &ledger.tasks {
        let (first, last) = (fires.0.first().context("a fire")?, fires.0.last().context("a fire")?);
        let late = first.planned.since(created) > MINUTE_MS;
        ensure!(!late, "task {task} was there at {created}, and its first fire is of {}", first.planned);
        let early = stopped.since(last.planned) >= MINUTE_MS;
        ensure!(!early, "task {task} was there at {stopped}, and its last fire is of {}", last.planned);
    }
    Ok(())
}

/// How late each run began, in the world's time.
fn lateness(ledger: &Ledger, speed: u32) -> Result<Vec<Duration>> {
    let fires = ledger.tasks.values().flat_map(|fires| &fires.0);
    fires
        .map(|fire| {
            let late = fire.started.context("each run has begun")?.since(fire.planned);
            Ok(Duration::from_millis(u64::try_from(late)?) / speed)
        })
        .collect()
}
