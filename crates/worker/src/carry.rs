//! The life of an attempt: execute, record, finish.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use isochrone_domain::{Artifact, AttemptEnd, Fence, LogStream, Reason, Refusal, RunId, Task};
use isochrone_store::{Claimed, Finished, StoreError};
use isochrone_telemetry::AttemptResult;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::admission;
use crate::journal::Journal;
use crate::leases::{Lease, Leases};
use crate::suspension::Suspension;
use crate::{Attempt, Executor, STOP_GRACE, StopReason, WorkerParts};

/// Between an executor and the journal: an executor that reports faster than the store takes waits.
const REPORTS_IN_FLIGHT: usize = 64;

/// Carries a claimed run to the end of this attempt.
pub(crate) async fn carry(
    parts: &WorkerParts,
    leases: &Leases,
    executor: Arc<dyn Executor>,
    claimed: Claimed,
    lease: Lease,
) {
    let Claimed { run, task } = claimed;
    let (run_id, fence) = (run.id, run.fence());
    parts.metrics.run_started(&run);
    let _in_progress = parts.metrics.run_in_progress(run.kind);
    let deadline = deadline(&task, &*executor);
    let (reports, receiver) = mpsc::channel(REPORTS_IN_FLIGHT);
    let attempt = Attempt::new(task, run.clone(), Arc::clone(&parts.artifacts), reports, lease.stop.clone());
    let attempt = attempt.with_trust(lease.trust.clone());
    let journal = Journal::new(parts, leases, &run).keep(receiver);
    let execution = async {
        let end = match admission::refused(parts, &*executor, &attempt).await {
            Some(end) => Some(end),
            None => execute_watched(parts, &*executor, &attempt, leases, &lease, deadline).await,
        };
        let end = end.map(|end| attempt.masked_end(end));
        // Closes the reports, and so ends the journal.
        drop(attempt);
        end
    };
    let (end, artifacts) = tokio::join!(execution, journal);
    if let Some(end) = end {
        finish(parts, leases, (run_id, fence), end, artifacts).await;
    } else {
        parts.metrics.lease_lost();
        tracing::warn!("attempt abandoned: its lease is lost");
    }
    leases.let_go(run_id, fence);
}

fn deadline(task: &Task, executor: &dyn Executor) -> Duration {
    task.policies.timeout_ms.map_or_else(|| executor.default_timeout(), Duration::from_millis)
}

/// The same as [`execute`], and ends the work if its item is changed as it begins at another server.
async fn execute_watched(
    parts: &WorkerParts,
    executor: &dyn Executor,
    attempt: &Attempt,
    leases: &Leases,
    lease: &Lease,
    deadline: Duration,
) -> Option<AttemptEnd> {
    let mut work = std::pin::pin!(execute(executor, attempt, leases, lease, deadline));
    let changed = tokio::select! {
        biased;
        end = &mut work => return end,
        changed = admission::item_changed_meanwhile(parts, executor, attempt) => changed,
    };
    attempt.log(LogStream::System, changed.result().unwrap_or_default()).await;
    leases.stop(attempt.run().id, attempt.run().fence(), StopReason::Cancelled);
    // Given back: whoever goes on with it tells the job to end, too.
    work.await.map(|end| if end == AttemptEnd::GivenBack { end } else { changed })
}

/// Lets the executor work until it ends, must stop, or its lease is lost (None: nothing of the
/// attempt counts any more, and its work is dead when this returns). While the lease is not trusted the work is suspended,
/// and no time passes for it.
async fn execute(
    executor: &dyn Executor,
    attempt: &Attempt,
    leases: &Leases,
    lease: &Lease,
    deadline: Duration,
) -> Option<AttemptEnd> {
    let (run, fence) = (attempt.run().id, attempt.run().fence());
    let mut out_of_time = Instant::now() + deadline;
    let mut stop = lease.stop.clone();
    let mut told: Option<(StopReason, Instant)> = None;
    let mut suspension = Suspension::default();
    let mut work = std::pin::pin!(AssertUnwindSafe(executor.execute(attempt)).catch_unwind());
    loop {
        let force_at = told.map_or(out_of_time + deadline, |(_, at)| at + STOP_GRACE);
        // Who leaves a worker that stops has no time to wait for its store.
        let time_passes = !suspension.is_on() || told.is_some_and(|(told, _)| told == StopReason::Draining);
        tokio::select! {
            biased;
            Ok(()) = stop.changed() => match *stop.borrow_and_update() {
                Some(StopReason::LeaseLost) => return None,
                Some(reason) => told = told.or(Some((reason, Instant::now()))),
                None => {}
            },
            () = lease.trust.over(), if !suspension.is_on() => suspension.begin(lease.trust.until()),
            () = lease.trust.there(), if suspension.is_on() => {
                let lasted = suspension.end();
                out_of_time += lasted;
                told = told.map(|(reason, at)| (reason, at + lasted));
            }
            () = suspension.too_long(&lease.trust), if suspension.is_on() => {
                tracing::error!("the attempt was suspended for too long; its work is killed");
                return None;
            }
            end = &mut work => {
                let end = end.unwrap_or_else(|_| AttemptEnd::Failed {
                    reason: Reason::Internal,
                    result: "The executor had a bug and panicked; the worker lives on.".to_owned(),
                });
                // Told and ended in one moment: what counts is what it was told.
                let told = *lease.stop.borrow();
                let end = if told.is_none() { suspension.blamed(end) } else { end };
                return (told != Some(StopReason::LeaseLost)).then(|| by_stop_reason(end, told, deadline));
            }
            () = sleep_until(out_of_time), if told.is_none() && time_passes => {
                leases.stop(run, fence, StopReason::Deadline);
            }
            () = sleep_until(force_at), if told.is_some() && time_passes => {
                let unanswered = AttemptEnd::Failed {
                    reason: Reason::Internal,
                    result: "The work did not end when it was told to and was killed.".to_owned(),
                };
                return Some(by_stop_reason(unanswered, told.map(|(reason, _)| reason), deadline));
            }
        }
    }
}

/// An executor that was told to stop may answer anything: the worker knows why it stopped. Work that
/// was done all the same is done.
fn by_stop_reason(end: AttemptEnd, told: Option<StopReason>, deadline: Duration) -> AttemptEnd {
    let failed = |reason: Reason, result: String| AttemptEnd::Failed { reason, result };
    match (told, end) {
        (None, end) | (_, end @ AttemptEnd::Succeeded { .. }) => end,
        (Some(StopReason::Cancelled), _) => {
            failed(Reason::Cancelled, Reason::Cancelled.sentence().to_owned())
        }
        (Some(StopReason::Deadline), _) => failed(
            Reason::Timeout,
            format!("{} It may take {} s.", Reason::Timeout.sentence(), deadline.as_secs_f64()),
        ),
        (Some(StopReason::Draining | StopReason::LeaseLost), _) => AttemptEnd::GivenBack,
    }
}

/// How long an attempt's end is sent again while the store is away. It is fenced, so it can't come too late.
const SEND_END_FOR: Duration = Duration::from_mins(10);

/// Sends the store how the attempt ended, until it has an answer.
async fn finish(
    parts: &WorkerParts,
    leases: &Leases,
    (run, fence): (RunId, Fence),
    end: AttemptEnd,
    artifacts: Vec<Artifact>,
) {
    let mut began = Instant::now();
    let mut wait = Duration::from_millis(50);
    let result = AttemptResult::from(&end);
    loop {
        let answer = match parts.store.finish(run, fence, end.clone(), artifacts.clone()).await {
            Ok(Finished::Fenced(Refusal::NotDue)) => match leases.reassert(parts, run, fence).await {
                Ok(true) => continue,
                Ok(false) => Ok(Finished::Fenced(Refusal::NotDue)),
                Err(error) => Err(error),
            },
            answer => answer,
        };
        match answer {
            Ok(Finished::Kept(run)) => {
                leases.ended(run.id, fence, end, artifacts);
                parts.metrics.attempt_ended(&run, result);
                tracing::info!(status = run.status.wire(), reason = reason_code(&run), "attempt ended");
                break;
            }
            // It may know the run soon.
            Ok(Finished::Fenced(Refusal::Unknown)) if began.elapsed() < leases.length().real => {}
            Ok(Finished::Fenced(refusal)) => {
                parts.metrics.write_fenced();
                tracing::warn!(%refusal, "the attempt's end was refused");
                break;
            }
            Err(error) => {
                tracing::warn!(%error, "the attempt's end is not kept yet");
                if matches!(error, StoreError::ClocksDisagree(_)) {
                    // The store is there: it is only a matter of when.
                    began = Instant::now();
                }
            }
        }
        if began.elapsed() + wait > SEND_END_FOR {
            tracing::error!("the attempt's end could not be stored");
            break;
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(Duration::from_secs(2));
    }
    (parts.on_finished)();
}

fn reason_code(run: &isochrone_domain::Run) -> &'static str {
    match &run.status {
        isochrone_domain::RunStatus::Ended { reason, .. } => reason.code(),
        _ => "again",
    }
}
