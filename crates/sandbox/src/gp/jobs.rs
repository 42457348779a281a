//! The jobs of a simulated GIS server: what they are follows from when they were begun.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::tools::{Outcome, Tool};
use crate::answers::Refused;
use crate::asked::Asked;

pub(super) const NO_JOB: Refused = Refused(400, "Job not found. It may have expired.");
/// What a server answers to a cancel that comes too early or too late, and to whoever asks for what is not there.
const NOT_NOW: Refused = Refused(400, "Invalid or missing input parameters.");

/// What the task `Novel` does, in a word that no client knows.
const NOVEL: &str = "esriJobReconciling";

/// Between a cancel and its effect.
const HEARD_AFTER: Duration = Duration::from_millis(200);
/// Between the success of the task `Late` and its results.
const LATE_BY: Duration = Duration::from_millis(600);

/// What a server was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// The job's id.
    pub job: String,
    /// The task's name.
    pub task: String,
    /// The fields of the form.
    pub parameters: BTreeMap<String, String>,
    /// Whether it was cancelled, and that was not refused.
    pub cancelled: bool,
}

pub(super) struct Jobs {
    known: BTreeMap<String, Job>,
    /// Of all jobs, forgotten ones too.
    submissions: Vec<Submission>,
    most_cooks: usize,
    submitted: Duration,
    waiting: Duration,
}

struct Job {
    tool: Tool,
    outcome: Outcome,
    begun: Instant,
    submitted: Duration,
    waiting: Duration,
    /// When it was told to end.
    told: Option<Instant>,
    /// Its place among the submissions.
    place: usize,
}

impl Default for Jobs {
    fn default() -> Jobs {
        let (submitted, waiting) = (Duration::from_millis(50), Duration::from_millis(50));
        Jobs { known: BTreeMap::new(), submissions: Vec::new(), most_cooks: 0, submitted, waiting }
    }
}

impl Jobs {
    pub(super) fn set_queue(&mut self, submitted: Duration, waiting: Duration) {
        (self.submitted, self.waiting) = (submitted, waiting);
    }

    pub(super) fn forget(&mut self) {
        self.known.clear();
    }

    pub(super) fn most_cooks_at_once(&self) -> usize {
        self.most_cooks
    }

    pub(super) fn submissions(&self) -> Vec<Submission> {
        self.submissions.clone()
    }

    pub(super) fn submit(&mut self, tool: Tool, task: &str, asked: &Asked) -> Value {
        let id = format!("j{:032x}", self.submissions.len() + 1);
        self.submissions.push(Submission {
            job: id.clone(),
            task: task.to_owned(),
            parameters: asked.parameters.clone(),
            cancelled: false,
        });
        let job = Job {
            tool,
            outcome: tool.carry_out(asked),
            begun: Instant::now(),
            submitted: self.submitted,
            waiting: self.waiting,
            told: None,
            place: self.submissions.len() - 1,
        };
        self.known.insert(id.clone(), job);
        let cooks = |job: &&Job| job.tool == Tool::Cook && !job.has_ended();
        self.most_cooks = self.most_cooks.max(self.known.values().filter(cooks).count());
        json!({"jobId": id, "jobStatus": "esriJobSubmitted"})
    }

    pub(super) fn show(&self, id: &str, asked: &Asked) -> Option<Value> {
        let job = self.known.get(id)?;
        // One look at the clock: what is shown belongs together.
        let status = job.status();
        let silent = asked.parameter("returnMessages").is_some_and(|told| told.eq_ignore_ascii_case("false"));
        let messages = if silent { Vec::new() } else { job.messages(status) };
        let mut shown = json!({"jobId": id, "jobStatus": status, "messages": messages});
        if matches!(status, "esriJobExecuting" | NOVEL) {
            shown["progress"] = json!({"type": "step", "message": "working", "percent": job.percent()});
        }
        if status == "esriJobSucceeded" {
            let link =
                |kind: &str, name: &str| (name.to_owned(), json!({"paramUrl": format!("{kind}/{name}")}));
            if let Some(results) = job.outcome.results().filter(|_| job.has_results()) {
                shown["results"] = results.keys().map(|name| link("results", name)).collect();
            }
            shown["inputs"] = job.tool.inputs().map(|input| link("inputs", input.name)).collect();
        }
        Some(shown)
    }

    /// All results: of a job that failed or was cancelled there are none.
    pub(super) fn results(&self, id: &str) -> Result<Value, Refused> {
        let job = self.known.get(id).ok_or(NO_JOB)?;
        if job.has_results() {
            Ok(job.outcome.listed().into())
        } else if job.has_ended() {
            Ok(json!([]))
        } else {
            Err(NOT_NOW)
        }
    }

    pub(super) fn result(&self, id: &str, name: &str) -> Result<Value, Refused> {
        let job = self.known.get(id).ok_or(NO_JOB)?;
        let listed = if job.has_results() { job.outcome.listed() } else { Vec::new() };
        listed.into_iter().find(|result| result["paramName"] == name).ok_or(NOT_NOW)
    }

    /// All that a job was given.
    pub(super) fn inputs(&self, id: &str) -> Result<Vec<Value>, Refused> {
        let job = self.known.get(id).ok_or(NO_JOB)?;
        let form = &self.submissions[job.place].parameters;
        Ok(job.tool.inputs().map(|input| input.given(form)).collect())
    }

    pub(super) fn input(&self, id: &str, name: &str) -> Result<Value, Refused> {
        self.inputs(id)?.into_iter().find(|input| input["paramName"] == name).ok_or(NOT_NOW)
    }

    pub(super) fn cancel(&mut self, id: &str) -> Result<Value, Refused> {
        let job = self.known.get_mut(id).ok_or(NO_JOB)?;
        if !matches!(job.status(), "esriJobWaiting" | "esriJobExecuting" | NOVEL) {
            return Err(NOT_NOW);
        }
        self.submissions[job.place].cancelled = true;
        if job.tool != Tool::Stubborn {
            job.told = Some(Instant::now());
        }
        Ok(json!({"jobId": id, "jobStatus": "esriJobCancelling"}))
    }
}

impl Job {
    fn status(&self) -> &'static str {
        if let Some(told) = self.told {
            return if told.elapsed() > HEARD_AFTER { "esriJobCancelled" } else { "esriJobCancelling" };
        }
        let age = self.begun.elapsed();
        if age < self.submitted {
            "esriJobSubmitted"
        } else if age < self.submitted + self.waiting {
            "esriJobWaiting"
        } else if age < self.done_after() {
            if self.tool == Tool::Novel { NOVEL } else { "esriJobExecuting" }
        } else if self.outcome.result.is_ok() {
            "esriJobSucceeded"
        } else if self.tool == Tool::Overlong {
            "esriJobTimedOut"
        } else {
            "esriJobFailed"
        }
    }

    /// Unless it is cancelled.
    fn done_after(&self) -> Duration {
        self.submitted + self.waiting + self.outcome.takes
    }

    fn has_ended(&self) -> bool {
        let ended = ["esriJobCancelled", "esriJobSucceeded", "esriJobFailed", "esriJobTimedOut"];
        ended.contains(&self.status())
    }

    fn has_results(&self) -> bool {
        let late = self.tool == Tool::Late && self.begun.elapsed() < self.done_after() + LATE_BY;
        self.status() == "esriJobSucceeded" && !late
    }

    /// Servers tell whole ones.
    fn percent(&self) -> u8 {
        let worked = self.begun.elapsed().saturating_sub(self.submitted + self.waiting);
        (worked.as_secs_f64() / self.outcome.takes.as_secs_f64() * 100.0).min(100.0) as u8
    }

    fn messages(&self, status: &str) -> Vec<Value> {
        let said = |kind: &str, text: &str| json!({"type": format!("esriJobMessageType{kind}"), "description": text});
        let mut messages = Vec::new();
        if !matches!(status, "esriJobSubmitted" | "esriJobWaiting") {
            messages.push(said("Informative", "Start Time: now"));
            messages.push(said("Warning", "This is a simulation"));
        }
        if let (Err(why), "esriJobFailed" | "esriJobTimedOut") = (&self.outcome.result, status) {
            messages.push(said("Error", why));
        }
        messages
    }
}
