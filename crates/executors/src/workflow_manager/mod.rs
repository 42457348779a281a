//! ExecuteWorkflowManager: a job made from a template, run as far as the task says.

mod parameters;

use std::time::Duration;

use async_trait::async_trait;
use isochrone_arcgis::Error;
use isochrone_arcgis::gp::NotSubmitted;
use isochrone_arcgis::workflow::{Action, Step, Workflow, WorkflowJob};
use isochrone_domain::{AttemptEnd, LogStream, Reason, Run, TaskType};
use isochrone_worker::{Attempt, Executor};
use serde_json::json;
use tokio::time::sleep;

use crate::remote::{SHORTEST, failed, refused};
use crate::remote_job::{RemoteJob, Seen, follow};
use crate::way_out::WayOut;
use parameters::{Parameters, Wait};

/// Tries to make a job. It has an id of ours: there are never two.
const TRIES: u32 = 10;

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
        let id = job_id(run);
        if !self.make(&workflow, attempt, &parameters, &id).await? {
            return Err(failed(Reason::Cancelled, "it was stopped before there was a job"));
        }
        let handle = json!({"kind": "workflowJob", "jobUrl": workflow.job_url(&id)}).to_string();
        if let Err(error) = attempt.checkpoint(&handle).await {
            // The id says it, too.
            attempt.log(LogStream::System, format!("the job's handle is not kept: {error}")).await;
        }
        if parameters.wait == Wait::Created {
            return Ok(succeeded(&workflow, &id));
        }
        follow(&mut Stepping::new(&workflow, &id, parameters.wait), attempt).await
    }

    /// Makes the job, if an earlier attempt has not. False: the attempt was stopped before.
    async fn make(
        &self,
        workflow: &Workflow,
        attempt: &Attempt,
        parameters: &Parameters,
        id: &str,
    ) -> Result<bool, AttemptEnd> {
        let mut tries = 1;
        loop {
            let error = match workflow.job(id).await {
                Ok(_) => {
                    let goes_on = format!("goes on with the job {}", workflow.job_url(id));
                    attempt.log(LogStream::System, goes_on).await;
                    return Ok(true);
                }
                Err(error @ (Error::Token(_) | Error::Forbidden(_) | Error::Config(_))) => {
                    return Err(refused(&error));
                }
                Err(error) if error.may_pass() => error,
                // There is none.
                Err(_) if attempt.must_stop().is_some() => return Ok(false),
                Err(_) => match workflow.create(&parameters.template, id, &parameters.fields).await {
                    Ok(()) => {
                        attempt.log(LogStream::System, format!("made: {}", workflow.job_url(id))).await;
                        return Ok(true);
                    }
                    Err(NotSubmitted::Nothing(error)) if !error.may_pass() => return Err(refused(&error)),
                    Err(NotSubmitted::Nothing(error) | NotSubmitted::Unknown(error)) => error,
                },
            };
            attempt.log(LogStream::System, format!("there is no job yet: {error}")).await;
            if tries == TRIES {
                return Err(refused(&error));
            }
            tries += 1;
            sleep(SHORTEST).await;
        }
    }
}

/// A job as its steps are run.
struct Stepping<'a> {
    workflow: &'a Workflow,
    id: &'a str,
    url: String,
    wait: Wait,
    /// The steps at which it was told to run; none: not yet.
    run_at: Option<Vec<String>>,
    last: Option<WorkflowJob>,
    /// What the server said when the steps were told to stop.
    stopped: Option<String>,
}

impl<'a> Stepping<'a> {
    fn new(workflow: &'a Workflow, id: &'a str, wait: Wait) -> Stepping<'a> {
        let url = workflow.job_url(id);
        Stepping { workflow, id, url, wait, run_at: None, last: None, stopped: None }
    }

    /// Tells the current steps to run; the end, if they do not.
    async fn run(&mut self, at: Vec<String>) -> Result<Option<AttemptEnd>, Error> {
        self.run_at = Some(at);
        let said = self.workflow.act(self.id, Action::Run).await?;
        // Somebody has closed it since: the next look sees that.
        let fine = ["Success", "AlreadyExecuting", "JobClosed"];
        Ok(said.iter().find(|status| !fine.contains(&status.as_str())).map(|status| {
            stands_still("the current one", status).unwrap_or_else(|| {
                let result = format!("the server does not run the job's steps: {status}");
                failed(Reason::ExecutionError, &result)
            })
        }))
    }
}

#[async_trait]
impl RemoteJob for Stepping<'_> {
    fn url(&self) -> &str {
        &self.url
    }

    /// A look at the job, with a push where its steps stand still.
    async fn look(&mut self, attempt: &Attempt) -> Result<Seen, Error> {
        if let Some(said) = &self.stopped {
            attempt.log(LogStream::System, said).await;
            return Ok(Seen::Ended(failed(Reason::Cancelled, said)));
        }
        let job = self.workflow.job(self.id).await?;
        let at: Vec<String> = job.current_steps.iter().map(|step| step.step_id.clone()).collect();
        let left = self.run_at.as_ref().is_some_and(|run_at| *run_at != at);
        if job.closed || (self.wait == Wait::Step && left) {
            return Ok(Seen::Ended(succeeded(self.workflow, self.id)));
        }
        let still = |step: &Step| stands_still(&format!("'{}'", step.step_name), &step.step_status);
        if let Some(end) = job.current_steps.iter().find_map(still) {
            return Ok(Seen::Ended(end));
        }
        if self.run_at.is_none() || left {
            if let Some(end) = self.run(at).await? {
                return Ok(Seen::Ended(end));
            }
        } else if let Some(step) = job.current_steps.iter().find(|step| was_stopped(step)) {
            let result = format!("the step '{}' was stopped at its server", step.step_name);
            return Ok(Seen::Ended(failed(Reason::Cancelled, &result)));
        }
        let news = self.last.as_ref() != Some(&job);
        if news {
            let names: Vec<&str> = job.current_steps.iter().map(|step| step.step_name.as_str()).collect();
            let percent = job.percent_complete.map(|percent| percent.clamp(0.0, 100.0) as u8);
            attempt.progress(percent, names.join(", ")).await;
        }
        self.last = Some(job);
        Ok(Seen::GoesOn { news, again_in: None })
    }

    /// Ends the job's work; the job itself stays, for people.
    async fn end(&mut self) -> Result<(), Error> {
        let said = self.workflow.act(self.id, Action::Stop).await?;
        self.stopped = Some(format!("its steps were told to stop: {}", said.join(", ")));
        Ok(())
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

/// The end that a step's status means: it does not go on by itself.
fn stands_still(step: &str, status: &str) -> Option<AttemptEnd> {
    let why = match status {
        "InfoRequired" | "WaitingForInfo" => "needs a person's answer",
        "Held" => "is held: a person must release it",
        "Error" => "failed",
        _ => return None,
    };
    Some(failed(Reason::ExecutionError, &format!("the step {step} {why}")))
}

fn was_stopped(step: &Step) -> bool {
    ["Stopped", "WarningStopped"].contains(&step.step_status.as_str())
}
