//! Cancels, 10 ms apart, over the whole life of a run: each run has one outcome, and the other server is told to end
//! just what was begun.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use isochrone_domain::{Outcome, Reason, RunStatus};

use super::{Begun, House, Kind, all_there, in_house};
use crate::{Server, eventually_within};

/// How many.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Runs of each type.
    pub runs: u32,
    /// Of which so many go on at a time.
    pub at_a_time: usize,
    /// From one run's cancel to the next one's, both measured from their beginnings.
    pub apart: Duration,
}

impl Plan {
    /// What the tests do.
    pub const SMOKE: Plan = Plan { runs: 12, at_a_time: 6, apart: Duration::from_millis(400) };
    /// The whole.
    pub const FULL: Plan = Plan { runs: 500, at_a_time: 25, apart: Duration::from_millis(10) };
}

/// Until all runs of a part have ended.
const WITHIN: Duration = Duration::from_mins(3);

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    of_kind: BTreeMap<Kind, Count>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    runs: usize,
    succeeded: usize,
    /// Cancelled before anything was begun.
    before: usize,
    /// Cancelled, and so was the job.
    told: usize,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        for (kind, Count { runs, succeeded, before, told }) in &self.of_kind {
            parts.push(format!(
                "{kind:?}: {runs} runs, each with one outcome: {before} cancelled before anything was begun, {told} \
                 with their jobs, {succeeded} succeeded before"
            ));
        }
        f.write_str(&parts.join("; "))
    }
}

/// Cancels, and counts.
pub async fn run(binary: &Path, plan: Plan) -> Result<Seen> {
    in_house(binary, async |house| {
        let server = house.start().await?;
        let mut begun = Vec::new();
        for kind in Kind::ALL {
            let numbers: Vec<u32> = (0..plan.runs).collect();
            for part in numbers.chunks(plan.at_a_time) {
                let each = part.iter().map(|n| cancelled(house, &server, kind, *n, plan.apart));
                begun.extend(try_join_all(each).await?);
                eventually_within(WITHIN, "the cancelled runs to end", async || {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    Ok((house.open().await? == 0).then_some(()))
                })
                .await?;
            }
        }
        check(house, &begun).await
    })
    .await
}

/// A run that is cancelled so many times 10 ms after it was asked for.
async fn cancelled(house: &House, server: &Server, kind: Kind, n: u32, apart: Duration) -> Result<Begun> {
    let begun = house.begin(server, kind, &format!("{kind:?}-{n}")).await?;
    tokio::time::sleep(apart * n).await;
    house.cancel(server, &begun).await?;
    Ok(begun)
}

async fn check(house: &House, begun: &[Begun]) -> Result<Seen> {
    let (runs, seen) = (house.runs().await?, house.seen());
    all_there(begun, &runs)?;
    let mut counted = Seen::default();
    for of in begun {
        let run = &runs[&of.run];
        let jobs = House::seen_of(&seen, of);
        let count = counted.of_kind.entry(of.kind).or_default();
        count.runs += 1;
        ensure!(jobs.jobs <= 1, "{of:?} was begun {} times", jobs.jobs);
        match &run.status {
            RunStatus::Ended { outcome: Outcome::Succeeded, .. } => {
                ensure!(jobs.told == 0, "{of:?} succeeded, and its job was told to end");
                count.succeeded += 1;
            }
            RunStatus::Ended { reason: Reason::Cancelled, .. } if jobs.jobs == 0 => count.before += 1,
            RunStatus::Ended { reason: Reason::Cancelled, .. } => {
                ensure!(jobs.told == 1, "{of:?} was cancelled, and its job was not told: {:?}", run.result);
                count.told += 1;
            }
            other => anyhow::bail!("{of:?} ended otherwise: {other:?} {:?}", run.result),
        }
    }
    Ok(counted)
}
