//! ExecuteNotebook at an ArcGIS Notebook Server: the item is executed there, as a job.

mod parameters;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use isochrone_arcgis::Error;
use isochrone_arcgis::jobs::JobState;
use isochrone_arcgis::notebook_server::{Execution, NotebookServer};
use isochrone_domain::{AttemptEnd, ItemId, LogStream, Reason, TaskType, public_url};
use isochrone_worker::{Attempt, Executor};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::declared;
use crate::notebook::Notebooks;
use crate::remote::{failed, refused};
use crate::remote_job::{RemoteJob, Seen, UnknownWord, follow};
use crate::submission::{self, not_begun, submit_until_known};
use crate::way_out::WayOut;
use parameters::Parameters;

/// Of the run's result.
const LONGEST: usize = 4 << 10;

/// Carries out ExecuteNotebook.
pub struct RemoteNotebook {
    way_out: WayOut,
    server: String,
    /// Where the notebooks can be read that the server executes.
    notebooks: Option<Arc<dyn Notebooks>>,
}

/// What finds a job again.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename = "notebookJob", rename_all = "camelCase")]
struct Handle {
    job_url: String,
}

impl RemoteNotebook {
    /// At the Notebook Server with this root, `https://host[:port][/context]`.
    pub fn new(way_out: WayOut, server: &str) -> RemoteNotebook {
        RemoteNotebook { way_out, server: server.to_owned(), notebooks: None }
    }

    /// With `notebooks`, against which parameters are checked before a job is begun.
    #[must_use]
    pub fn with_notebooks(self, notebooks: Arc<dyn Notebooks>) -> RemoteNotebook {
        RemoteNotebook { notebooks: Some(notebooks), ..self }
    }

    async fn carry_out(&self, attempt: &Attempt) -> Result<AttemptEnd, AttemptEnd> {
        let outbound = self.way_out.of(&attempt.task().owner).await?;
        let server = NotebookServer::new(outbound, &self.server).map_err(|error| refused(&error))?;
        let job_url = match submission::kept(attempt) {
            Some(Handle { job_url }) => {
                attempt
                    .log(LogStream::System, format!("goes on with the job {}", public_url(&job_url)))
                    .await;
                job_url
            }
            None => self.begin(&server, attempt).await?,
        };
        let unknown = UnknownWord::default();
        let mut job = Following { server: &server, job_url: &job_url, told: 0, state: None, unknown };
        follow(&mut job, attempt).await
    }

    /// Where the run's job is: found, if an earlier attempt has begun it, or begun.
    async fn begin(&self, server: &NotebookServer, attempt: &Attempt) -> Result<String, AttemptEnd> {
        let (task, run) = (attempt.task(), attempt.run());
        let wrong = |reason, result| AttemptEnd::SubmitFailed { reason, result };
        let item = task
            .item_id
            .ok_or_else(|| wrong(Reason::ItemMissing, "the task names no item to execute".to_owned()))?;
        let parameters = Parameters::read(task.parameters.as_deref())
            .map_err(|why| wrong(Reason::BadInput, format!("'parameters': {why}")))?;
        let execution = Execution {
            item: item.to_string(),
            parameters: parameters.own.as_deref(),
            save_parameters: parameters.save,
            update_item: parameters.update_item,
            task: task.id.to_string(),
            run: run.id.to_string(),
        };
        let find = || server.find(&execution.run);
        let found = if run.attempt > 1 { find().await.ok().flatten() } else { None };
        let job_url = match found {
            Some(job_url) => {
                attempt
                    .log(LogStream::System, format!("found the run's job: {}", public_url(&job_url)))
                    .await;
                job_url
            }
            None if attempt.must_stop().is_some() => return Err(not_begun()),
            None => {
                self.check_parameters(attempt, item).await?;
                submit_until_known(attempt, || server.execute(&execution), find).await?
            }
        };
        attempt.log(LogStream::System, format!("submitted: {}", public_url(&job_url))).await;
        let handle = Handle { job_url: job_url.clone() };
        submission::keep(attempt, &handle, &job_url, || server.cancel(&job_url)).await?;
        Ok(job_url)
    }

    /// Checks the task's parameters against the notebook, where it can be read here.
    async fn check_parameters(&self, attempt: &Attempt, item: ItemId) -> Result<(), AttemptEnd> {
        let Some(notebooks) = &self.notebooks else { return Ok(()) };
        match notebooks.content(item, &attempt.task().owner).await {
            Ok(Some((_, notebook))) => return declared::check_notebook(attempt, &notebook).await,
            Ok(None) => {
                declared::not_checked(attempt, "there is no such item that the task's owner may read").await;
            }
            Err(error) => declared::not_checked(attempt, &error.to_string()).await,
        }
        Ok(())
    }
}

/// A job as it is followed.
struct Following<'a> {
    server: &'a NotebookServer,
    job_url: &'a str,
    /// Messages that are in the log.
    told: usize,
    state: Option<JobState>,
    unknown: UnknownWord,
}

#[async_trait]
impl RemoteJob for Following<'_> {
    fn url(&self) -> &str {
        self.job_url
    }

    async fn look(&mut self, attempt: &Attempt) -> Result<Seen, Error> {
        let job = self.server.job(self.job_url).await?;
        self.unknown.note(attempt, &job.state).await;
        let said = &job.messages;
        for message in said.iter().skip(self.told) {
            attempt.log(LogStream::Stdout, message).await;
        }
        let news = self.state.as_ref() != Some(&job.state) || said.len() > self.told;
        (self.state, self.told) = (Some(job.state.clone()), self.told.max(said.len()));
        let last = |otherwise: &str| -> String {
            let last = said.last().or(job.message.as_ref()).map_or(otherwise, String::as_str);
            last.chars().take(LONGEST).collect()
        };
        let end = match job.state {
            JobState::Succeeded => AttemptEnd::Succeeded {
                result: json!({"backend": "notebookServer", "status": "succeeded", "jobUrl": self.job_url})
                    .to_string(),
            },
            JobState::Failed => {
                failed(Reason::ExecutionError, &last("the notebook failed; its server does not say why"))
            }
            JobState::TimedOut => {
                failed(Reason::Timeout, &last("the server ended the job: it took longer than it allows"))
            }
            JobState::Cancelled => failed(Reason::Cancelled, "the job was cancelled at its server"),
            _ => {
                if news {
                    attempt.progress(None, job.word.to_lowercase()).await;
                }
                return Ok(Seen::GoesOn { news, again_in: None });
            }
        };
        Ok(Seen::Ended(end))
    }

    async fn end(&mut self) -> Result<(), Error> {
        self.server.cancel(self.job_url).await
    }
}

#[async_trait]
impl Executor for RemoteNotebook {
    fn kind(&self) -> TaskType {
        TaskType::ExecuteNotebook
    }

    fn default_timeout(&self) -> Duration {
        Duration::from_hours(24)
    }

    async fn execute(&self, attempt: &Attempt) -> AttemptEnd {
        self.carry_out(attempt).await.unwrap_or_else(|end| end)
    }
}
