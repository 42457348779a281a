//! Asynchronous geoprocessing, carried out by a server and followed from here: what several types are made of.

mod following;
mod handle;
mod outputs;

use std::time::Duration;

use isochrone_arcgis::gp::{GpTask, NotSubmitted, Parameters};
use isochrone_domain::{AttemptEnd, CrashPolicy, LogStream, Reason};
use isochrone_worker::{Attempt, NotKept};
use tokio::time::sleep;

use crate::remote::{bad_input, failed, refused};
use crate::remote_job::follow;
use crate::way_out::WayOut;
use following::Following;
use handle::Handle;

/// Submissions of one attempt whose fate is unknown, where the task may run twice.
const SUBMISSIONS: u32 = 3;
/// Between two of them, and between two tries to keep a handle.
const PAUSE: Duration = Duration::from_secs(2);
/// Tries to keep a handle before the job is given up.
const KEEPING: u32 = 10;

/// Carries out runs as geoprocessing jobs. A clone is the same one.
#[derive(Clone)]
pub struct GpJobs(WayOut);

impl GpJobs {
    /// At servers that are reached so.
    pub fn new(way_out: WayOut) -> GpJobs {
        GpJobs(way_out)
    }

    /// Carries out the attempt as a job of the task at `url`, which its task names in `field`.
    pub(crate) async fn carry_out(
        &self,
        attempt: &Attempt,
        field: &str,
        url: &str,
        parameters: &Parameters,
    ) -> Result<AttemptEnd, AttemptEnd> {
        let outbound = self.0.of(&attempt.task().owner).await?;
        let gp = GpTask::new(outbound, url).map_err(|error| bad_input(field, &error))?;
        let handle = match Handle::of(attempt.run(), url) {
            Some(handle) => {
                attempt.log(LogStream::System, format!("goes on with the job {}", handle.job_url)).await;
                handle
            }
            None => match self.submit(&gp, attempt, url, parameters).await? {
                Some(handle) => handle,
                None => {
                    return Err(failed(Reason::Cancelled, "it was stopped before anything was submitted"));
                }
            },
        };
        follow(&mut Following::new(&gp, &handle), attempt).await
    }

    /// Begins a job and keeps its handle. None: the attempt was stopped before.
    async fn submit(
        &self,
        gp: &GpTask,
        attempt: &Attempt,
        url: &str,
        parameters: &Parameters,
    ) -> Result<Option<Handle>, AttemptEnd> {
        if attempt.must_stop().is_some() {
            return Ok(None);
        }
        match gp.is_asynchronous().await {
            Ok(true) => {}
            Ok(false) => {
                let result = "the task is synchronous: only tasks that run as jobs can be scheduled";
                return Err(AttemptEnd::SubmitFailed { reason: Reason::BadInput, result: result.to_owned() });
            }
            // A server may refuse its description and take jobs.
            Err(error) => attempt.log(LogStream::System, format!("the task's description: {error}")).await,
        }
        let job = self.submit_until_known(gp, attempt, parameters).await?;
        let handle = Handle::new(url, gp.job_url(&job), job);
        attempt.log(LogStream::System, format!("submitted: {}", handle.job_url)).await;
        self.keep(gp, attempt, &handle).await?;
        Ok(Some(handle))
    }

    /// The new job's id. A stop does not cut a submission short: whether there is a job must be known.
    async fn submit_until_known(
        &self,
        gp: &GpTask,
        attempt: &Attempt,
        parameters: &Parameters,
    ) -> Result<String, AttemptEnd> {
        let mut submission = 1;
        loop {
            match gp.submit(parameters).await {
                Ok(job) => return Ok(job.job_id),
                Err(NotSubmitted::Nothing(error)) => return Err(refused(&error)),
                Err(unknown @ NotSubmitted::Unknown(_)) => {
                    let twice = attempt.task().policies.crash == CrashPolicy::AtLeastOnce;
                    if !twice || submission == SUBMISSIONS || attempt.must_stop().is_some() {
                        return Err(failed(Reason::SubmissionUnknown, &unknown.to_string()));
                    }
                    attempt.log(LogStream::System, format!("{unknown}; it is submitted again")).await;
                }
            }
            submission += 1;
            sleep(PAUSE).await;
        }
    }

    /// Keeps the handle for attempts to come. A job that nobody could find again must not go on.
    async fn keep(&self, gp: &GpTask, attempt: &Attempt, handle: &Handle) -> Result<(), AttemptEnd> {
        let mut tries = 1;
        let why = loop {
            match attempt.checkpoint(&handle.to_json()).await {
                Ok(()) => return Ok(()),
                Err(NotKept::Storage(_)) if tries < KEEPING => {}
                Err(why) => break why,
            }
            tries += 1;
            sleep(PAUSE).await;
        };
        if let Err(error) = gp.cancel(&handle.job_id).await {
            tracing::warn!(job = %handle.job_url, %error, "a job that could not be kept goes on");
        }
        Err(failed(Reason::Internal, &format!("the job's handle could not be kept: {why}")))
    }
}
