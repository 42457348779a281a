//! A simulated GIS server with asynchronous geoprocessing tasks on a free port, with faults on demand.

mod jobs;
mod parameters;
mod resources;
mod tools;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Json;
use axum::extract::Request;
use axum::response::{Html, IntoResponse, Response};
use std::io;

pub use jobs::Submission;

use super::answers;
use super::asked::{self, Asked};
use super::faults::Fault;
use super::listening::{Listening, lock};
use super::portal::SimulatedPortal;
use super::state::State as PortalState;
use jobs::Jobs;

const SERVICES: &str = "/server/rest/services";

/// A simulated GIS server. Its tasks: `Buffer` (points and lines, really), `Slow` and `Stubborn` (`seconds`
/// long; the latter never listens to a cancel), `Broken`, `Silent` (no results), `Instant` (synchronous); and
/// `Manage Scene Cache` of the scene caching controllers. Dropped, it is gone.
pub struct SimulatedGpServer(Listening<State>);

#[derive(Default)]
struct State {
    jobs: Jobs,
    /// Whose tokens are wanted; none: nobody's.
    portal: Option<Arc<Mutex<PortalState>>>,
}

impl SimulatedGpServer {
    /// A server whose tasks are everybody's.
    pub async fn start() -> io::Result<SimulatedGpServer> {
        Ok(SimulatedGpServer(Listening::start(handle).await?))
    }

    /// Asks for tokens of this portal from now on.
    pub fn federate(&self, portal: &SimulatedPortal) {
        self.0.state().portal = Some(Arc::clone(&portal.0.state));
    }

    /// Its root, as it is listed for egress.
    pub fn url(&self) -> String {
        format!("http://{}/server", self.0.address)
    }

    /// The URL of one of its tasks.
    pub fn task(&self, name: &str) -> String {
        format!("http://{}{SERVICES}/{}", self.0.address, resources::path_of(name))
    }

    /// The jobs that it was asked for, in order.
    pub fn submissions(&self) -> Vec<Submission> {
        self.0.state().jobs.submissions()
    }

    /// The most jobs of the task `Manage Scene Cache` that there were at once.
    pub fn most_cooks_at_once(&self) -> usize {
        self.0.state().jobs.most_cooks_at_once()
    }

    /// How long a job stays submitted, and then waits, from now on.
    pub fn set_queue(&self, submitted: Duration, waiting: Duration) {
        self.0.state().jobs.set_queue(submitted, waiting);
    }

    /// Forgets its jobs, as a server does hours after their end.
    pub fn forget_jobs(&self) {
        self.0.state().jobs.forget();
    }

    /// Answers requests wrongly whose paths have `path` in them: `times` of them, after `after` good ones.
    pub fn plan_fault(&self, path: &str, after: usize, times: usize, fault: Fault) {
        self.0.plan_fault(path, after, times, fault);
    }

    /// How many requests came whose paths have this in them.
    pub fn asked(&self, path: &str) -> usize {
        self.0.asked(path)
    }
}

async fn handle(state: Arc<Mutex<State>>, request: Request) -> Response {
    match asked::read(request, SERVICES).await {
        Some(asked) if matches!(asked.parameter("f"), Some("json" | "pjson")) => {
            answer(&mut lock(&state), &asked)
        }
        Some(_) => Html("<html><title>Geoprocessing</title></html>").into_response(),
        None => axum::http::StatusCode::NOT_FOUND.into_response(),
    }
}

fn answer(state: &mut State, asked: &Asked) -> Response {
    let answered = match &state.portal {
        Some(portal) => answers::caller(&lock(portal), asked).map(drop),
        None => Ok(()),
    };
    match answered.and_then(|()| resources::answer(&mut state.jobs, asked)) {
        Ok(document) => Json(document).into_response(),
        Err(refused) => refused.into_response(),
    }
}
