//! What types have in common whose work is done by another server.

use std::time::Duration;

use isochrone_arcgis::Error;
use isochrone_domain::{AttemptEnd, LogStream, Reason};
use isochrone_worker::{Attempt, StopReason};
use tokio::time::{Instant, sleep};

/// The first look at a job, and each after something has changed.
pub(crate) const SHORTEST: Duration = Duration::from_secs(1);
/// Between two looks at a job that has nothing new.
pub(crate) const LONGEST: Duration = Duration::from_secs(10);
/// How long a server may be away before its job is given up.
const AWAY: Duration = Duration::from_mins(30);
/// How long the end of a job is awaited that was told to end; the worker waits for its executor a little longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(8);

/// What is next for an attempt that follows a job.
pub(crate) enum Next {
    /// To look at the job.
    Look,
    /// To leave it: whoever goes on with the run goes on with the job.
    GiveBack,
    /// To end it.
    End,
}

/// Waits for the next look, unless the attempt must stop.
pub(crate) async fn next(attempt: &Attempt, pause: Duration) -> Next {
    tokio::select! {
        biased;
        reason = attempt.stopped() => match reason {
            StopReason::Draining | StopReason::LeaseLost => Next::GiveBack,
            StopReason::Cancelled | StopReason::Deadline => Next::End,
        },
        () = sleep(pause) => Next::Look,
    }
}

/// Since when a job's server can't be asked.
#[derive(Default)]
pub(crate) struct Away(Option<Instant>);

impl Away {
    /// It answers.
    pub(crate) fn is_back(&mut self) {
        self.0 = None;
    }

    /// It does not, and may later; an error: it has not for too long.
    pub(crate) async fn is_away(
        &mut self,
        attempt: &Attempt,
        error: &Error,
        job: &str,
    ) -> Result<(), AttemptEnd> {
        let since = *self.0.get_or_insert_with(Instant::now);
        attempt.log(LogStream::System, format!("the job can't be looked at: {error}")).await;
        if since.elapsed() <= AWAY {
            return Ok(());
        }
        let result = format!("the job's server is away: {error}; the job may go on: {job}");
        Err(failed(Reason::BackendUnavailable, &result))
    }
}

/// Whether another look may be answered.
pub(crate) fn is_passing(error: &Error) -> bool {
    error.may_pass() || matches!(error, Error::Unreadable(_))
}

/// The end of an attempt whose job was told to end and goes on.
pub(crate) async fn still_runs(attempt: &Attempt, job: &str) -> AttemptEnd {
    let result = format!("it was told to stop, and its job still runs: {job}");
    attempt.log(LogStream::System, &result).await;
    failed(Reason::Cancelled, &result)
}

pub(crate) fn failed(reason: Reason, result: &str) -> AttemptEnd {
    AttemptEnd::Failed { reason, result: result.to_owned() }
}

pub(crate) fn bad_input(field: &str, error: &Error) -> AttemptEnd {
    AttemptEnd::SubmitFailed { reason: Reason::BadInput, result: format!("'{field}': {error}") }
}

/// What it means that the server did not take the job.
pub(crate) fn refused(error: &Error) -> AttemptEnd {
    AttemptEnd::SubmitFailed { reason: reason(error), result: format!("the server took no job: {error}") }
}

/// Why nothing could be begun.
pub(crate) fn reason(error: &Error) -> Reason {
    match error {
        Error::Token(_) | Error::Forbidden(_) => Reason::NotAllowed,
        Error::Refused(_) | Error::Config(_) => Reason::BadInput,
        Error::Unavailable(_) | Error::Busy(_) | Error::Unreadable(_) => Reason::BackendUnavailable,
    }
}
