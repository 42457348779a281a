//! How a job of another server is begun: once, as far as one can know, and so that it is found again.

use std::time::Duration;

use isochrone_arcgis::Result as Asked;
use isochrone_arcgis::jobs::SubmitOutcome;
use isochrone_domain::{AttemptEnd, CrashPolicy, LogStream, Reason};
use isochrone_worker::{Attempt, NotKept};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep};

use crate::remote::{LONGEST, SHORTEST, failed, refused};
use crate::remote_job::until_next_try;

/// Submissions of one attempt whose fate is unknown, where the task may run twice.
const SUBMISSIONS: u32 = 3;
/// Submissions that a server turns away because it is busy, or can't be reached for.
const TURNED_AWAY: u32 = 5;
/// How long those are tried.
pub(crate) const BUSY: Duration = Duration::from_mins(2);
/// Between two submissions, and between two tries to keep a handle.
const PAUSE: Duration = Duration::from_secs(2);
/// Tries to keep a handle before the job is given up.
const KEEPING: u32 = 10;

/// The job that `submit` begins. Where its server does not say where it is, or whether there is one, `find` looks for
/// the run's job; then what the server has taken is not submitted again, and the task's crash policy decides about the
/// rest. A stop does not cut a submission short: whether there is a job must be known. Nothing is sent while the attempt is
/// suspended; what has been sent is awaited.
pub(crate) async fn submit_until_known<T, S, F>(
    attempt: &Attempt,
    submit: impl Fn() -> S,
    find: impl Fn() -> F,
) -> Result<T, AttemptEnd>
where
    S: Future<Output = SubmitOutcome<T>>,
    F: Future<Output = Asked<Option<T>>>,
{
    let (began, mut submission, mut turned_away, mut pause) = (Instant::now(), 1, 0, SHORTEST);
    loop {
        if attempt.trust().is_over() {
            attempt.trust().there().await;
            if submission == 1 && attempt.must_stop().is_some() {
                return Err(not_begun());
            }
        }
        let (unknown, taken) = match Box::pin(submit()).await {
            SubmitOutcome::Begun(job) => return Ok(job),
            SubmitOutcome::NotBegun { error, retryable } => {
                turned_away += 1;
                let again_in = error.again_in().unwrap_or_default();
                if !retryable || turned_away == TURNED_AWAY || began.elapsed() + again_in > BUSY {
                    return Err(refused(&error));
                }
                attempt.log(LogStream::System, format!("not taken yet: {error}")).await;
                until_next_try(attempt, &error, pause).await;
                if attempt.must_stop().is_some() {
                    return Err(not_begun());
                }
                pause = (pause * 2).min(LONGEST);
                continue;
            }
            SubmitOutcome::BegunWithoutHandle(words) => (lost_track(&words), true),
            SubmitOutcome::Unknown(error) => (unknown(&error), false),
        };
        attempt.trust().there().await;
        match find().await {
            Ok(Some(job)) => return Ok(job),
            Ok(None) => {}
            Err(error) => {
                attempt.log(LogStream::System, format!("its jobs can't be looked through: {error}")).await;
            }
        }
        let twice = attempt.task().policies.crash == CrashPolicy::AtLeastOnce && !taken;
        if !twice || submission == SUBMISSIONS || attempt.must_stop().is_some() {
            return Err(failed(Reason::SubmissionUnknown, &unknown));
        }
        attempt.log(LogStream::System, format!("{unknown}; it is submitted again")).await;
        submission += 1;
        sleep(PAUSE).await;
    }
}

/// That nobody knows whether there is a job.
pub(crate) fn unknown(error: &isochrone_arcgis::Error) -> String {
    format!("whether the server has begun a job is unknown: {error}")
}

/// That there is a job which nobody can find.
pub(crate) fn lost_track(words: &str) -> String {
    format!(
        "the server took the job and says nothing that finds it again, so that nobody knows how it ends: {words}"
    )
}

/// Keeps for attempts to come how far the submission is.
///
/// # Errors
/// Where it can't be kept: nothing may be submitted then that is noted here.
pub(crate) async fn note(attempt: &Attempt, state: &impl Serialize) -> Asked<()> {
    let state = serde_json::to_string(state).expect("texts are JSON");
    store_handle(attempt, &state).await.map_err(|why| {
        isochrone_arcgis::Error::Unavailable(format!("that it is submitted could not be kept: {why}"))
    })
}

/// An earlier attempt's worker has ended while the server was at work on what was submitted, or before it had answered.
/// It is submitted again only where the task may run twice.
pub(crate) async fn perhaps_begun_before(attempt: &Attempt) -> Result<(), AttemptEnd> {
    let unknown = "an earlier attempt submitted it, and its worker ended before the server had answered: nobody knows \
                   whether it was done, and it may be going on there";
    if attempt.must_stop().is_some() {
        return Err(failed(Reason::Cancelled, unknown));
    }
    if attempt.task().policies.crash == CrashPolicy::AtMostOnce {
        return Err(failed(Reason::SubmissionUnknown, unknown));
    }
    let again = "it is submitted again, since the task's crashPolicy is atLeastOnce";
    attempt.log(LogStream::System, format!("{unknown}; {again}")).await;
    Ok(())
}

/// Keeps the handle for attempts to come. A job (`job`: where it is, for people) that nobody could find again must not
/// go on: it is told to `end`.
pub(crate) async fn keep<F: Future<Output = Asked<()>>>(
    attempt: &Attempt,
    handle: &impl Serialize,
    job: &str,
    end: impl FnOnce() -> F,
) -> Result<(), AttemptEnd> {
    let handle = serde_json::to_string(handle).expect("texts are JSON");
    let Err(why) = store_handle(attempt, &handle).await else { return Ok(()) };
    if let Err(error) = Box::pin(end()).await {
        tracing::warn!(job, %error, "a job that could not be kept goes on");
    }
    Err(failed(Reason::Internal, &format!("the job's handle could not be kept: {why}")))
}

/// Stores a handle. A store that is away is tried again for some time, and for as long as the attempt is suspended.
///
/// # Errors
/// Where it is not stored.
pub(crate) async fn store_handle(attempt: &Attempt, handle: &str) -> Result<(), NotKept> {
    let mut tries = 1;
    loop {
        match attempt.checkpoint(handle).await {
            Err(NotKept::Storage(_)) if attempt.trust().is_over() => attempt.trust().there().await,
            Err(NotKept::Storage(_)) if tries < KEEPING => {
                tries += 1;
                sleep(PAUSE).await;
            }
            answer => return answer,
        }
    }
}

/// The handle that an earlier attempt has kept, if it is one of this kind.
pub(crate) fn kept<H: DeserializeOwned>(attempt: &Attempt) -> Option<H> {
    serde_json::from_str(attempt.run().handle.as_deref()?).ok()
}

/// The end of an attempt that was stopped in time.
pub(crate) fn not_begun() -> AttemptEnd {
    failed(Reason::Cancelled, "it was stopped before anything was submitted")
}
