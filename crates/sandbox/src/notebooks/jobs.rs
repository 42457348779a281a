//! The jobs of a simulated Notebook Server.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::task::JoinHandle;

use crate::asked::Asked;
use crate::listening::lock;
use crate::state::State as PortalState;

const PROGRAM: &str = include_str!("execute.py");

#[derive(Default)]
pub(super) struct Jobs {
    known: Vec<Job>,
}

struct Job {
    id: String,
    inputs: Value,
    user: String,
    outcome: Arc<Mutex<Outcome>>,
    cancelled: bool,
    work: JoinHandle<()>,
}

#[derive(Clone, Default)]
enum Outcome {
    #[default]
    None,
    Completed,
    Failed(String),
}

/// What a job executes.
pub(super) struct Executing {
    pub(super) python: PathBuf,
    pub(super) notebook: String,
    pub(super) parameters: Value,
    pub(super) save: bool,
    /// The item that becomes what was executed, and its portal.
    pub(super) item: Option<(Arc<Mutex<PortalState>>, String)>,
}

impl Jobs {
    pub(super) fn runs(&self) -> Vec<String> {
        self.known.iter().map(|job| job.inputs["runId"].as_str().unwrap_or_default().to_owned()).collect()
    }

    pub(super) fn cancelled(&self) -> usize {
        self.known.iter().filter(|job| job.cancelled).count()
    }

    pub(super) fn begin(&mut self, executing: Executing, asked: &Asked, user: &str) -> String {
        let id = format!("j{:032x}", self.known.len() + 1);
        let outcome = Arc::<Mutex<Outcome>>::default();
        let result = Arc::clone(&outcome);
        let work = tokio::spawn(async move { *lock(&result) = executing.execute().await });
        let input = |name: &str| asked.parameter(name).unwrap_or_default();
        let inputs = json!({
            "itemId": input("itemId"), "taskId": input("taskId"), "runId": input("runId"),
            "updatePortalItem": input("updatePortalItem"), "notebookParameters": input("notebookParameters"),
            "saveInjectedParameters": input("saveInjectedParameters"),
        });
        let user = user.to_owned();
        self.known.push(Job { id: id.clone(), inputs, user, outcome, cancelled: false, work });
        id
    }

    pub(super) fn list(&self) -> Value {
        let jobs: Vec<Value> = self.known.iter().rev().map(Job::show).collect();
        json!({"asyncJobs": jobs})
    }

    pub(super) fn show(&self, id: &str) -> Option<Value> {
        self.known.iter().find(|job| job.id == id).map(Job::show)
    }

    /// Whether there is such a job.
    pub(super) fn cancel(&mut self, id: &str) -> bool {
        let Some(job) = self.known.iter_mut().find(|job| job.id == id) else { return false };
        if !job.work.is_finished() {
            job.cancelled = true;
            job.work.abort();
        }
        true
    }
}

impl Job {
    fn show(&self) -> Value {
        let (status, messages) = match &*lock(&self.outcome) {
            _ if self.cancelled => ("FAILED", vec!["The job was cancelled.".to_owned()]),
            Outcome::None => ("PROCESSING", vec!["Executing the notebook.".to_owned()]),
            Outcome::Completed => {
                ("COMPLETED", vec!["Executing the notebook.".to_owned(), "Done.".to_owned()])
            }
            Outcome::Failed(why) => ("FAILED", vec!["Executing the notebook.".to_owned(), why.clone()]),
        };
        json!({
            "jobId": self.id, "type": "executeNotebook", "status": status, "messages": messages, "inputs": self.inputs,
            "username": self.user, "customAttributes": {"isCancelled": self.cancelled},
        })
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.work.abort();
    }
}

impl Executing {
    async fn execute(self) -> Outcome {
        let ran = match self.run().await {
            Ok(ran) => ran,
            Err(error) => return Outcome::Failed(format!("The notebook's container failed: {error}")),
        };
        if let (Some((portal, item)), Some(executed)) = (&self.item, ran["notebook"].as_str())
            && let Some(item) = lock(portal).items.get_mut(item)
        {
            item.data = executed.as_bytes().to_vec();
        }
        ran["failure"].as_str().map_or(Outcome::Completed, |why| Outcome::Failed(why.to_owned()))
    }

    async fn run(&self) -> std::io::Result<Value> {
        let mut child = Command::new(&self.python)
            .args(["-I", "-c", PROGRAM])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let job = json!({"notebook": self.notebook, "parameters": self.parameters, "save": self.save});
        if let Some(mut input) = child.stdin.take() {
            input.write_all(job.to_string().as_bytes()).await?;
        }
        let output = child.wait_with_output().await?;
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}
