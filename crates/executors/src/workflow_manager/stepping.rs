//! A job of Workflow Manager as its steps are run, one after the other.

use async_trait::async_trait;
use isochrone_arcgis::Error;
use isochrone_arcgis::workflow::{Action, Step, Workflow, WorkflowJob};
use isochrone_domain::{AttemptEnd, LogStream, Reason};
use isochrone_worker::Attempt;

use super::parameters::Wait;
use super::{Handle, succeeded};
use crate::remote::failed;
use crate::remote_job::{RemoteJob, Seen};

/// A job as its steps are run.
pub(super) struct Stepping<'a> {
    workflow: &'a Workflow,
    id: &'a str,
    wait: Wait,
    handle: &'a mut Handle,
    /// The steps at which it was last told to run, and has heard it; none: not by this attempt.
    runs: Option<Vec<String>>,
    last: Option<WorkflowJob>,
    /// What the server said when the steps were told to stop.
    stopped: Option<String>,
}

impl<'a> Stepping<'a> {
    pub(super) fn new(
        workflow: &'a Workflow,
        id: &'a str,
        wait: Wait,
        handle: &'a mut Handle,
    ) -> Stepping<'a> {
        Stepping { workflow, id, wait, handle, runs: None, last: None, stopped: None }
    }

    /// Whether the job has left the steps at which it was first told to run, by whichever attempt.
    async fn has_left(&mut self, at: &[String], attempt: &Attempt) -> bool {
        if let Some(run_at) = &self.handle.run_at {
            return run_at != at;
        }
        self.handle.run_at = Some(at.to_owned());
        self.handle.keep(attempt).await;
        false
    }

    /// Sees to it that the current steps run; the end, if they do not.
    async fn push(&mut self, job: &WorkflowJob, at: Vec<String>) -> Result<Option<AttemptEnd>, Error> {
        if self.runs.as_ref() != Some(&at) {
            return self.run(at).await;
        }
        let stopped = job.current_steps.iter().find(|step| was_stopped(step));
        Ok(stopped.map(|step| {
            let result = format!("the step '{}' was stopped at its server", step.step_name);
            failed(Reason::Cancelled, &result)
        }))
    }

    /// Tells the current steps to run; the end, if they do not. Told twice, they run once.
    async fn run(&mut self, at: Vec<String>) -> Result<Option<AttemptEnd>, Error> {
        let said = self.workflow.act(self.id, Action::Run).await?;
        self.runs = Some(at);
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
        &self.handle.job_url
    }

    /// A look at the job, with a push where its steps stand still.
    async fn look(&mut self, attempt: &Attempt) -> Result<Seen, Error> {
        if let Some(said) = &self.stopped {
            attempt.log(LogStream::System, said).await;
            return Ok(Seen::Ended(failed(Reason::Cancelled, said)));
        }
        let job = self.workflow.job(self.id).await?;
        let at: Vec<String> = job.current_steps.iter().map(|step| step.step_id.clone()).collect();
        if job.closed || (self.has_left(&at, attempt).await && self.wait == Wait::Step) {
            return Ok(Seen::Ended(succeeded(self.workflow, self.id)));
        }
        let still = |step: &Step| stands_still(&format!("'{}'", step.step_name), &step.step_status);
        if let Some(end) = job.current_steps.iter().find_map(still) {
            return Ok(Seen::Ended(end));
        }
        // What is to end is not told to run.
        if attempt.must_stop().is_none()
            && let Some(end) = self.push(&job, at).await?
        {
            return Ok(Seen::Ended(end));
        }
        let news = self.last.as_ref() != Some(&job);
        if news {
            let names: Vec<&str> = job.current_steps.iter().map(|step| step.step_name.as_str()).collect();
            attempt.progress(job.percent_complete, names.join(", ")).await;
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
