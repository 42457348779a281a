//! ExecuteWorkflowManager: a job made from a template, run as far as the task says.

mod parameters;
mod stepping;

use std::time::Duration;

use async_trait::async_trait;
use isochrone_arcgis::Error;
use isochrone_arcgis::jobs::SubmitOutcome;
use isochrone_arcgis::workflow::Workflow;
use isochrone_domain::{AttemptEnd, LogStream, Reason, Run, TaskType};
use isochrone_worker::{Attempt, Executor};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::remote::{SHORTEST, failed, is_passing, refused};
use crate::remote_job::{follow, until_next_try};
use crate::submission::{self, BUSY};
use crate::way_out::WayOut;
use parameters::{Parameters, Wait};
use stepping::Stepping;

/// Tries to make a job, or to see whether there is one. It has an id of ours: there are never two, unless a server
/// gives its jobs ids of its own, and does not answer.
const TRIES: u32 = 10;
/// Of those, so many may leave it unknown whether there is one.
const UNANSWERED: u32 = 3;

/// What finds a job again (its id does, too), and how far its steps are.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename = "workflowJob", rename_all = "camelCase")]
struct Handle {
    job_url: String,
    /// Its id; none: the one that is made of the run's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    job_id: Option<String>,
    /// The steps at which it was first told to run; none: not yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    run_at: Option<Vec<String>>,
}

impl Handle {
    fn new(workflow: &Workflow, id: String) -> Handle {
        Handle { job_url: workflow.job_url(&id), job_id: Some(id), run_at: None }
    }

    async fn keep(&self, attempt: &Attempt) {
        let handle = serde_json::to_string(self).expect("texts are JSON");
        if let Err(error) = submission::store_handle(attempt, &handle).await {
            attempt.log(LogStream::System, format!("the job's handle is not kept: {error}")).await;
        }
    }
}

/// Carries out ExecuteWorkflowManager.
pub struct ExecuteWorkflowManager {
    way_out: WayOut,
    server: String,
}

impl ExecuteWorkflowManager {
    /// At the Workflow Manager server with this root, `https://host[:port][/context]`.
    pub fn new(way_out: WayOut, server: &str) -> ExecuteWorkflowManager {
        ExecuteWorkflowManager { way_out, server: server.to_owned() }
    }

    async fn carry_out(&self, attempt: &Attempt) -> Result<AttemptEnd, AttemptEnd> {
        let (task, run) = (attempt.task(), attempt.run());
        let wrong = |why: String| AttemptEnd::SubmitFailed { reason: Reason::BadInput, result: why };
        let parameters = Parameters::read(task.parameters.as_deref().unwrap_or("{}")).map_err(wrong)?;
        let item = task.item_id.ok_or_else(|| wrong("'itemId' is missing: the workflow item".to_owned()))?;
        let workflow = Workflow::new(self.way_out.of(&task.owner).await?, &self.server, &item.to_string());
        let workflow = workflow.map_err(|error| refused(&error))?;
        let ours = job_id(run);
        let mut handle = match submission::kept::<Handle>(attempt) {
            Some(handle) => {
                let goes_on = format!("goes on with the job {}", handle.job_url);
                attempt.log(LogStream::System, goes_on).await;
                handle
            }
            None => match self.make(&workflow, attempt, &parameters, &ours).await? {
                Some(id) => Handle::new(&workflow, id),
                None => return Err(failed(Reason::Cancelled, "it was stopped before there was a job")),
            },
        };
        handle.keep(attempt).await;
        let id = handle.job_id.clone().unwrap_or(ours);
        if parameters.wait == Wait::Created {
            return Ok(succeeded(&workflow, &id));
        }
        follow(&mut Stepping::new(&workflow, &id, parameters.wait, &mut handle), attempt).await
    }

    /// Makes the job, if an earlier attempt has not, and gives its id. None: the attempt was stopped before.
    async fn make(
        &self,
        workflow: &Workflow,
        attempt: &Attempt,
        parameters: &Parameters,
        id: &str,
    ) -> Result<Option<String>, AttemptEnd> {
        // Of a run's first attempt there can't be a job yet.
        let (mut perhaps_made, mut tries, mut unanswered) = (attempt.run().attempt > 1, 1, 0);
        loop {
            attempt.trust().there().await;
            let looked = if perhaps_made { workflow.job(id).await.map(Some) } else { Ok(None) };
            let error = match looked {
                Ok(Some(_)) => {
                    let goes_on = format!("goes on with the job {}", workflow.job_url(id));
                    attempt.log(LogStream::System, goes_on).await;
                    return Ok(Some(id.to_owned()));
                }
                Err(error @ (Error::Token(_) | Error::Forbidden(_) | Error::Config(_))) => {
                    return Err(refused(&error));
                }
                Err(error) if is_passing(&error) => error,
                // There is none.
                _ if attempt.must_stop().is_some() => return Ok(None),
                _ => match workflow.create(&parameters.template, id, &parameters.fields).await {
                    SubmitOutcome::Begun(made) => {
                        let own = if made == id { "" } else { ", with an id of the server's own" };
                        let line = format!("made{own}: {}", workflow.job_url(&made));
                        attempt.log(LogStream::System, line).await;
                        return Ok(Some(made));
                    }
                    SubmitOutcome::BegunWithoutHandle(words) => {
                        return self.found(workflow, attempt, id, &words).await.map(Some);
                    }
                    SubmitOutcome::NotBegun { error, retryable: false } => return Err(refused(&error)),
                    SubmitOutcome::NotBegun { error, .. } => error,
                    SubmitOutcome::Unknown(error) => {
                        (perhaps_made, unanswered) = (true, unanswered + 1);
                        if unanswered == UNANSWERED {
                            let result = submission::unknown(&error);
                            return Err(failed(Reason::SubmissionUnknown, &result));
                        }
                        error
                    }
                },
            };
            attempt.log(LogStream::System, format!("there is no job yet: {error}")).await;
            let too_late = !perhaps_made && error.again_in().is_some_and(|pause| pause > BUSY);
            if tries == TRIES || too_late {
                return Err(refused(&error));
            }
            tries += 1;
            until_next_try(attempt, &error, SHORTEST).await;
        }
    }

    /// The job that the server made and does not name, if it has our id.
    async fn found(
        &self,
        workflow: &Workflow,
        attempt: &Attempt,
        id: &str,
        words: &str,
    ) -> Result<String, AttemptEnd> {
        for _ in 0..UNANSWERED {
            attempt.trust().there().await;
            match workflow.job(id).await {
                Ok(_) => return Ok(id.to_owned()),
                Err(error) => until_next_try(attempt, &error, SHORTEST).await,
            }
        }
        Err(failed(Reason::SubmissionUnknown, &submission::lost_track(words)))
    }
}

#[async_trait]
impl Executor for ExecuteWorkflowManager {
    fn kind(&self) -> TaskType {
        TaskType::ExecuteWorkflowManager
    }

    fn default_timeout(&self) -> Duration {
        Duration::from_hours(24)
    }

    async fn execute(&self, attempt: &Attempt) -> AttemptEnd {
        self.carry_out(attempt).await.unwrap_or_else(|end| end)
    }
}

/// The same for each attempt, in the form of an UUID.
fn job_id(run: &Run) -> String {
    let hex = run.id.to_string();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn succeeded(workflow: &Workflow, id: &str) -> AttemptEnd {
    AttemptEnd::Succeeded { result: json!({"jobIds": [id], "jobUrl": workflow.job_url(id)}).to_string() }
}
