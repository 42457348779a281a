//! A simulated ArcGIS Notebook Server on a free port: it really executes a portal's notebooks, with faults on demand.

mod jobs;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::Json;
use axum::extract::Request;
use axum::response::{Html, IntoResponse, Response};
use serde_json::{Value, json};

use super::answers::{self, Refused};
use super::asked::{self, Asked};
use super::listening::{Listening, lock, meets_faults};
use super::portal::SimulatedPortal;
use super::state::State as PortalState;
use jobs::{Executing, Jobs};

const ROOT: &str = "/notebooks/admin";
const NO_JOB: Refused = Refused(404, "The job does not exist.");

/// A simulated Notebook Server of a portal. Dropped, it is gone, and so is what it executes.
pub struct SimulatedNotebookServer(Listening<State>);

meets_faults!(SimulatedNotebookServer);

#[derive(Default)]
struct State {
    jobs: Jobs,
    /// Whose notebooks it executes.
    portal: Arc<Mutex<PortalState>>,
    /// With nbclient and ipykernel.
    python: PathBuf,
    /// How it says where its jobs are.
    root: String,
}

impl SimulatedNotebookServer {
    /// A server of this portal's that executes notebooks with this Python, which needs nbclient and ipykernel.
    pub async fn start(portal: &SimulatedPortal, python: PathBuf) -> io::Result<SimulatedNotebookServer> {
        let server = SimulatedNotebookServer(Listening::start(handle).await?);
        let root = format!("http://{}{ROOT}", server.0.address);
        {
            let mut state = server.0.state();
            state.portal = Arc::clone(&portal.0.state);
            (state.python, state.root) = (python, root);
        }
        Ok(server)
    }

    /// Its root, as it is configured and listed for egress.
    pub fn url(&self) -> String {
        format!("http://{}/notebooks", self.0.address)
    }

    /// The runs that jobs were begun for, in order.
    pub fn runs(&self) -> Vec<String> {
        self.0.state().jobs.runs()
    }

    /// How many jobs were cancelled.
    pub fn cancelled(&self) -> usize {
        self.0.state().jobs.cancelled()
    }

    /// Forgets its jobs, as some servers do once they have ended.
    pub fn forget_jobs(&self) {
        self.0.state().jobs = Jobs::default();
    }
}

async fn handle(state: Arc<Mutex<State>>, request: Request) -> Response {
    match asked::read(request, ROOT).await {
        Some(asked) if asked.parameter("f") == Some("json") => match answer(&mut lock(&state), &asked) {
            Ok(document) => Json(document).into_response(),
            Err(refused) => refused.into_response(),
        },
        Some(_) => Html("<html><title>Notebook Server</title></html>").into_response(),
        None => axum::http::StatusCode::NOT_FOUND.into_response(),
    }
}

fn answer(state: &mut State, asked: &Asked) -> Result<Value, Refused> {
    let (name, _) = answers::caller(&lock(&state.portal), asked)?;
    let path: Vec<&str> = asked.path.iter().map(String::as_str).collect();
    match path[..] {
        ["notebooks", "executeNotebook"] if asked.post => execute(state, asked, &name),
        ["system", "jobs"] => Ok(state.jobs.list()),
        ["system", "jobs", id] => state.jobs.show(id).ok_or(NO_JOB),
        ["system", "jobs", id, "cancel"] if asked.post => {
            state.jobs.cancel(id).then(|| json!({"status": "success"})).ok_or(NO_JOB)
        }
        _ => Err(Refused(404, "There is no such resource or operation.")),
    }
}

fn execute(state: &mut State, asked: &Asked, user: &str) -> Result<Value, Refused> {
    let item = asked.parameter("itemId").ok_or(Refused(400, "'itemId' is missing."))?;
    let parameters = asked.parameter("notebookParameters").unwrap_or("{}");
    let parameters: Value = serde_json::from_str(parameters)
        .map_err(|_| Refused(400, "'notebookParameters' is no JSON object."))?;
    let notebook = answers::readable(&lock(&state.portal), asked, item)?.data;
    let executing = Executing {
        python: state.python.clone(),
        notebook: String::from_utf8_lossy(&notebook).into_owned(),
        parameters,
        save: asked.parameter("saveInjectedParameters") == Some("true"),
        // The item becomes what was executed.
        item: (asked.parameter("updatePortalItem") != Some("false"))
            .then(|| (Arc::clone(&state.portal), item.to_owned())),
    };
    let id = state.jobs.begin(executing, asked, user);
    Ok(json!({"status": "success", "jobId": id, "jobUrl": format!("{}/system/jobs/{id}", state.root)}))
}
