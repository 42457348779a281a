//! A simulated server that takes jobs over plain HTTP, on a free port, with faults on demand.

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

/// A simulated server: an order's parameters say how its job goes (`seconds`, `fail`, `atOnce`). Dropped, it is gone.
pub struct SimulatedHttpJobs(Listening<State>);

meets_faults!(SimulatedHttpJobs);

#[derive(Default)]
struct State {
    jobs: Vec<Job>,
    orders: usize,
}

struct Job {
    key: String,
    order: Value,
    begun: Instant,
    ended: bool,
}

impl SimulatedHttpJobs {
    /// The bearer's token that it wants.
    pub const TOKEN: &str = "simulated-token";

    /// A server that wants [`Self::TOKEN`].
    pub async fn start() -> io::Result<SimulatedHttpJobs> {
        Ok(SimulatedHttpJobs(Listening::start(handle).await?))
    }

    /// Where jobs are begun.
    pub fn url(&self) -> String {
        format!("http://{}/jobs", self.0.address)
    }

    /// The orders for which there is a job, in order.
    pub fn jobs(&self) -> Vec<Value> {
        self.0.state().jobs.iter().map(|job| job.order.clone()).collect()
    }

    /// How many orders came, those for the same job too.
    pub fn orders(&self) -> usize {
        self.0.state().orders
    }

    /// The runs whose jobs were ended by request.
    pub fn ended_runs(&self) -> Vec<String> {
        let state = self.0.state();
        let ended = state.jobs.iter().filter(|job| job.ended);
        ended.map(|job| job.order["runId"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// How many jobs were ended by request.
    pub fn ended(&self) -> usize {
        self.0.state().jobs.iter().filter(|job| job.ended).count()
    }
}

async fn handle(state: Arc<Mutex<State>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    let given = |name: header::HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok());
    if given(header::AUTHORIZATION) != Some(&format!("Bearer {}", SimulatedHttpJobs::TOKEN)) {
        return (StatusCode::FORBIDDEN, "no good token").into_response();
    }
    let body = axum::body::to_bytes(body, LARGEST).await.unwrap_or_default();
    let mut state = lock(&state);
    let number = path.strip_prefix("/jobs/").and_then(|number| number.parse::<usize>().ok());
    match (&parts.method, number) {
        (&Method::POST, None) if path == "/jobs" => {
            let key =
                given(header::HeaderName::from_static("idempotency-key")).unwrap_or_default().to_owned();
            match serde_json::from_slice(&body) {
                Ok(order) => begin(&mut state, key, order),
                Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
            }
        }
        (&Method::GET, Some(number)) => match state.jobs.get(number) {
            Some(job) => Json(job.show()).into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        },
        (&Method::DELETE, Some(number)) => match state.jobs.get_mut(number) {
            Some(job) => {
                job.ended = true;
                StatusCode::NO_CONTENT.into_response()
            }
            None => StatusCode::NOT_FOUND.into_response(),
        },
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn begin(state: &mut State, key: String, order: Value) -> Response {
    state.orders += 1;
    if order["parameters"]["atOnce"] == true {
        return Json(json!({"status": "succeeded", "result": "done at once"})).into_response();
    }
    let number = state.jobs.iter().position(|job| job.key == key).unwrap_or_else(|| {
        state.jobs.push(Job { key, order, begun: Instant::now(), ended: false });
        state.jobs.len() - 1
    });
    (StatusCode::ACCEPTED, [(header::LOCATION, format!("/jobs/{number}"))]).into_response()
}

impl Job {
    fn show(&self) -> Value {
        let parameters = &self.order["parameters"];
        let takes = Duration::from_secs_f64(parameters["seconds"].as_f64().unwrap_or(0.2));
        let done = self.begun.elapsed().as_secs_f64() / takes.as_secs_f64();
        if self.ended {
            json!({"status": "cancelled"})
        } else if done < 1.0 {
            json!({"status": "running", "progress": (done * 100.0) as u8, "message": "refreshing"})
        } else if parameters["fail"] == true {
            json!({"status": "failed", "result": "the workbook has no page"})
        } else {
            json!({"status": "succeeded", "result": {"pages": 3}})
        }
    }
}
