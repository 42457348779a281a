//! Requests about runs.

use isochrone_domain::{Action, Amendment, CancelReason, FireId, Run, RunId, Task, TaskId, plan_request};
use isochrone_store::{Cancelled, Page, Paged, Place, RunFilter, Saved, Scope, Stretch, Tries};
use tracing::{error_span, info};

use super::{Caller, Submissions, SubmitError, allow};

/// Runs that are read at once where all of an owner's are to end.
const CANCELLED_AT_ONCE: u64 = 100;

impl Submissions {
    /// Makes a run of the task now, whatever its schedule says; it counts as an occurrence. The same
    /// `nonce` again gives the same run.
    pub async fn run_now(&self, caller: &Caller, id: TaskId, nonce: [u8; 16]) -> Result<Run, SubmitError> {
        let run_id = FireId::requested(id, nonce).run();
        let mut tries = Tries::default();
        loop {
            self.writable(caller, id).await?;
            if let Some(run) = self.store.run(run_id).await? {
                self.store.confirm(Scope::Task(id)).await?;
                return Ok(run);
            }
            // The last occurrence takes the next fire away: one that is due is decided before.
            let (task, now) = self.decided(caller, id).await?;
            let unfinished = self.store.unfinished(id).await?;
            let Some((task, run)) = plan_request(&task, unfinished, &caller.user.name, nonce, now) else {
                return Err(limit_reached(&task));
            };
            let audit = caller.did(Action::RunTask, &task, Some(run_id), now);
            match self.store.commit_request(task, run.clone(), audit).await? {
                Saved::Done => {
                    // A fire's span, as the schedule's fires have one.
                    error_span!("fire", task_id = %id, run_id = %run.id, fire_id = %run.fire)
                        .in_scope(|| info!(by = %caller.user.name, "a run was asked for"));
                    self.wake.wake();
                    return Ok(run);
                }
                Saved::Stale => tries.again().await?,
                // It was made by the same request before: by another process just now, or so long ago that it is
                // forgotten.
                Saved::Repeated => return self.store.run(run_id).await?.ok_or_else(run_is_gone),
            }
        }
    }

    /// The run.
    pub async fn run(&self, caller: &Caller, id: RunId) -> Result<Run, SubmitError> {
        let (run, task) = self.run_and_task(id).await?;
        allow(caller.user.may_read(&task.owner))?;
        Ok(run)
    }

    /// The runs that pass the filter. Without a task or an owner in it, it is for administrators.
    pub async fn runs(
        &self,
        caller: &Caller,
        filter: &RunFilter,
        page: Page,
    ) -> Result<Paged<Run>, SubmitError> {
        self.allow_list(caller, filter).await?;
        Ok(self.store.runs(filter, page).await?)
    }

    /// At most `limit` of the runs that pass the filter, those behind `after`.
    pub async fn runs_from(
        &self,
        caller: &Caller,
        filter: &RunFilter,
        after: Option<Place>,
        limit: u64,
    ) -> Result<Stretch<Run>, SubmitError> {
        self.allow_list(caller, filter).await?;
        Ok(self.store.runs_from(filter, after, limit).await?)
    }

    async fn allow_list(&self, caller: &Caller, filter: &RunFilter) -> Result<(), SubmitError> {
        match filter.task {
            Some(task) => self.readable(caller, task).await.map(drop),
            None => allow(caller.may_list(filter.owner.as_deref())),
        }
    }

    /// Asks the run to end. One that has not started ends at once; one that executes is told to stop.
    pub async fn cancel_run(&self, caller: &Caller, id: RunId) -> Result<Run, SubmitError> {
        let task = self.writable_run(caller, id).await?;
        let audit = caller.did(Action::CancelRun, &task, Some(id), self.now().await?);
        let answer = self.store.cancel_run(id, CancelReason::Requested, audit).await?;
        if let Cancelled::Done(run) = &answer {
            // Only what had not ended is cancelled.
            self.metrics.run_ended(run);
        }
        self.settled(caller, Action::CancelRun, answer, |run| {
            format!("the run has ended already: {}", run.status.wire())
        })
    }

    /// Tells every run of this owner's tasks to end, because the owner may have none any more: those that execute, too.
    /// Says how many there were.
    pub async fn cancel_runs_of(&self, caller: &Caller, owner: &str) -> Result<u64, SubmitError> {
        let filter = RunFilter { owner: Some(owner.to_owned()), ended: Some(false), ..RunFilter::default() };
        let (mut after, mut cancelled) = (None, 0);
        loop {
            let part = self.runs_from(caller, &filter, after, CANCELLED_AT_ONCE).await?;
            for run in part.rows {
                let Some(task) = self.store.task(run.task).await? else { continue };
                let audit = caller.did(Action::CancelRun, &task, Some(run.id), self.now().await?);
                let answer = self.store.cancel_run(run.id, CancelReason::OwnerDisabled, audit).await?;
                if let Cancelled::Done(run) = answer {
                    self.metrics.run_ended(&run);
                    cancelled += 1;
                }
            }
            after = part.next;
            if after.is_none() {
                return Ok(cancelled);
            }
        }
    }

    /// Asks for an ended run once more. It is no further occurrence.
    pub async fn retry_run(&self, caller: &Caller, id: RunId) -> Result<Run, SubmitError> {
        let task = self.writable_run(caller, id).await?;
        let audit = caller.did(Action::RetryRun, &task, Some(id), self.now().await?);
        let answer = self.store.retry_run(id, audit).await?;
        self.settled(caller, Action::RetryRun, answer, |run| {
            format!(
                "only a run that was carried out and has ended can be retried; it is {}",
                run.status.wire()
            )
        })
    }

    /// Says how an ended run ended, or of any run what came of it.
    pub async fn amend_run(
        &self,
        caller: &Caller,
        id: RunId,
        amendment: Amendment,
    ) -> Result<Run, SubmitError> {
        let task = self.writable_run(caller, id).await?;
        let audit = caller.did(Action::UpdateRun, &task, Some(id), self.now().await?);
        let answer = self.store.amend_run(id, amendment, audit).await?;
        self.settled(caller, Action::UpdateRun, answer, |run| {
            format!(
                "a run that is {} ends by its worker: cancel it, or wait until it has ended",
                run.status.wire()
            )
        })
    }

    /// Forgets an ended run; the ledger keeps its row.
    pub async fn delete_run(&self, caller: &Caller, id: RunId) -> Result<Run, SubmitError> {
        let task = match self.writable_run(caller, id).await {
            Err(error) => return Err(self.confirmed_missing(Scope::Run(id), error).await),
            task => task?,
        };
        let audit = caller.did(Action::DeleteRun, &task, Some(id), self.now().await?);
        let answer = self.store.delete_run(id, audit).await?;
        self.settled(caller, Action::DeleteRun, answer, |run| {
            format!("the run has not ended, it is {}: cancel it first", run.status.wire())
        })
    }

    fn settled(
        &self,
        caller: &Caller,
        action: Action,
        answer: Cancelled,
        refusal: impl Fn(&Run) -> String,
    ) -> Result<Run, SubmitError> {
        match answer {
            Cancelled::Done(run) => {
                info!(task_id = %run.task, run_id = %run.id, action = action.name(), by = %caller.user.name, "asked");
                self.wake.wake();
                Ok(*run)
            }
            Cancelled::Refused(run) => Err(SubmitError::Conflict(refusal(&run))),
            Cancelled::Missing => Err(SubmitError::NotFound { what: "run" }),
        }
    }

    async fn run_and_task(&self, id: RunId) -> Result<(Run, Task), SubmitError> {
        const MISSING: SubmitError = SubmitError::NotFound { what: "run" };
        let run = self.store.run(id).await?.ok_or(MISSING)?;
        let task = self.store.task(run.task).await?.ok_or(MISSING)?;
        Ok((run, task))
    }

    async fn writable_run(&self, caller: &Caller, id: RunId) -> Result<Task, SubmitError> {
        let (_, task) = self.run_and_task(id).await?;
        allow(caller.user.may_write(&task.owner))?;
        Ok(task)
    }
}

fn run_is_gone() -> SubmitError {
    let text = "the run that was asked for with this requestId was made before and is no longer kept; \
                another requestId makes another run";
    SubmitError::Conflict(text.to_owned())
}

fn limit_reached(task: &Task) -> SubmitError {
    let limit = task.max_occurrences.unwrap_or(task.occurrences);
    SubmitError::Conflict(format!("the task has made all of its {limit} runs (maxOccurrences)"))
}
