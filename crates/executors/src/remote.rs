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
/// Looks, one after the other, at which a server may deny a job that it has begun: while it restarts, it knows neither
/// its jobs nor who asks.
pub(crate) const DENIALS: u32 = 8;
/// Between two of them, at most.
const BETWEEN_DENIALS: Duration = Duration::from_secs(5);
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

/// Waits for the next look, unless the attempt must stop. None is due while the attempt is suspended.
pub(crate) async fn next(attempt: &Attempt, pause: Duration) -> Next {
    tokio::select! {
        biased;
        reason = attempt.stopped() => match reason {
            StopReason::Draining | StopReason::LeaseLost => Next::GiveBack,
            StopReason::Cancelled | StopReason::Deadline => Next::End,
        },
        () = async { sleep(pause).await; attempt.trust().there().await } => Next::Look,
    }
}

/// What a job's server has not answered since it last did.
#[derive(Default)]
pub(crate) struct Away {
    since: Option<Instant>,
    denials: u32,
}

impl Away {
    /// It answers.
    pub(crate) fn is_back(&mut self) {
        *self = Away::default();
    }

    /// It denies the job, which may pass: the pause until the next look. None: it has for too long.
    pub(crate) async fn is_denied(
        &mut self,
        attempt: &Attempt,
        error: &Error,
        usual: Duration,
    ) -> Option<Duration> {
        self.denials += 1;
        if self.denials == 1 {
            attempt.log(LogStream::System, format!("the job can't be looked at: {error}")).await;
        }
        (self.denials < DENIALS).then(|| usual.min(BETWEEN_DENIALS))
    }

    /// It does not, and may later; an error: it has not for too long.
    pub(crate) async fn is_away(
        &mut self,
        attempt: &Attempt,
        error: &Error,
        job: &str,
    ) -> Result<(), AttemptEnd> {
        let since = *self.since.get_or_insert_with(Instant::now);
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
        // The server's own fault, and it has said which.
        Error::Refused(refusal) if refusal.code.is_some_and(|code| (500..600).contains(&code)) => {
            Reason::BackendUnavailable
        }
        Error::Refused(_) | Error::Config(_) => Reason::BadInput,
        Error::Unavailable(_) | Error::Busy(_) | Error::Unreadable(_) => Reason::BackendUnavailable,
    }
}
