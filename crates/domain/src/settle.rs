//! What the end of an attempt means for its run and its task.

use std::time::Duration;

use crate::claim::note_finished;
use crate::{
    Artifact, CancelReason, CrashPolicy, EpochMillis, Outcome, Reason, Run, RunStatus, Task, TaskState,
};

/// How an attempt ended, as its worker saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptEnd {
    /// The work was done.
    Succeeded {
        /// What the work said of itself.
        result: String,
    },
    /// The work was accepted and did not succeed.
    Failed {
        /// Why.
        reason: Reason,
        /// The same for people, with the details.
        result: String,
    },
    /// The work was never accepted.
    SubmitFailed {
        /// Why.
        reason: Reason,
        /// The same for people, with the details.
        result: String,
    },
    /// The work failed while it was suspended or shortly after: that it stood still may be why.
    Suspended {
        /// Why, as far as the work knows.
        reason: Reason,
        /// The same for people, with the details.
        result: String,
    },
    /// The worker stops and gives the run back; another attempt may begin at once.
    GivenBack,
    /// The worker was lost: its lease lapsed.
    Lapsed,
}

impl AttemptEnd {
    /// What is said of it for people, if anything is.
    pub fn result(&self) -> Option<&str> {
        match self {
            AttemptEnd::Succeeded { result }
            | AttemptEnd::Failed { result, .. }
            | AttemptEnd::SubmitFailed { result, .. }
            | AttemptEnd::Suspended { result, .. } => Some(result),
            AttemptEnd::GivenBack | AttemptEnd::Lapsed => None,
        }
    }
}

/// A run and its task after an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// With its new status.
    pub run: Run,
    /// With its failures counted.
    pub task: Task,
}

/// What the end of the run's current attempt means.
pub fn settle(
    task: &Task,
    run: &Run,
    end: AttemptEnd,
    artifacts: Vec<Artifact>,
    now: EpochMillis,
) -> Settled {
    let mut settled = Settled { run: run.clone(), task: task.clone() };
    settled.run.artifacts.extend(artifacts);
    settled.run.progress = None;
    settled.run.expired = end == AttemptEnd::Lapsed;
    match end {
        AttemptEnd::Succeeded { result } => {
            settled.run.result = Some(result);
            settled.end(Outcome::Succeeded, Reason::Done, now);
        }
        AttemptEnd::Failed { reason, result } => settled.failed(reason, result, now),
        AttemptEnd::SubmitFailed { reason, result } => {
            settled.run.result = Some(result);
            settled.end(Outcome::SubmitFailed, reason, now);
        }
        // A job of another server went on meanwhile.
        AttemptEnd::Suspended { reason, result } if settled.run.handle.is_some() => {
            settled.failed(reason, result, now);
        }
        AttemptEnd::Suspended { result, .. } => {
            settled.run.result = Some(format!("{} {result}", Reason::Suspended.sentence()));
            if settled.blind() {
                settled.end(Outcome::Failed, Reason::Suspended, now);
            } else {
                settled.again(Duration::ZERO, now);
            }
        }
        AttemptEnd::GivenBack if settled.blind() => {
            settled.run.result = Some(Reason::Drained.sentence().to_owned());
            settled.end(Outcome::Failed, Reason::Drained, now);
        }
        AttemptEnd::GivenBack => settled.again(Duration::ZERO, now),
        AttemptEnd::Lapsed => settled.lapsed(now),
    }
    settled
}

impl Settled {
    fn failed(&mut self, reason: Reason, result: String, now: EpochMillis) {
        self.run.failures = self.run.failures.saturating_add(1);
        self.run.result = Some(result);
        let retry = &self.task.policies.retry;
        // What a server may have begun is not begun again.
        let final_reason = matches!(reason, Reason::Cancelled | Reason::SubmissionUnknown);
        if self.run.cancel.is_none() && !final_reason && self.run.failures <= retry.max_retries {
            let wait = retry.wait(self.run.failures);
            // A failed remote job is not one to go back to; one that could only not be looked at is.
            if !matches!(reason, Reason::BackendUnavailable | Reason::NotAllowed) {
                self.run.handle = None;
            }
            self.again(wait, now);
        } else {
            self.end(Outcome::Failed, reason, now);
        }
    }

    /// Whether another attempt would do work again that must not be done twice.
    fn blind(&self) -> bool {
        self.task.policies.crash == CrashPolicy::AtMostOnce && self.run.handle.is_none()
    }

    fn lapsed(&mut self, now: EpochMillis) {
        self.run.crashes = self.run.crashes.saturating_add(1);
        if self.blind() || self.run.crashes > self.task.policies.max_crashes {
            self.run.result = Some(format!(
                "{} ({} of its workers were lost)",
                Reason::WorkerLost.sentence(),
                self.run.crashes
            ));
            self.end(Outcome::Failed, Reason::WorkerLost, now);
        } else {
            self.again(Duration::ZERO, now);
        }
    }

    /// Another attempt, unless a person wanted the run to end. A remote job that goes on wants one all the same,
    /// which tells it to stop.
    fn again(&mut self, wait: Duration, now: EpochMillis) {
        if self.run.cancel.is_some() && self.run.handle.is_none() {
            self.run.result = Some(Reason::Cancelled.sentence().to_owned());
            self.end(Outcome::Failed, Reason::Cancelled, now);
        } else {
            note_finished(&mut self.run);
            self.run.status = RunStatus::Queued { due: now + wait };
        }
    }

    fn end(&mut self, outcome: Outcome, reason: Reason, now: EpochMillis) {
        let why = self.run.cancel.as_ref().map(|cancel| cancel.why);
        let reason = match (reason, why) {
            (Reason::Cancelled, Some(CancelReason::OwnerDisabled)) => {
                self.run.result = Some(Reason::OwnerDisabled.sentence().to_owned());
                Reason::OwnerDisabled
            }
            (reason, _) => reason,
        };
        self.run.status = RunStatus::Ended { outcome, reason, at: now };
        let task = &mut self.task;
        match outcome {
            Outcome::Succeeded => task.consecutive_failures = 0,
            Outcome::Failed | Outcome::SubmitFailed if reason.counts_as_failure() => {
                task.consecutive_failures = task.consecutive_failures.saturating_add(1);
                *task = disabled_by_failures(task.clone(), now);
            }
            Outcome::Failed | Outcome::SubmitFailed | Outcome::Skipped => {}
        }
    }
}

/// What a person's cancel means: a run that never started ends at once, skipped; one that executes
/// is told to stop, and one that waits to go on with a remote job is told so by its next attempt. None: it has
/// ended already.
pub fn cancel(run: &Run, by: &str, why: CancelReason, now: EpochMillis) -> Option<Run> {
    let mut run = run.clone();
    let cancel = crate::Cancel { by: by.to_owned(), at: now, why };
    match run.status {
        RunStatus::Ended { .. } => return None,
        RunStatus::Executing { .. } => {}
        RunStatus::Queued { .. } if run.handle.is_some() => {}
        RunStatus::Waiting | RunStatus::Queued { .. } => {
            let outcome = if run.started.is_some() { Outcome::Failed } else { Outcome::Skipped };
            let (reason, result) = match why {
                CancelReason::Requested => (Reason::Cancelled, format!("The run was cancelled by {by}.")),
                CancelReason::OwnerDisabled => {
                    (Reason::OwnerDisabled, Reason::OwnerDisabled.sentence().to_owned())
                }
            };
            run.status = RunStatus::Ended { outcome, reason, at: now };
            run.result = Some(result);
        }
    }
    run.cancel.get_or_insert(cancel);
    Some(run)
}

/// What a person says of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amendment {
    /// How it ended. None: as it is.
    pub outcome: Option<Outcome>,
    /// What came of it, for people. None: as it is.
    pub result: Option<String>,
}

/// The run as a person says it is. None: it has not ended, and only its worker can end it.
pub fn amend(run: &Run, amendment: Amendment) -> Option<Run> {
    let mut run = run.clone();
    match (&mut run.status, amendment.outcome) {
        (RunStatus::Ended { outcome, reason, .. }, Some(said)) => {
            if *outcome != said {
                *outcome = said;
                *reason = Reason::Amended;
            }
        }
        (_, None) => {}
        (_, Some(_)) => return None,
    }
    run.result = amendment.result.or(run.result);
    Some(run)
}

/// The task as it stands once its run `old` is `amended`: its failures in a row are those that its ended runs show.
/// `others`: its other ended runs, in any order.
pub fn recount(task: &Task, old: &Run, amended: &Run, others: &[Run], now: EpochMillis) -> Task {
    let mut task = task.clone();
    let (Some(before), Some((at, after))) = (verdict(old), verdict(amended)) else { return task };
    if before.1 == after {
        return task;
    }
    let mut others: Vec<(EpochMillis, Verdict)> = others.iter().filter_map(verdict).collect();
    others.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    let (later, earlier): (Vec<_>, Vec<_>) = others.into_iter().partition(|(other, _)| *other > at);
    let failures_until_success = |runs: &[(EpochMillis, Verdict)]| {
        let until = runs.iter().take_while(|(_, verdict)| *verdict != Verdict::Success);
        until.filter(|(_, verdict)| *verdict == Verdict::Failure).count()
    };
    if later.iter().any(|(_, verdict)| *verdict == Verdict::Success) {
        // A later success has forgiven whatever was before it.
        return task;
    }
    let since = u32::try_from(failures_until_success(&later)).unwrap_or(u32::MAX);
    task.consecutive_failures = match (before.1, after) {
        (_, Verdict::Success) => since,
        (Verdict::Success, _) => {
            let earlier = u32::try_from(failures_until_success(&earlier)).unwrap_or(u32::MAX);
            let this = u32::from(after == Verdict::Failure);
            since.saturating_add(earlier).saturating_add(this)
        }
        // Counted as it was: runs that count, too, may be forgotten.
        (_, Verdict::Failure) => task.consecutive_failures.saturating_add(1),
        (_, Verdict::Nothing) => task.consecutive_failures.saturating_sub(1),
    };
    if after == Verdict::Failure { disabled_by_failures(task, now) } else { task }
}

/// What a run's end says of its task.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Success,
    Failure,
    Nothing,
}

fn verdict(run: &Run) -> Option<(EpochMillis, Verdict)> {
    let RunStatus::Ended { outcome, reason, at } = run.status else { return None };
    let verdict = match outcome {
        Outcome::Succeeded => Verdict::Success,
        Outcome::Failed | Outcome::SubmitFailed if reason.counts_as_failure() => Verdict::Failure,
        Outcome::Failed | Outcome::SubmitFailed | Outcome::Skipped => Verdict::Nothing,
    };
    Some((at, verdict))
}

/// The task, disabled if as many of its runs in a row have failed as its policy bears.
fn disabled_by_failures(task: Task, now: EpochMillis) -> Task {
    let most = task.policies.max_consecutive_failures;
    let too_many = most.is_some_and(|most| task.consecutive_failures >= most);
    if too_many && task.state == TaskState::Active {
        crate::edit::stop_planning(&task, TaskState::Disabled, now)
    } else {
        task
    }
}

/// An ended run, to be tried again because a person asks for it. It is no further occurrence.
/// None: the run has not ended, or its fire was skipped.
pub fn retry(run: &Run, now: EpochMillis) -> Option<Run> {
    match run.status {
        RunStatus::Ended {
            outcome: Outcome::Failed | Outcome::SubmitFailed | Outcome::Succeeded, ..
        } => {
            let mut run = run.clone();
            note_finished(&mut run);
            run.status = RunStatus::Queued { due: now };
            run.cancel = None;
            run.handle = None;
            run.failures = 0;
            run.crashes = 0;
            Some(run)
        }
        _ => None,
    }
}
