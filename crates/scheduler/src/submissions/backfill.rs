//! Runs for planned minutes of the past.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use isochrone_domain::{Action, EpochMillis, Outcome, Problem, Run, TaskId, plan_backfill, planned_minutes};
use isochrone_store::{Saved, Tries};
use tracing::{error_span, info};

use super::{Caller, Submissions, SubmitError};

/// Minutes that one request may fill.
const MINUTES: usize = 1_000;

impl Submissions {
    /// Makes a run for each minute of a past span that the task's present schedule plans and that no run
    /// was carried out for. They count as occurrences, and the limit cuts them off. Asked for again, it
    /// makes none twice.
    pub async fn backfill(
        &self,
        caller: &Caller,
        id: TaskId,
        span: RangeInclusive<EpochMillis>,
    ) -> Result<Vec<Run>, SubmitError> {
        let (task, now) = self.decided(caller, id).await?;
        let span = *span.start()..=(*span.end()).min(now);
        let minutes: Vec<EpochMillis> = planned_minutes(&task, span.clone()).take(MINUTES + 1).collect();
        if minutes.len() > MINUTES {
            let problem = format!("plan more than {MINUTES} minutes; fill a long span in parts");
            return Err(Problem::new("from, to", problem).into());
        }
        let end = EpochMillis(span.end().0.saturating_add(1));
        let done: BTreeSet<EpochMillis> = self
            .store
            .fires(Some(id), *span.start()..end)
            .await?
            .into_iter()
            .filter(|fire| !matches!(fire.outcome, Some((Outcome::Skipped, ..))))
            .map(|fire| fire.planned)
            .collect();
        let mut made = Vec::new();
        for minute in minutes.into_iter().filter(|minute| !done.contains(minute)) {
            match self.fill(caller, id, minute).await? {
                // It was asked for before, and skipped or cancelled: it runs no more.
                Some(run) if run.status.ended() => {}
                Some(run) => made.push(run),
                None => break,
            }
        }
        self.wake.wake();
        Ok(made)
    }

    /// The run for one minute; none once the task's limit is reached.
    async fn fill(
        &self,
        caller: &Caller,
        id: TaskId,
        minute: EpochMillis,
    ) -> Result<Option<Run>, SubmitError> {
        let mut tries = Tries::default();
        loop {
            // The last occurrence takes the next fire away: one that is due is decided before.
            let (task, now) = self.decided(caller, id).await?;
            let unfinished = self.store.unfinished(id).await?;
            let Some((task, run)) = plan_backfill(&task, unfinished, &caller.user.name, minute, now) else {
                return Ok(None);
            };
            let audit = caller.did(Action::RunTask, &task, Some(run.id), now);
            match self.store.commit_request(task, run.clone(), audit).await? {
                Saved::Done => {
                    error_span!("fire", task_id = %id, run_id = %run.id, fire_id = %run.fire)
                        .in_scope(|| info!(planned = %minute, by = %caller.user.name, "backfilled"));
                    return Ok(Some(run));
                }
                Saved::Repeated => return Ok(self.store.run(run.id).await?),
                Saved::Stale => tries.again().await?,
            }
        }
    }
}
