//! A simulated server that speaks OGC API - Processes, on a free port, with faults on demand.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::Request;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::io;

use super::listening::{Listening, lock, meets_faults};

/// Of a request's body.
const LARGEST: usize = 1 << 20;

/// A simulated server with one process, `slow`: it takes as many `seconds` as it is told, and fails where they are
/// fewer than none. Dropped, it is gone.
pub struct SimulatedProcesses(Listening<State>);

meets_faults!(SimulatedProcesses);

#[derive(Default)]
struct State {
    jobs: Vec<Job>,
}

struct Job {
    seconds: f64,
    begun: Instant,
    dismissed: bool,
}

impl SimulatedProcesses {
    /// A server whose process is everybody's.
    pub async fn start() -> io::Result<SimulatedProcesses> {
        Ok(SimulatedProcesses(Listening::start(handle).await?))
    }

    /// Its root, as it is listed for egress.
    pub fn url(&self) -> String {
        format!("http://{}", self.0.address)
    }

    /// The URL of a process.
    pub fn process(&self, id: &str) -> String {
        format!("{}/processes/{id}", self.url())
    }

    /// How many jobs were begun.
    pub fn begun(&self) -> usize {
        self.0.state().jobs.len()
    }

    /// How many jobs were dismissed.
    pub fn dismissed(&self) -> usize {
        self.0.state().jobs.iter().filter(|job| job.dismissed).count()
    }
}

async fn handle(state: Arc<Mutex<State>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, LARGEST).await.unwrap_or_default();
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    let path: Vec<&str> = parts.uri.path().split('/').filter(|part| !part.is_empty()).collect();
    let mut state = lock(&state);
    match (&parts.method, &path[..]) {
        (&Method::POST, ["processes", "slow", "execution"]) => state.begin(&asked["inputs"]),
        (&Method::GET, ["processes", "slow"]) => Json(description()).into_response(),
        (_, ["processes", ..]) => {
            problem(StatusCode::NOT_FOUND, "NoSuchProcess", "There is no such process.")
        }
        (method, ["jobs", id, below @ ..]) => {
            match id.parse::<usize>().ok().and_then(|number| state.jobs.get_mut(number)) {
                Some(job) => job.answer(method, below),
                None => problem(StatusCode::NOT_FOUND, "NoSuchJob", "There is no such job."),
            }
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Of the process `slow`. It does not say how it is executed.
fn description() -> Value {
    json!({"id": "slow", "version": "1.0.0", "title": "Slow", "inputs": {
        "seconds": {"title": "Seconds", "schema": {"type": "number"}, "minOccurs": 1, "maxOccurs": 1},
        "mood": {"schema": {"type": "string", "enum": ["calm", "grim"], "default": "calm"}, "minOccurs": 0},
    }, "outputs": {"took": {"schema": {"type": "number"}}}})
}

/// RFC 7807.
fn problem(status: StatusCode, kind: &str, detail: &str) -> Response {
    let kind = format!("http://www.opengis.net/def/exceptions/ogcapi-processes-1/1.0/{kind}");
    (status, Json(json!({"type": kind, "status": status.as_u16(), "detail": detail}))).into_response()
}

impl State {
    fn begin(&mut self, inputs: &Value) -> Response {
        let Some(seconds) = inputs["seconds"].as_f64() else {
            return problem(StatusCode::BAD_REQUEST, "InvalidParameterValue", "'seconds' is no number.");
        };
        self.jobs.push(Job { seconds, begun: Instant::now(), dismissed: false });
        let number = self.jobs.len() - 1;
        let status = json!({"jobID": number.to_string(), "type": "process", "status": "accepted"});
        (StatusCode::CREATED, [(header::LOCATION, format!("/jobs/{number}"))], Json(status)).into_response()
    }
}

impl Job {
    fn status(&self) -> &'static str {
        match self.begun.elapsed() {
            _ if self.dismissed => "dismissed",
            _ if self.seconds < 0.0 => "failed",
            age if age < Duration::from_secs_f64(self.seconds) => "running",
            _ => "successful",
        }
    }

    fn answer(&mut self, method: &Method, below: &[&str]) -> Response {
        match (method, below, self.status()) {
            (&Method::GET, ["results"], "successful") => Json(json!({"took": self.seconds})).into_response(),
            (&Method::GET, ["results"], _) => {
                problem(StatusCode::NOT_FOUND, "ResultNotReady", "There are no results.")
            }
            (&Method::GET, [], status) => {
                let percent = (self.begun.elapsed().as_secs_f64() / self.seconds * 100.0).clamp(0.0, 100.0);
                Json(json!({"status": status, "type": "process", "progress": percent as u8})).into_response()
            }
            (&Method::DELETE, [], _) => {
                self.dismissed = true;
                Json(json!({"status": "dismissed", "type": "process"})).into_response()
            }
            _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
        }
    }
}
