//! Any type, carried out by a server that takes jobs over plain HTTP: for what ArcGIS has no public API, such as
//! UpdateInsightsWorkbook.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use isochrone_arcgis::Error;
use isochrone_arcgis::http_job::{HttpJobs, Order};
use isochrone_arcgis::jobs::submit::order::Ordered;
use isochrone_arcgis::jobs::{JobState, JobStatus, Results, SubmitOutcome};
use isochrone_domain::{AttemptEnd, LogStream, Reason, TaskType, public_url};
use isochrone_worker::{Attempt, Executor};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::remote::{LONGEST, SHORTEST, failed, refused};
use crate::remote_job::{RemoteJob, Seen, UnknownWord, follow, is_there, until_next_try};
use crate::remote_results::record;
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
            None => match self.begun(attempt).await? {
                Ordered::Done(status, results) => return at_once(attempt, status, results).await,
                Ordered::Job { location, .. } => {
                    attempt.log(LogStream::System, format!("begun: {}", public_url(&location))).await;
                    let handle = Handle { location: location.clone() };
                    let handle = serde_json::to_string(&handle).expect("texts are JSON");
                    // Asked again, the server answers for the same job: a handle that is lost is found so.
                    if let Err(error) = submission::store_handle(attempt, &handle).await {
                        attempt
                            .log(LogStream::System, format!("the job's handle is not kept: {error}"))
                            .await;
                    }
                    location
                }
            },
        };
        let unknown = UnknownWord::default();
        let mut job = Following { jobs: &self.jobs, location: &location, last: None, unknown };
        follow(&mut job, attempt).await
    }

    /// What has begun. A server that names a job which is not there has said how the order ended.
    async fn begun(&self, attempt: &Attempt) -> Result<Ordered, AttemptEnd> {
        match self.begin(attempt).await? {
            Ordered::Job { location, at_hand: Some(done) } => {
                let look = || self.jobs.look(&location, false);
                let there = is_there(attempt, look).await;
                Ok(if there { Ordered::Job { location, at_hand: None } } else { *done })
            }
            ordered => Ok(ordered),
        }
    }

    /// Gives the order until the server has taken it: it knows it by the run. What it has taken is not ordered again.
    async fn begin(&self, attempt: &Attempt) -> Result<Ordered, AttemptEnd> {
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
            attempt.trust().there().await;
            // An order that may have been taken is given again, so that its job can be ended.
            if attempt.must_stop().is_some() && !perhaps_taken {
                return Err(failed(Reason::Cancelled, "it was stopped before the server had taken it"));
            }
            let in_time = began.elapsed() < NOT_TAKEN;
            let error = match self.jobs.begin(&order).await {
                SubmitOutcome::Begun(ordered) => return Ok(ordered),
                SubmitOutcome::BegunWithoutHandle(words) => {
                    return Err(failed(Reason::SubmissionUnknown, &submission::lost_track(&words)));
                }
                SubmitOutcome::NotBegun { error, retryable } => {
                    // It works on the same order still, which was given before.
                    let at_work =
                        perhaps_taken && matches!(&error, Error::Refused(why) if why.code == Some(409));
                    let too_late = began.elapsed() + error.again_in().unwrap_or_default() > NOT_TAKEN;
                    if !(retryable || at_work) || !in_time || (too_late && !perhaps_taken) {
                        return Err(refused(&error));
                    }
                    error
                }
                SubmitOutcome::Unknown(error) if in_time => {
                    perhaps_taken = true;
                    error
                }
                SubmitOutcome::Unknown(error) => {
                    return Err(failed(Reason::SubmissionUnknown, &submission::unknown(&error)));
                }
            };
            attempt.log(LogStream::System, format!("not taken yet: {error}")).await;
            until_next_try(attempt, &error, pause).await;
            pause = (pause * 2).min(LONGEST);
        }
    }
}

/// A job as it is followed.
struct Following<'a> {
    jobs: &'a HttpJobs,
    location: &'a str,
    last: Option<JobStatus>,
    unknown: UnknownWord,
}

#[async_trait]
impl RemoteJob for Following<'_> {
    fn url(&self) -> &str {
        self.location
    }

    async fn look(&mut self, attempt: &Attempt) -> Result<Seen, Error> {
        let goes_on = self.last.as_ref().is_some_and(|last| last.by_http);
        let status = self.jobs.look(self.location, goes_on).await?;
        self.unknown.note(attempt, &status.state).await;
        if status.state.has_ended() {
            return Ok(Seen::Ended(ended(attempt, status, Some(self.location)).await));
        }
        let (news, again_in) = (self.last.as_ref() != Some(&status), status.retry_after);
        if news {
            attempt.progress(status.percent, status.message.clone().unwrap_or_default()).await;
        }
        self.last = Some(status);
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

/// How what was done at once ends its run.
async fn at_once(
    attempt: &Attempt,
    status: JobStatus,
    results: Option<Results>,
) -> Result<AttemptEnd, AttemptEnd> {
    match results {
        Some(results) if status.state == JobState::Succeeded => {
            let result = record(attempt, results, None).await?;
            Ok(AttemptEnd::Succeeded { result: status.message.unwrap_or(result) })
        }
        _ => Ok(ended(attempt, status, None).await),
    }
}

/// How a job that has ended ends its run.
async fn ended(attempt: &Attempt, status: JobStatus, location: Option<&str>) -> AttemptEnd {
    let told = match status.result {
        Some(Value::String(text)) => Some(text),
        // What a failed job came to is not why.
        Some(value) if status.state == JobState::Succeeded || status.message.is_none() => {
            Some(value.to_string())
        }
        _ => None,
    };
    let said = told.or(status.message).unwrap_or_default();
    let result: String = said.chars().take(LONGEST_RESULT).collect();
    if result.len() < said.len() {
        let whole = Bytes::from(said);
        let line = match attempt.keep("result.txt", "text/plain; charset=utf-8", whole).await {
            Ok(()) => "the result is longer than what is shown: it is kept as result.txt".to_owned(),
            Err(error) => format!("the result is longer than what is shown, and could not be kept: {error}"),
        };
        attempt.log(LogStream::System, line).await;
    }
    let otherwise = |words: &str| match (result.is_empty(), location) {
        (false, _) => result.clone(),
        (true, Some(location)) => format!("{words} ({})", public_url(location)),
        (true, None) => words.to_owned(),
    };
    match status.state {
        JobState::Succeeded => AttemptEnd::Succeeded { result },
        JobState::Cancelled => failed(Reason::Cancelled, &otherwise("the job was ended at its server")),
        JobState::TimedOut => {
            failed(Reason::Timeout, &otherwise("the server ended the job: it took longer than it allows"))
        }
        _ => failed(Reason::ExecutionError, &otherwise("the job failed and said nothing of why")),
    }
}
