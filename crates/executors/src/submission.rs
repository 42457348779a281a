//! How a job of another server is begun: once, as far as one can know, and so that it is found again.

use std::time::Duration;

use isochrone_arcgis::Result as Asked;
use isochrone_arcgis::gp::NotSubmitted;
use isochrone_domain::{AttemptEnd, CrashPolicy, LogStream, Reason};
use isochrone_worker::{Attempt, NotKept};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::sleep;

use crate::remote::{failed, refused};

/// Submissions of one attempt whose fate is unknown, where the task may run twice.
const SUBMISSIONS: u32 = 3;
/// Between two of them, and between two tries to keep a handle.
const PAUSE: Duration = Duration::from_secs(2);
/// Tries to keep a handle before the job is given up.
const KEEPING: u32 = 10;

/// The job that `submit` begins. Where nobody knows whether it did, `find` looks for the run's job; then the task's
/// crash policy decides. A stop does not cut a submission short: whether there is a job must be known.
pub(crate) async fn submit_until_known<T, S, F>(
    attempt: &Attempt,
    submit: impl Fn() -> S,
    find: impl Fn() -> F,
) -> Result<T, AttemptEnd>
where
    S: Future<Output = Result<T, NotSubmitted>>,
    F: Future<Output = Asked<Option<T>>>,
{
    let mut submission = 1;
    loop {
        let unknown = match submit().await {
            Ok(job) => return Ok(job),
            Err(NotSubmitted::Nothing(error)) => return Err(refused(&error)),
            Err(unknown @ NotSubmitted::Unknown(_)) => unknown,
        };
        match find().await {
            Ok(Some(job)) => return Ok(job),
            Ok(None) => {}
            Err(error) => {
                attempt.log(LogStream::System, format!("its jobs can't be looked through: {error}")).await;
            }
        }
        let twice = attempt.task().policies.crash == CrashPolicy::AtLeastOnce;
        if !twice || submission == SUBMISSIONS || attempt.must_stop().is_some() {
            return Err(failed(Reason::SubmissionUnknown, &unknown.to_string()));
        }
        attempt.log(LogStream::System, format!("{unknown}; it is submitted again")).await;
        submission += 1;
        sleep(PAUSE).await;
    }
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
    let mut tries = 1;
    let why = loop {
        match attempt.checkpoint(&handle).await {
            Ok(()) => return Ok(()),
            Err(NotKept::Storage(_)) if tries < KEEPING => {}
            Err(why) => break why,
        }
        tries += 1;
        sleep(PAUSE).await;
    };
    if let Err(error) = Box::pin(end()).await {
        tracing::warn!(job, %error, "a job that could not be kept goes on");
    }
    Err(failed(Reason::Internal, &format!("the job's handle could not be kept: {why}")))
}

/// The handle that an earlier attempt has kept, if it is one of this kind.
pub(crate) fn kept<H: DeserializeOwned>(attempt: &Attempt) -> Option<H> {
    serde_json::from_str(attempt.run().handle.as_deref()?).ok()
}

/// The end of an attempt that was stopped in time.
pub(crate) fn not_begun() -> AttemptEnd {
    failed(Reason::Cancelled, "it was stopped before anything was submitted")
}
