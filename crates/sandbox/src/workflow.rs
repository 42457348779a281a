//! A simulated Workflow Manager server on a free port, with faults on demand.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::io;

use super::listening::{Listening, lock, meets_faults};

/// Of a request's body.
const LARGEST: usize = 1 << 20;
/// How long a step takes.
const STEP: Duration = Duration::from_secs(1);

/// A simulated Workflow Manager server. Its templates: `two-steps`, which run by themselves and close the job;
/// `question`, whose step waits for a person; `endless`; `broken`. Dropped, it is gone.
pub struct SimulatedWorkflowManager(Listening<State>);

meets_faults!(SimulatedWorkflowManager);

#[derive(Default)]
struct State {
    jobs: BTreeMap<String, Job>,
    made: usize,
}

struct Job {
    template: String,
    fields: Value,
    /// Steps that are done.
    done: usize,
    running_since: Option<Instant>,
    stopped: bool,
    /// How often a step began to run.
    started: usize,
    intervened: Option<Intervention>,
}

/// What people do to a job meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intervention {
    /// They close it.
    Close,
    /// They put a hold on its step.
    Hold,
    /// They stop its step.
    Stop,
}

impl SimulatedWorkflowManager {
    /// A server that asks for no token.
    pub async fn start() -> io::Result<SimulatedWorkflowManager> {
        Ok(SimulatedWorkflowManager(Listening::start(handle).await?))
    }

    /// Its root.
    pub fn url(&self) -> String {
        format!("http://{}/server", self.0.address)
    }

    /// How many jobs were made.
    pub fn made(&self) -> usize {
        self.0.state().made
    }

    /// What the jobs were made with, by their ids.
    pub fn jobs(&self) -> BTreeMap<String, Value> {
        self.0.state().jobs.iter().map(|(id, job)| (id.clone(), job.fields.clone())).collect()
    }

    /// How often a step of any job began to run.
    pub fn steps_started(&self) -> usize {
        self.0.state().jobs.values().map(|job| job.started).sum()
    }

    /// The jobs that were told to stop.
    pub fn stopped_jobs(&self) -> Vec<String> {
        let state = self.0.state();
        state.jobs.iter().filter(|(_, job)| job.stopped).map(|(id, _)| id.clone()).collect()
    }

    /// How many jobs were told to stop.
    pub fn stopped(&self) -> usize {
        self.0.state().jobs.values().filter(|job| job.stopped).count()
    }

    /// Somebody does this to all jobs that there are.
    pub fn intervene(&self, intervention: Intervention) {
        for job in self.0.state().jobs.values_mut() {
            job.intervened = Some(intervention);
        }
    }
}

async fn handle(state: Arc<Mutex<State>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    let body = axum::body::to_bytes(body, LARGEST).await.unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let mut state = lock(&state);
    let path: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let wrong = |message: &str| {
        let error = json!({"error": {"code": 400, "message": message, "details": []}});
        (StatusCode::BAD_REQUEST, Json(error)).into_response()
    };
    match (&parts.method, &path[..]) {
        (&Method::POST, ["server", "workflow", _, "jobTemplates", template, "job"]) => {
            let id = body["jobId"].as_str().unwrap_or_default().to_owned();
            if !["two%2Dsteps", "question", "endless", "broken"].contains(template) {
                return wrong("The job template does not exist.");
            }
            if id.is_empty() || state.jobs.contains_key(&id) {
                return wrong("A job with this id exists.");
            }
            let template = template.replace("%2D", "-");
            let (running_since, stopped, started, intervened) = (None, false, 0, None);
            let job = Job { template, fields: body, done: 0, running_since, stopped, started, intervened };
            state.jobs.insert(id.clone(), job);
            state.made += 1;
            Json(json!({"jobIds": [id]})).into_response()
        }
        (&Method::GET, ["server", "workflow", _, "jobs", id]) => match state.jobs.get_mut(*id) {
            Some(job) => Json(job.show(id)).into_response(),
            None => wrong("The job does not exist."),
        },
        (&Method::POST, ["server", "workflow", _, "jobs", id, "action"]) => match state.jobs.get_mut(*id) {
            Some(job) => Json(job.act(body["type"].as_str().unwrap_or_default())).into_response(),
            None => wrong("The job does not exist."),
        },
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

impl Job {
    fn steps(&self) -> usize {
        if self.template == "two-steps" { 2 } else { 1 }
    }

    fn go_on(&mut self) {
        let over = self.running_since.is_some_and(|since| since.elapsed() > STEP);
        if over && self.template == "two-steps" {
            self.done += 1;
            self.running_since = None;
        }
    }

    fn show(&mut self, id: &str) -> Value {
        self.go_on();
        let closed = self.done == self.steps() || self.intervened == Some(Intervention::Close);
        let status = match (&*self.template, self.running_since) {
            _ if self.intervened == Some(Intervention::Hold) => "Held",
            _ if self.intervened == Some(Intervention::Stop) => "Stopped",
            (_, None) => "Ready",
            ("question", Some(_)) => "InfoRequired",
            ("broken", Some(_)) => "Error",
            _ => "Running",
        };
        let step = json!({"stepId": format!("s{}", self.done), "stepName": format!("Step {}", self.done + 1), "stepStatus": status});
        let steps = if closed { json!([]) } else { json!([step]) };
        let percent = 100 * self.done / self.steps();
        json!({"jobId": id, "jobName": "A job", "closed": closed, "percentComplete": percent, "currentSteps": steps})
    }

    fn act(&mut self, kind: &str) -> Value {
        self.go_on();
        let status = match kind {
            "Run" if self.intervened == Some(Intervention::Close) => "JobClosed",
            "Run" if self.intervened == Some(Intervention::Hold) => "Held",
            "Run" if self.running_since.is_some() => "AlreadyExecuting",
            "Run" => {
                (self.running_since, self.started) = (Some(Instant::now()), self.started + 1);
                "Success"
            }
            "Stop" => {
                (self.running_since, self.stopped) = (None, true);
                "Success"
            }
            _ => "NoActiveStep",
        };
        json!({"success": true, "stepResponses": [{"stepId": format!("s{}", self.done), "status": status}]})
    }
}
