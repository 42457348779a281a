//! ExecuteWorkflowManager: a job made from a template, run as far as the task says.

mod parameters;

use std::time::Duration;

use async_trait::async_trait;
use isochrone_arcgis::Error;
use isochrone_arcgis::gp::NotSubmitted;
use isochrone_arcgis::workflow::{Action, Workflow, WorkflowJob};
use isochrone_domain::{AttemptEnd, LogStream, Reason, Run, TaskType};
use isochrone_worker::{Attempt, Executor};
use serde_json::json;
use tokio::time::sleep;

use crate::remote::{Away, LONGEST, Next, SHORTEST, failed, is_passing, next, refused};
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
        self.run_steps(&workflow, attempt, &parameters, &id).await
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

    /// Runs the job's steps until what is waited for.
    async fn run_steps(
        &self,
        workflow: &Workflow,
        attempt: &Attempt,
        parameters: &Parameters,
        id: &str,
    ) -> Result<AttemptEnd, AttemptEnd> {
        let (mut begun_at, mut pause, mut away) = (None, Duration::ZERO, Away::default());
        loop {
            match next(attempt, pause).await {
                Next::Look => pause = pause.mul_f32(1.5).clamp(SHORTEST, LONGEST),
                Next::GiveBack => return Ok(AttemptEnd::GivenBack),
                Next::End => return Err(stop_steps(workflow, attempt, id).await),
            }
            match self.step(workflow, id, &mut begun_at, parameters.wait).await {
                Ok(Seen::Ended(end)) => return end,
                Ok(Seen::GoesOn(job)) => {
                    away.is_back();
                    let at: Vec<&str> =
                        job.current_steps.iter().map(|step| step.step_name.as_str()).collect();
                    let percent = job.percent_complete.map(|percent| percent.clamp(0.0, 100.0) as u8);
                    attempt.progress(percent, at.join(", ")).await;
                }
                Err(error) if is_passing(&error) => {
                    away.is_away(attempt, &error, &workflow.job_url(id)).await?;
                }
                Err(error) => return Err(failed(Reason::ExecutionError, &format!("the job: {error}"))),
            }
        }
    }

    /// A look at the job, with a push where its steps stand still.
    async fn step(
        &self,
        workflow: &Workflow,
        id: &str,
        begun_at: &mut Option<Vec<String>>,
        wait: Wait,
    ) -> Result<Seen, Error> {
        let job = workflow.job(id).await?;
        let at: Vec<String> = job.current_steps.iter().map(|step| step.step_id.clone()).collect();
        let first = begun_at.is_none();
        let left = *begun_at.get_or_insert_with(|| at.clone()) != at;
        if job.closed || (wait == Wait::Step && left) {
            return Ok(Seen::Ended(Ok(succeeded(workflow, id))));
        }
        let needs_person = |status: &str| ["InfoRequired", "WaitingForInfo"].contains(&status);
        if let Some(step) = job.current_steps.iter().find(|step| needs_person(&step.step_status)) {
            return Ok(Seen::Ended(Err(input_needed(&step.step_name))));
        }
        if let Some(step) = job.current_steps.iter().find(|step| step.step_status == "Error") {
            let result = format!("the step '{}' failed", step.step_name);
            return Ok(Seen::Ended(Err(failed(Reason::ExecutionError, &result))));
        }
        if first || left {
            *begun_at = Some(at);
            let said = workflow.act(id, Action::Run).await?;
            if said.iter().any(|status| needs_person(status)) {
                return Ok(Seen::Ended(Err(input_needed("the current one"))));
            }
            if let Some(status) =
                said.iter().find(|status| !["Success", "AlreadyExecuting"].contains(&status.as_str()))
            {
                let result = format!("the server does not run the job's steps: {status}");
                return Ok(Seen::Ended(Err(failed(Reason::ExecutionError, &result))));
            }
        }
        Ok(Seen::GoesOn(job))
    }
}

enum Seen {
    GoesOn(WorkflowJob),
    Ended(Result<AttemptEnd, AttemptEnd>),
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

/// Ends the job's work; the job itself stays, for people.
async fn stop_steps(workflow: &Workflow, attempt: &Attempt, id: &str) -> AttemptEnd {
    let said = match workflow.act(id, Action::Stop).await {
        Ok(said) => format!("its steps were told to stop: {}", said.join(", ")),
        Err(error) => format!("its steps could not be stopped: {error}"),
    };
    attempt.log(LogStream::System, &said).await;
    failed(Reason::Cancelled, &said)
}

fn input_needed(step: &str) -> AttemptEnd {
    failed(Reason::ExecutionError, &format!("the step '{step}' needs a person's answer"))
}
