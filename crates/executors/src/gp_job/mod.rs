//! Asynchronous geoprocessing, carried out by a server and followed from here: what several types are made of.

mod following;
mod handle;
mod outputs;

use isochrone_arcgis::gp::{GpTask, Parameters};
use isochrone_domain::{AttemptEnd, LogStream, Reason, TaskType, geoprocessing_parameters, public_url};
use isochrone_worker::Attempt;

use crate::declared;
use crate::remote::bad_input;
use crate::remote_job::follow;
use crate::submission::{self, not_begun, submit_until_known};
use crate::way_out::WayOut;
use following::Following;
use handle::Handle;

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
                attempt
                    .log(LogStream::System, format!("goes on with the job {}", public_url(&handle.job_url)))
                    .await;
                handle
            }
            None => match self.submit(&gp, attempt, url, parameters).await? {
                Some(handle) => handle,
                None => return Err(not_begun()),
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
        check_description(gp, attempt).await?;
        // Only an administrator of the server could look for it.
        let nowhere = || std::future::ready(Ok(None));
        let job = submit_until_known(attempt, || gp.submit(parameters), nowhere).await?;
        let handle = Handle::new(url, gp.job_url(&job), job);
        attempt.log(LogStream::System, format!("submitted: {}", public_url(&handle.job_url))).await;
        submission::keep(attempt, &handle, &handle.job_url, || gp.cancel(&handle.job_id)).await?;
        Ok(Some(handle))
    }
}

/// Checks what the server says of the task. It may refuse its description and take jobs.
async fn check_description(gp: &GpTask, attempt: &Attempt) -> Result<(), AttemptEnd> {
    match gp.description().await {
        Ok(described) if !described.is_asynchronous => {
            let result = "the task is synchronous: only tasks that run as jobs can be scheduled";
            Err(AttemptEnd::SubmitFailed { reason: Reason::BadInput, result: result.to_owned() })
        }
        // Other types have parameters of their own, from which the job's are made.
        Ok(described) if attempt.task().kind == TaskType::GPService => {
            if let Some(declared) = geoprocessing_parameters(&described.text) {
                return declared::check(attempt, &declared).await;
            }
            declared::not_checked(attempt, "its server does not describe its parameters").await;
            Ok(())
        }
        Ok(_) => Ok(()),
        Err(error) => {
            attempt.log(LogStream::System, format!("the task's description: {error}")).await;
            Ok(())
        }
    }
}
