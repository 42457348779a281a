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
use serde_json::json;
use std::io;

pub use jobs::Submission;

use super::answers::{self, Refused};
use super::asked::{self, Asked};
use super::listening::{Listening, lock, meets_faults};
use super::portal::SimulatedPortal;
use super::state::State as PortalState;
use jobs::Jobs;

const INFO: &str = "/server/rest/info";
const SERVICES: &str = "/server/rest/services";

/// A simulated GIS server. Its tasks: `Buffer` (points and lines, really), `Slow` and `Stubborn` (`seconds`
/// long; the latter never listens to a cancel), `Broken`, `Silent` (no results), `Overlong` (the server ends it),
/// `Novel` (it has a status that clients do not know), `Late` (its results come after its success), `Instant`
/// (synchronous); and `Manage Scene Cache` of the scene caching controllers, for which there is no service `Missing` and the
/// service `Slow` takes its time. Dropped, it is gone.
pub struct SimulatedGpServer(Listening<State>);

meets_faults!(SimulatedGpServer);

#[derive(Default)]
struct State {
    jobs: Jobs,
    /// Whose tokens are wanted; none: nobody's.
    portal: Option<Arc<Mutex<PortalState>>>,
    /// Whether they must have been made for this server.
    strict: bool,
    /// The portal that it says it belongs to.
    owner: Option<String>,
    url: String,
    /// In order.
    tokens: Vec<String>,
}

impl SimulatedGpServer {
    /// A server whose tasks are everybody's.
    pub async fn start() -> io::Result<SimulatedGpServer> {
        let server = SimulatedGpServer(Listening::start(handle).await?);
        server.0.state().url = server.url();
        Ok(server)
    }

    /// Asks for tokens of this portal from now on, and takes the portal's own ones as well as those that were made
    /// for this server.
    pub fn federate(&self, portal: &SimulatedPortal) {
        portal.0.state().servers.insert(self.url());
        self.claim(&portal.url());
        self.0.state().portal = Some(Arc::clone(&portal.0.state));
    }

    /// The same, but takes only those that were made for this server.
    pub fn federate_strictly(&self, portal: &SimulatedPortal) {
        self.federate(portal);
        self.0.state().strict = true;
    }

    /// Asks for tokens of this portal and says nothing of it, as a stand-alone server.
    pub fn federate_silently(&self, portal: &SimulatedPortal) {
        self.federate(portal);
        self.0.state().owner = None;
    }

    /// Says that it belongs to the portal there.
    pub fn claim(&self, portal: &str) {
        self.0.state().owner = Some(portal.to_owned());
    }

    /// The tokens that came with requests, in order.
    pub fn tokens_seen(&self) -> Vec<String> {
        self.0.state().tokens.clone()
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
}

async fn handle(state: Arc<Mutex<State>>, request: Request) -> Response {
    if request.uri().path() == INFO {
        let owner = lock(&state).owner.clone();
        return Json(json!({"currentVersion": 11.3, "owningSystemUrl": owner})).into_response();
    }
    match asked::read(request, SERVICES).await {
        Some(asked) if matches!(asked.parameter("f"), Some("json" | "pjson")) => {
            answer(&mut lock(&state), &asked)
        }
        Some(_) => Html("<html><title>Geoprocessing</title></html>").into_response(),
        None => axum::http::StatusCode::NOT_FOUND.into_response(),
    }
}

fn answer(state: &mut State, asked: &Asked) -> Response {
    state.tokens.extend(asked.token.clone());
    let answered = match &state.portal {
        Some(portal) => state.admits(&lock(portal), asked),
        None => Ok(()),
    };
    match answered.and_then(|()| resources::answer(&mut state.jobs, asked)) {
        Ok(document) => Json(document).into_response(),
        Err(refused) => refused.into_response(),
    }
}

impl State {
    fn admits(&self, portal: &PortalState, asked: &Asked) -> Result<(), Refused> {
        match answers::caller_at(portal, asked, Some(&self.url)) {
            Err(_) if !self.strict => answers::caller(portal, asked).map(drop),
            answered => answered.map(drop),
        }
    }
}
