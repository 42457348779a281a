//! Runs for planned minutes of the past.

use std::collections::HashMap;
use std::fmt;
use std::ops::RangeInclusive;

use isochrone_domain::{
    Action, EpochMillis, Outcome, Problem, Reason, Run, TaskId, plan_backfill, planned_minutes,
};
use isochrone_store::{FireRecord, Saved, Scope, Tries};
use tracing::{error_span, info};

use super::{Caller, Submissions, SubmitError};

/// Minutes that one request may fill.
const MINUTES: usize = 1_000;

/// What a backfill did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backfill {
    /// The runs that it made, the earliest minute first.
    pub runs: Vec<Run>,
    /// The planned minutes for which it made none, and why.
    pub left_out: Vec<(EpochMillis, LeftOut)>,
}

/// Why a planned minute gets no run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// It has a run that has not ended.
    UnderWay,
    /// Its run was carried out.
    CarriedOut(Outcome, Reason),
    /// The task has made all the runs that it may make.
    LimitReached,
    /// Somebody else asked for its run at the same moment.
    AskedForMeanwhile,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LeftOut::UnderWay => f.write_str("it has a run that has not ended"),
            LeftOut::CarriedOut(outcome, reason) => {
                write!(f, "its run was carried out: {outcome} ({reason})")
            }
            LeftOut::LimitReached => f.write_str("the task has made all of its runs (maxOccurrences)"),
            LeftOut::AskedForMeanwhile => f.write_str("its run was asked for at the same moment"),
        }
    }
}

/// What the ledger has of one planned minute.
#[derive(Default)]
struct Minute {
    /// Why it needs no run.
    done: Option<LeftOut>,
    /// How often it was filled by a run that was never carried out.
    filled_in_vain: u16,
}

impl Minute {
    fn add(&mut self, fire: &FireRecord) {
        match fire.outcome {
            None => self.done = Some(LeftOut::UnderWay),
            Some((Outcome::Skipped, ..) | (_, Reason::Cancelled, _)) => {
                self.filled_in_vain += u16::from(fire.reason == Reason::Backfilled);
            }
            Some((outcome, reason, _)) => {
                self.done.get_or_insert(LeftOut::CarriedOut(outcome, reason));
            }
        }
    }
}

impl Submissions {
    /// Makes a run for each minute of a past span that the task's present schedule plans and that no run
    /// was carried out for. They count as occurrences, and the limit cuts them off. Asked for again, it
    /// makes none twice, but fills again what was cancelled.
    pub async fn backfill(
        &self,
        caller: &Caller,
        id: TaskId,
        span: RangeInclusive<EpochMillis>,
    ) -> Result<Backfill, SubmitError> {
        let (task, now) = self.decided(caller, id).await?;
        let span = *span.start()..=(*span.end()).min(now);
        let minutes: Vec<EpochMillis> = planned_minutes(&task, span.clone()).take(MINUTES + 1).collect();
        if minutes.len() > MINUTES {
            let problem = format!("plan more than {MINUTES} minutes; fill a long span in parts");
            return Err(Problem::new("from, to", problem).into());
        }
        let end = EpochMillis(span.end().0.saturating_add(1));
        let mut known: HashMap<EpochMillis, Minute> = HashMap::new();
        for fire in self.store.fires(Some(id), *span.start()..end).await? {
            // A run that was asked for just then stands for no planned minute.
            if fire.reason != Reason::Requested {
                known.entry(fire.planned).or_default().add(&fire);
            }
        }
        let mut backfill = Backfill::default();
        for planned in minutes {
            let Minute { done, filled_in_vain } = known.remove(&planned).unwrap_or_default();
            let filled = match done {
                Some(done) => Err(done),
                None => self.fill(caller, id, (planned, filled_in_vain)).await?,
            };
            match filled {
                Ok(run) => backfill.runs.push(*run),
                Err(why) => backfill.left_out.push((planned, why)),
            }
        }
        if !backfill.left_out.is_empty() {
            // An earlier request may have made them.
            self.store.confirm(Scope::Task(id)).await?;
        }
        self.wake.wake();
        Ok(backfill)
    }

    /// The run for one minute, or why there is none.
    async fn fill(
        &self,
        caller: &Caller,
        id: TaskId,
        minute: (EpochMillis, u16),
    ) -> Result<Result<Box<Run>, LeftOut>, SubmitError> {
        let mut tries = Tries::default();
        loop {
            // The last occurrence takes the next fire away: one that is due is decided before.
            let (task, now) = self.decided(caller, id).await?;
            let unfinished = self.store.unfinished(id).await?;
            let Some((task, run)) = plan_backfill(&task, unfinished, &caller.user.name, minute, now) else {
                return Ok(Err(LeftOut::LimitReached));
            };
            let audit = caller.did(Action::RunTask, &task, Some(run.id), now);
            match self.store.commit_request(task, run.clone(), audit).await? {
                Saved::Done => {
                    error_span!("fire", task_id = %id, run_id = %run.id, fire_id = %run.fire)
                        .in_scope(|| info!(planned = %minute.0, by = %caller.user.name, "backfilled"));
                    return Ok(Ok(Box::new(run)));
                }
                Saved::Repeated => {
                    let run = self.store.run(run.id).await?.filter(|run| !run.status.ended());
                    return Ok(run.map(Box::new).ok_or(LeftOut::AskedForMeanwhile));
                }
                Saved::Stale => tries.again().await?,
            }
        }
    }
}
