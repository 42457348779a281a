//! The faults that a fleet must bear, each on real processes: a row has a plan, does what the plan says and
//! checks what must hold, in the store's ledger and in the [`DrillServer`]'s own count.

pub mod api;
pub mod broker;
pub mod clocks;
pub mod confirm;
pub mod leader;
mod limits;
pub mod mix;
pub mod pause;
pub mod remote;
pub mod replicas;
pub mod store;
pub mod upgrade;
pub mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use isochrone_domain::{Outcome, Reason, RunId, TaskId};
use isochrone_store::redis::RedisStore;
use isochrone_store::{FleetStore, TaskStore};

use crate::fleet::{Begun, DrillServer, Fleet, create_minutely, disable};
use crate::{Ledger, Server, eventually_within};

/// Every fire that was missed is made up for, so that each makes a run.
const MAKE_UP: (&str, &str) = ("misfirePolicy", "runAll");

const MINUTE_MS: i64 = 60_000;

/// Does something to a fleet. If it fails, what the processes wrote is kept, and the error says where.
async fn on_fleet<T>(binary: &Path, speed: u32, act: impl AsyncFnOnce(&mut Fleet) -> Result<T>) -> Result<T> {
    let mut fleet = Fleet::start(binary, speed).await?;
    match act(&mut fleet).await {
        Ok(seen) => Ok(seen),
        Err(error) => {
            Err(error.context(format!("what the processes wrote lies in {}", fleet.keep().display())))
        }
    }
}

/// Makes so many tasks for every minute, in a moment of their own each.
async fn create(server: &Server, tasks: u32, more: &[(&str, &str)]) -> Result<Vec<TaskId>> {
    let more: Vec<_> = more.iter().copied().chain([MAKE_UP]).collect();
    let more = &more;
    try_join_all(
        (0..tasks).map(|n| async move { create_minutely(server, &format!("minutely {n}"), more).await }),
    )
    .await
}

async fn disable_all(server: &Server, tasks: &[TaskId]) -> Result<()> {
    try_join_all(tasks.iter().map(|task| disable(server, *task))).await.map(drop)
}

/// The process that leads, as the store has it.
async fn leader(store: &RedisStore) -> Result<Option<u32>> {
    let members = store.members().await?;
    Ok(members.into_iter().find(|present| present.leads).map(|present| present.member.pid))
}

/// Waits until nothing is due.
async fn caught_up(store: &RedisStore) -> Result<()> {
    eventually_within(Duration::from_secs(30), "what is due to be done", async || {
        let (next, now) = tokio::try_join!(store.next_fire(), store.now())?;
        Ok(next.is_none_or(|next| next > now).then_some(()))
    })
    .await
}

/// Waits until so many fires, or more, stand in the ledger and each has an outcome.
async fn all_ended(store: &RedisStore, at_least: usize, within: Duration) -> Result<Ledger> {
    eventually_within(within, "every run to end", async || {
        // The whole ledger is read each time.
        tokio::time::sleep(Duration::from_millis(250)).await;
        let ledger = Ledger::of(store).await?;
        let mut fires = ledger.tasks.values().flat_map(|fires| &fires.0);
        let enough = ledger.tasks.values().map(|fires| fires.0.len()).sum::<usize>() >= at_least;
        Ok((enough && fires.all(|fire| fire.outcome.is_some())).then_some(ledger))
    })
    .await
}

/// What the ledger and the drill have seen of the same runs.
struct Agreed {
    /// Fires, each with a run.
    fires: usize,
    /// Attempts that were begun.
    attempts: usize,
    /// Runs that succeeded.
    succeeded: usize,
}

/// The ledger has every minute of every task once and with an outcome; the drill has seen just these runs,
/// each executed, no attempt of them twice, none beside another, and none after a later one. A fire that was due and not
/// yet decided when the tasks were disabled is skipped for that reason.
fn agree(ledger: &Ledger, drill: &DrillServer, tasks: usize) -> Result<Agreed> {
    let mut fires = ledger.check_every_minute()?;
    ensure!(ledger.tasks.len() == tasks, "{} of {tasks} tasks have fired", ledger.tasks.len());
    let mut of_run: BTreeMap<RunId, Vec<Begun>> = BTreeMap::new();
    for begun in drill.begun() {
        of_run.entry(begun.run).or_default().push(begun);
    }
    let mut succeeded = 0;
    let mut disabled = BTreeSet::new();
    for fire in ledger.tasks.values().flat_map(|fires| &fires.0) {
        let (outcome, reason, _) = fire.outcome.context("each fire has an outcome")?;
        if reason == Reason::SkippedDisabled {
            disabled.insert(fire.task);
            fires -= 1;
            continue;
        }
        ensure!(!disabled.contains(&fire.task), "a disabled task has fired at {}", fire.planned);
        ensure!(outcome != Outcome::Skipped, "the fire of {} was skipped: {reason}", fire.planned);
        let begun = of_run.remove(&fire.run).unwrap_or_default();
        ensure!(!begun.is_empty(), "run {} ended {outcome} ({reason}) and was never executed", fire.run);
        ensure!(begun.iter().all(|begun| begun.task == fire.task), "run {} is of another task", fire.run);
        let in_order = begun.is_sorted_by(|one, next| one.attempt < next.attempt && one.at <= next.at);
        ensure!(in_order, "an attempt at run {} began after a later one: {begun:?}", fire.run);
        succeeded += usize::from(outcome == Outcome::Succeeded);
    }
    ensure!(of_run.is_empty(), "executed, and not in the ledger: {:?}", of_run.keys());
    ensure!(drill.doubled().is_empty(), "begun twice: {:?}", drill.doubled());
    ensure!(drill.overlapped().is_empty(), "two with a valid lease at once: {:?}", drill.overlapped());
    Ok(Agreed { fires, attempts: drill.count(), succeeded })
}

/// The value that a share of them, or a few more, do not exceed; zero if there are none.
fn percentile(values: &mut [Duration], share: f64) -> Duration {
    values.sort_unstable();
    let place = (values.len() as f64 * share).ceil() as usize;
    values.get(place.saturating_sub(1)).copied().unwrap_or_default()
}

pub(crate) fn random_between(span: RangeInclusive<Duration>) -> Duration {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    let share = f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX);
    *span.start() + span.end().saturating_sub(*span.start()).mul_f64(share)
}

/// Seconds, as the rows print them.
fn seconds(duration: Duration) -> String {
    format!("{:.2} s", duration.as_secs_f64())
}
