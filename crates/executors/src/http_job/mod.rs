//! Any type, carried out by a server that takes jobs over plain HTTP: for what ArcGIS has no public API, such as
//! UpdateInsightsWorkbook.

use std::time::Duration;

use async_trait::async_trait;
use isochrone_arcgis::Error;
use isochrone_arcgis::http_job::{Begun, HttpJobs, Order, Status, Told};
use isochrone_domain::{AttemptEnd, LogStream, Reason, TaskType};
use isochrone_worker::{Attempt, Executor};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep};

use crate::remote::{Away, LONGEST, Next, PATIENCE, SHORTEST, failed, is_passing, next, refused, still_runs};

/// What a server may ask for.
const LONGEST_ASKED: Duration = Duration::from_mins(5);
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
        let handle =
            attempt.run().handle.as_deref().and_then(|text| serde_json::from_str::<Handle>(text).ok());
        let location = match handle {
            Some(Handle { location }) => {
                attempt.log(LogStream::System, format!("goes on with the job {location}")).await;
                location
            }
            None => match self.begin(attempt).await? {
                Begun::Done(told) => return ended(told),
                Begun::Job(location) => {
                    attempt.log(LogStream::System, format!("begun: {location}")).await;
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
        self.follow(attempt, &location).await
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
        loop {
            if attempt.must_stop().is_some() {
                return Err(failed(Reason::Cancelled, "it was stopped before the server had taken it"));
            }
            match self.jobs.begin(&order).await {
                Ok(begun) => return Ok(begun),
                Err(error) if error.may_pass() && began.elapsed() < NOT_TAKEN => {
                    attempt.log(LogStream::System, format!("not taken yet: {error}")).await;
                }
                Err(error) => return Err(refused(&error)),
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST);
        }
    }

    async fn follow(&self, attempt: &Attempt, location: &str) -> Result<AttemptEnd, AttemptEnd> {
        let (mut pause, mut last, mut away) = (SHORTEST, Told::default(), Away::default());
        loop {
            match next(attempt, pause).await {
                Next::Look => {}
                Next::GiveBack => return Ok(AttemptEnd::GivenBack),
                Next::End => return self.end(attempt, location).await,
            }
            match self.jobs.look(location).await {
                Ok(told) => {
                    away.is_back();
                    if matches!(told.status, Status::Succeeded | Status::Failed | Status::Cancelled) {
                        return ended(told);
                    }
                    let asked = told.again_in.map(|asked| asked.min(LONGEST_ASKED));
                    let news = told != last;
                    if news {
                        let message = told.message.clone().unwrap_or_default();
                        attempt.progress(told.progress.map(|percent| percent.min(100)), message).await;
                    }
                    let usual = if news { SHORTEST } else { pause.mul_f32(1.5).min(LONGEST) };
                    pause = asked.unwrap_or(usual);
                    last = told;
                }
                Err(error) if is_passing(&error) => {
                    away.is_away(attempt, &error, location).await?;
                    pause = pause.mul_f32(1.5).min(LONGEST);
                }
                Err(error) => {
                    let result = format!("the job is gone, and nobody knows how it ended: {error}");
                    return Err(failed(Reason::SubmissionUnknown, &result));
                }
            }
        }
    }

    /// Ends the job and waits for that a little.
    async fn end(&self, attempt: &Attempt, location: &str) -> Result<AttemptEnd, AttemptEnd> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Err(error) = self.jobs.end(location).await {
                attempt.log(LogStream::System, format!("the job is not ended yet: {error}")).await;
            }
            match self.jobs.look(location).await {
                Ok(told) if matches!(told.status, Status::Accepted | Status::Running) => {}
                Ok(told) => return ended(told),
                // It is gone: that is what was wanted.
                Err(Error::Refused(_)) => return Err(failed(Reason::Cancelled, "the job was ended")),
                Err(_) => {}
            }
            sleep(SHORTEST / 2).await;
        }
        Err(still_runs(attempt, location).await)
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
fn ended(told: Told) -> Result<AttemptEnd, AttemptEnd> {
    let said = match told.result {
        Some(Value::String(text)) => text,
        Some(value) => value.to_string(),
        None => told.message.unwrap_or_default(),
    };
    let result: String = said.chars().take(LONGEST_RESULT).collect();
    match told.status {
        Status::Failed => Err(AttemptEnd::Failed { reason: Reason::ExecutionError, result }),
        Status::Cancelled => Err(AttemptEnd::Failed { reason: Reason::Cancelled, result }),
        Status::Accepted | Status::Running | Status::Succeeded => Ok(AttemptEnd::Succeeded { result }),
    }
}
