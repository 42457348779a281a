//! Any type, carried out by a server that takes jobs over plain HTTP: for what ArcGIS has no public API, such as
//! UpdateInsightsWorkbook.

use std::time::Duration;

use async_trait::async_trait;
use isochrone_arcgis::Error;
use isochrone_arcgis::http_job::{Begun, HttpJobs, Order, Status, Told};
use isochrone_domain::{AttemptEnd, LogStream, Reason, TaskType, public_url};
use isochrone_worker::{Attempt, Executor};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::remote::{LONGEST, SHORTEST, failed, is_passing, refused};
use crate::remote_job::{RemoteJob, Seen, follow, until_next_try};
use crate::submission;

/// How long a server may be away before an order is given up.
const NOT_TAKEN: Duration = Duration::from_mins(2);
/// Of the run's result.
const LONGEST_RESULT: usize = 32 << 10;

/// Carries out one type.
pub struct HttpJob {
    kind: TaskType,
    jobs: HttpJobs,
}

/// What finds a job again.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename = "httpJob", rename_all = "camelCase")]
struct Handle {
    location: String,
}

impl HttpJob {
    /// For runs of this type, at this server.
    pub fn new(kind: TaskType, jobs: HttpJobs) -> HttpJob {
        HttpJob { kind, jobs }
    }

    async fn carry_out(&self, attempt: &Attempt) -> Result<AttemptEnd, AttemptEnd> {
        let location = match submission::kept(attempt) {
            Some(Handle { location }) => {
                attempt
                    .log(LogStream::System, format!("goes on with the job {}", public_url(&location)))
                    .await;
                location
            }
            None => match self.begin(attempt).await? {
                Begun::Done(told) => return Ok(ended(told)),
                Begun::Job(location) => {
                    attempt.log(LogStream::System, format!("begun: {}", public_url(&location))).await;
                    let handle = Handle { location: location.clone() };
                    let handle = serde_json::to_string(&handle).expect("texts are JSON");
                    // Asked again, the server answers for the same job: a handle that is lost is found so.
                    if let Err(error) = attempt.checkpoint(&handle).await {
                        attempt
                            .log(LogStream::System, format!("the job's handle is not kept: {error}"))
                            .await;
                    }
                    location
                }
            },
        };
        let mut job = Following { jobs: &self.jobs, location: &location, last: Told::default() };
        follow(&mut job, attempt).await
    }

    /// Gives the order until the server has taken it: it knows it by the run.
    async fn begin(&self, attempt: &Attempt) -> Result<Begun, AttemptEnd> {
        let (task, run) = (attempt.task(), attempt.run());
        let parameters =
            task.parameters.as_deref().and_then(|text| serde_json::from_str::<&RawValue>(text).ok());
        let order = Order {
            kind: self.kind.name(),
            task_id: task.id.to_string(),
            run_id: run.id.to_string(),
            item_id: task.item_id.map(|item| item.to_string()),
            owner: &task.owner,
            parameters,
        };
        let (began, mut pause) = (Instant::now(), SHORTEST);
        let mut perhaps_taken = run.attempt > 1;
        loop {
            // An order that may have been taken is given again, so that its job can be ended.
            if attempt.must_stop().is_some() && !perhaps_taken {
                return Err(failed(Reason::Cancelled, "it was stopped before the server had taken it"));
            }
            match self.jobs.begin(&order).await {
                Ok(begun) => return Ok(begun),
                Err(error) if is_passing(&error) && began.elapsed() < NOT_TAKEN => {
                    attempt.log(LogStream::System, format!("not taken yet: {error}")).await;
                    // A busy server has turned it away.
                    perhaps_taken |= error.again_in().is_none();
                    until_next_try(attempt, &error, pause).await;
                }
                Err(error) => return Err(refused(&error)),
            }
            pause = (pause * 2).min(LONGEST);
        }
    }
}

/// A job as it is followed.
struct Following<'a> {
    jobs: &'a HttpJobs,
    location: &'a str,
    last: Told,
}

#[async_trait]
impl RemoteJob for Following<'_> {
    fn url(&self) -> &str {
        self.location
    }

    async fn look(&mut self, attempt: &Attempt) -> Result<Seen, Error> {
        let told = self.jobs.look(self.location).await?;
        if matches!(told.status, Some(Status::Succeeded | Status::Failed | Status::Cancelled)) {
            return Ok(Seen::Ended(ended(told)));
        }
        let (news, again_in) = (told != self.last, told.again_in);
        if news {
            let message = told.message.clone().unwrap_or_default();
            attempt.progress(told.progress.map(|percent| percent.min(100)), message).await;
        }
        self.last = told;
        Ok(Seen::GoesOn { news, again_in })
    }

    async fn end(&mut self) -> Result<(), Error> {
        self.jobs.end(self.location).await
    }
}

#[async_trait]
impl Executor for HttpJob {
    fn kind(&self) -> TaskType {
        self.kind
    }

    fn default_timeout(&self) -> Duration {
        Duration::from_hours(24)
    }

    async fn execute(&self, attempt: &Attempt) -> AttemptEnd {
        self.carry_out(attempt).await.unwrap_or_else(|end| end)
    }
}

/// How a job that has ended ends its run.
fn ended(told: Told) -> AttemptEnd {
    let said = match told.result {
        Some(Value::String(text)) => text,
        Some(value) => value.to_string(),
        None => told.message.unwrap_or_default(),
    };
    let result: String = said.chars().take(LONGEST_RESULT).collect();
    match told.status {
        Some(Status::Failed) => AttemptEnd::Failed { reason: Reason::ExecutionError, result },
        Some(Status::Cancelled) => AttemptEnd::Failed { reason: Reason::Cancelled, result },
        // What was done at once need not have a status.
        None | Some(Status::Accepted | Status::Running | Status::Succeeded) => {
            AttemptEnd::Succeeded { result }
        }
    }
}
