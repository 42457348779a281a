//! SIGSTOP of a worker past its lease, then SIGCONT: what it had is another's by then, and nothing that is
//! written for it counts.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use isochrone_domain::{AttemptEnd, EpochMillis, Held, LogLine, LogStream, Outcome, RunStatus};
use isochrone_store::redis::RedisStore;
use isochrone_store::{Finished, Renewal, RunStore};

use super::{agree, all_ended, create, disable_all, on_fleet, seconds};
use crate::fleet::{Begun, DrillServer, Fleet, Script, lives};
use crate::{Server, eventually, eventually_within};

/// What a first attempt takes: more than its lease.
const HOLD: Duration = Duration::from_secs(6);

/// When an attempt is stopped. Its worker, which has one slot, has by then returned what it had fetched ahead,
/// and is far from the attempt's end.
const AGE: std::ops::Range<Duration> = Duration::from_millis(1_500)..Duration::from_millis(4_500);

/// What a late write would leave.
const TOO_LATE: &str = "written too late";

/// How hard.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How often a worker is stopped.
    pub pauses: u32,
    /// Workers, with a slot each.
    pub workers: usize,
    /// Tasks that fire every minute.
    pub tasks: u32,
    /// How much faster than the world the fleet's clock runs.
    pub speed: u32,
    /// The workers' lease.
    pub lease: Duration,
}

impl Plan {
    /// For every day.
    pub const SMOKE: Plan =
        Plan { pauses: 4, workers: 4, tasks: 1, speed: 15, lease: Duration::from_secs(2) };
    /// As much as is promised.
    pub const FULL: Plan = Plan { pauses: 50, lease: Duration::from_secs(3), ..Plan::SMOKE };
}

/// What was seen.
#[derive(Debug, Default)]
pub struct Seen {
    pauses: u32,
    runs: usize,
    refused: u32,
    slowest_next: Duration,
    slowest_death: Duration,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Seen { pauses, runs, refused, slowest_next, slowest_death } = self;
        write!(
            f,
            "{pauses} workers stopped past their lease, {refused} late writes, 0 accepted; {runs} runs, each \
             succeeded; each worker took new runs; longest from SIGSTOP to the next attempt {}, from SIGCONT to \
             the death of the late attempt's process {}",
            seconds(*slowest_next),
            seconds(*slowest_death)
        )
    }
}

/// Stops workers again and again.
pub async fn run(binary: &Path, plan: Plan) -> Result<Seen> {
    on_fleet(binary, plan.speed, async |fleet| pause_workers(fleet, plan).await).await
}

async fn pause_workers(fleet: &mut Fleet, plan: Plan) -> Result<Seen> {
    fleet.env("ISOCHRONE__WORKER__LEASE_SECONDS", plan.lease.as_secs());
    fleet.drill.script(|begun| Script {
        hold_ms: if begun.attempt == 1 { HOLD.as_millis() as u64 } else { 200 },
        succeed: true,
    });
    let scheduler = fleet.scheduler().await?;
    let mut workers = Vec::new();
    for _ in 0..plan.workers {
        workers.push(fleet.worker(1).await?);
    }
    let store = fleet.store().await?;
    let tasks = create(&scheduler, plan.tasks, &[]).await?;
    let mut seen = Seen { pauses: plan.pauses, ..Seen::default() };
    // An attempt that is stopped began after the last time that its worker was: that one works again.
    let mut woke = vec![Instant::now(); workers.len()];
    for _ in 0..plan.pauses {
        let (place, late) = ripe(&fleet.drill, &workers, &woke).await?;
        pause_one(&workers[place], &late, &store, &fleet.drill, &mut seen).await?;
        woke[place] = Instant::now();
    }
    for (worker, woke) in workers.iter().zip(&woke) {
        let again = async || {
            let begun = fleet.drill.begun();
            Ok(begun.iter().any(|begun| begun.worker == worker.pid() && begun.at > *woke).then_some(()))
        };
        eventually_within(Duration::from_mins(2), "a worker that was stopped to take a run", again).await?;
    }
    disable_all(&scheduler, &tasks).await?;
    let ledger = all_ended(&store, 1, Duration::from_mins(1)).await?;
    let agreed = agree(&ledger, &fleet.drill, tasks.len())?;
    ensure!(agreed.succeeded == agreed.fires, "{} of {} runs succeeded", agreed.succeeded, agreed.fires);
    seen.runs = agreed.fires;
    Ok(seen)
}

/// A worker in the middle of a run's first attempt.
async fn ripe(drill: &DrillServer, workers: &[Server], woke: &[Instant]) -> Result<(usize, Begun)> {
    eventually_within(Duration::from_mins(2), "a worker in mid-run", async || {
        let of = |begun: &Begun| workers.iter().position(|worker| worker.pid() == begun.worker);
        let mut ripe = drill.begun().into_iter().filter_map(|begun| {
            let place = of(&begun)?;
            let fits = begun.attempt == 1
                && begun.ended.is_none()
                && AGE.contains(&begun.at.elapsed())
                && begun.at > woke[place];
            fits.then_some((place, begun))
        });
        Ok(ripe.next())
    })
    .await
}

/// Stops a worker until another has its run, and wakes it.
async fn pause_one(
    worker: &Server,
    late: &Begun,
    store: &RedisStore,
    drill: &DrillServer,
    seen: &mut Seen,
) -> Result<()> {
    worker.pause()?;
    let stopped = Instant::now();
    let held = Held::of(&store.run(late.run).await?.context("the run is there")?);
    ensure!(held.fence.attempt == late.attempt, "another attempt has the run: {held:?}");
    // A queue may have sent the stopped worker something before; that comes back when its connection is given up.
    let next = eventually_within(Duration::from_secs(90), "another worker to begin the run", async || {
        Ok(drill.begun().into_iter().find(|begun| begun.run == late.run && begun.attempt > late.attempt))
    })
    .await?;
    seen.slowest_next = seen.slowest_next.max(next.at.duration_since(stopped));
    ensure!(next.worker != late.worker, "the stopped worker has begun another attempt");
    ensure!(lives(late.child), "the late attempt's process ended while its worker stood still");
    refuse(store, &held, seen).await?;
    worker.resume()?;
    let woken = Instant::now();
    eventually_within(Duration::from_secs(5), "the late attempt's process to die", async || {
        Ok((!lives(late.child)).then_some(()))
    })
    .await?;
    seen.slowest_death = seen.slowest_death.max(woken.elapsed());
    let run = eventually("the run to end", async || {
        let run = store.run(late.run).await?.context("the run is there")?;
        Ok(run.status.ended().then_some(run))
    })
    .await?;
    refuse(store, &held, seen).await?;
    let after = store.run(late.run).await?.context("the run is there")?;
    ensure!(after == run, "a late write has changed the run: {run:?} became {after:?}");
    let succeeded = matches!(run.status, RunStatus::Ended { outcome: Outcome::Succeeded, .. });
    ensure!(succeeded && run.attempt == next.attempt, "not the later attempt's: {run:?}");
    ensure!(run.result.as_deref() != Some(TOO_LATE) && run.handle.is_none(), "a late write counted: {run:?}");
    let told = drill.begun().into_iter().find(|begun| (begun.run, begun.attempt) == (late.run, late.attempt));
    let told = told.context("the late attempt was begun")?.ended;
    ensure!(told.is_none(), "the late attempt went on to its end after its worker woke: {told:?}");
    Ok(())
}

/// Every way to write for an attempt is closed to the late one.
async fn refuse(store: &RedisStore, late: &Held, seen: &mut Seen) -> Result<()> {
    let (run, fence) = (late.run, late.fence);
    let end = AttemptEnd::Succeeded { result: TOO_LATE.to_owned() };
    let line = LogLine { at: EpochMillis(0), stream: LogStream::Stdout, text: TOO_LATE.to_owned() };
    let writes = [
        ("end", store.finish(run, fence, end, Vec::new()).await?),
        ("handle", store.checkpoint(run, fence, TOO_LATE).await?),
        ("log", store.append_log(run, fence, 0, &[line]).await?),
    ];
    for (what, answer) in writes {
        ensure!(matches!(answer, Finished::Fenced(_)), "a late {what} was accepted: {answer:?}");
        seen.refused += 1;
    }
    let renewed = store.renew("late", std::slice::from_ref(late), Duration::from_mins(1)).await?;
    ensure!(matches!(renewed[..], [Renewal::Lost(_)]), "a late renewal was accepted: {renewed:?}");
    seen.refused += 1;
    Ok(())
}
