//! SIGKILL of the worker while other servers do the work: nothing is begun twice that may be begun once, and what goes
//! on there is found again.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use isochrone_domain::{Outcome, Policies, Reason, RunStatus};

use super::{Begun, House, Kind, all_there, in_house};
use crate::chaos::random_between;
use crate::eventually_within;

/// How often.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// So many times, with new runs each time.
    pub kills: u32,
}

impl Plan {
    /// What the tests do.
    pub const SMOKE: Plan = Plan { kills: 6 };
    /// The whole.
    pub const FULL: Plan = Plan { kills: 200 };
}

/// The longest life of a worker.
const LONGEST_LIFE: Duration = Duration::from_secs(4);
/// Until the last runs have ended.
const AFTER: Duration = Duration::from_mins(2);

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct Found {
    kills: u32,
    runs: usize,
    jobs: usize,
    /// Runs that more than one attempt worked at and that succeeded.
    went_on: usize,
    /// How the others ended.
    failed: BTreeMap<&'static str, usize>,
    /// Runs that lost more workers than a run may.
    given_up: usize,
    /// Jobs whose run ended without them: the worker died before it had kept their handle.
    left: usize,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Found { kills, runs, jobs, went_on, failed, given_up, left } = self;
        write!(
            f,
            "{kills} kills, {runs} runs, each ended; {jobs} jobs, 0 begun twice; {went_on} runs went on after a kill \
             and succeeded; {given_up} lost more workers than a run may; failed before there was a handle: {failed:?}, \
             {left} of them with a job"
        )
    }
}

/// Kills, and counts.
pub async fn run(binary: &Path, plan: Plan) -> Result<Found> {
    in_house(binary, async |house| {
        let mut begun = Vec::new();
        for kill in 0..plan.kills {
            let server = house.start().await?;
            for kind in Kind::REMOTE {
                begun.push(house.begin(&server, kind, &format!("{kind:?}-{kill}")).await?);
            }
            tokio::time::sleep(random_between(Duration::ZERO..=LONGEST_LIFE)).await;
            server.kill()?;
        }
        let _server = house.start().await?;
        eventually_within(AFTER, "every run to end", async || {
            tokio::time::sleep(Duration::from_millis(250)).await;
            Ok((house.open().await? == 0).then_some(()))
        })
        .await?;
        check(house, &begun, plan.kills).await
    })
    .await
}

async fn check(house: &House, begun: &[Begun], kills: u32) -> Result<Found> {
    let (runs, seen) = (house.runs().await?, house.seen());
    all_there(begun, &runs)?;
    let most_crashes = Policies::default().max_crashes;
    let mut found = Found { kills, runs: begun.len(), ..Found::default() };
    for of in begun {
        let run = &runs[&of.run];
        let RunStatus::Ended { outcome, reason, .. } = &run.status else {
            anyhow::bail!("{of:?} has not ended: {:?}", run.status);
        };
        let jobs = House::seen_of(&seen, of).jobs;
        ensure!(jobs <= 1, "{of:?} was begun {jobs} times");
        found.jobs += jobs;
        if *outcome == Outcome::Succeeded {
            ensure!(jobs == 1, "{of:?} succeeded without a job");
            found.went_on += usize::from(run.attempt > 1);
            continue;
        }
        let lost = matches!(reason, Reason::WorkerLost | Reason::SubmissionUnknown);
        ensure!(lost, "{of:?} ended {outcome} ({reason:?}): {:?}", run.result);
        if run.crashes > most_crashes {
            found.given_up += 1;
            continue;
        }
        // Its job would have succeeded.
        ensure!(
            run.handle.is_none(),
            "{of:?} has a handle, and nobody went on with its job: {:?}",
            run.result
        );
        *found.failed.entry(reason.code()).or_default() += 1;
        found.left += jobs;
    }
    ensure!(found.went_on > 0, "no run was cut off: {found:?}");
    Ok(found)
}
