//! GPService in the dialect of OGC API - Processes.

use std::time::Duration;

use async_trait::async_trait;
use isochrone_arcgis::Error;
use isochrone_arcgis::jobs::submit::process::Executed;
use isochrone_arcgis::jobs::{JobState, JobStatus, Results, SubmitOutcome};
use isochrone_arcgis::ogc::{Execution, Process};
use isochrone_domain::{AttemptEnd, LogStream, Reason, process_parameters, public_url};
use isochrone_worker::Attempt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::declared;
use crate::remote::{bad_input, failed};
use crate::remote_job::{RemoteJob, Seen, UnknownWord, follow, is_there};
use crate::remote_results::{fetched, record};
use crate::submission::{self, not_begun, submit_until_known};
use crate::way_out::WayOut;

/// How long an answer is awaited that comes when all is done, once the run is to stop.
const AFTER_A_STOP: Duration = Duration::from_secs(5);

/// What attempts to come need to know.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Handle {
    /// There is a job.
    #[serde(rename = "ogcJob")]
    Job {
        /// Where.
        location: String,
    },
    /// The process was submitted, and its server has not answered: where a client waits for all of its work, that is
    /// most of the time.
    #[serde(rename = "ogcSubmission")]
    Submitted,
    /// Nothing has come of what was submitted.
    #[serde(rename = "ogcNotBegun")]
    NotBegun,
}

/// Carries out the attempt as a job of the process at `url`.
pub(super) async fn carry_out(
    way_out: &WayOut,
    attempt: &Attempt,
    url: &str,
    longest: Duration,
) -> Result<AttemptEnd, AttemptEnd> {
    let outbound = way_out.of(&attempt.task().owner).await?;
    let process = Process::new(outbound, url).map_err(|error| bad_input("taskURL", &error))?;
    let kept = submission::kept(attempt);
    let (location, at_hand) = if let Some(Handle::Job { location }) = kept {
        attempt.log(LogStream::System, format!("goes on with the job {}", public_url(&location))).await;
        (location, None)
    } else {
        if matches!(kept, Some(Handle::Submitted)) {
            submission::perhaps_begun_before(attempt).await?;
        }
        match begin(&process, attempt, longest).await? {
            Executed::Done(results) => return succeeded(attempt, results, None).await,
            Executed::Failed(words) => return Err(failed(Reason::ExecutionError, &words)),
            Executed::Job { location, at_hand } => (location, at_hand),
        }
    };
    let unknown = UnknownWord::default();
    let mut job = Following { process: &process, location: &location, at_hand, last: None, unknown };
    follow(&mut job, attempt).await
}

async fn succeeded(
    attempt: &Attempt,
    results: Results,
    location: Option<&str>,
) -> Result<AttemptEnd, AttemptEnd> {
    Ok(AttemptEnd::Succeeded { result: record(attempt, results, location).await? })
}

async fn begin(process: &Process, attempt: &Attempt, longest: Duration) -> Result<Executed, AttemptEnd> {
    let text = attempt.task().parameters.as_deref().unwrap_or("{}");
    let body =
        body(text).map_err(|why| AttemptEnd::SubmitFailed { reason: Reason::BadInput, result: why })?;
    if attempt.must_stop().is_some() {
        return Err(not_begun());
    }
    let nowhere = || std::future::ready(Ok(None));
    // A server may refuse its description and take jobs.
    let description = process.description().await.ok().flatten();
    // Who submitted it before has checked them.
    if attempt.run().handle.is_none() {
        match description.as_ref().and_then(process_parameters) {
            Some(declared) => declared::check(attempt, &declared).await?,
            None => declared::not_checked(attempt, "its server does not describe its inputs").await,
        }
    }
    let how = description.map_or(Execution::Either, |description| Execution::described(&description));
    let submit = async || {
        if let Err(error) = submission::note(attempt, &Handle::Submitted).await {
            return SubmitOutcome::NotBegun { error, retryable: true };
        }
        let outcome = process.execute(&body, how, longest).await;
        if matches!(outcome, SubmitOutcome::NotBegun { .. }) {
            // Where this is not kept, the next attempt knows less.
            drop(submission::note(attempt, &Handle::NotBegun).await);
        }
        outcome
    };
    let submitted = submit_until_known(attempt, submit, nowhere);
    let executed = Box::pin(within_the_run(attempt, submitted)).await?;
    let Executed::Job { location, at_hand } = executed else { return Ok(executed) };
    if let Some(results) = &at_hand
        && !is_there(attempt, || process.job(&location)).await
    {
        return Ok(Executed::Done(results.clone()));
    }
    attempt.log(LogStream::System, format!("submitted: {}", public_url(&location))).await;
    let handle = Handle::Job { location: location.clone() };
    submission::keep(attempt, &handle, &location, || process.dismiss(&location)).await?;
    Ok(Executed::Job { location, at_hand })
}

/// Awaits what may take as long as the run, and not much longer.
async fn within_the_run(
    attempt: &Attempt,
    submitted: impl Future<Output = Result<Executed, AttemptEnd>>,
) -> Result<Executed, AttemptEnd> {
    let mut submitted = Box::pin(submitted);
    let stopped = async {
        attempt.stopped().await;
        tokio::time::sleep(AFTER_A_STOP).await;
    };
    tokio::select! {
        executed = &mut submitted => executed,
        () = stopped => {
            let result = "it was stopped while its server was at work, which may go on there";
            attempt.log(LogStream::System, result).await;
            Err(failed(Reason::Cancelled, result))
        }
    }
}

/// A task's parameters are the process's inputs, or a whole request that has them.
fn body(parameters: &str) -> Result<Value, String> {
    let parameters: Value = serde_json::from_str(parameters)
        .map_err(|error| format!("'parameters': expected a JSON object: {error}"))?;
    match &parameters {
        Value::Object(fields) if fields.get("inputs").is_some_and(Value::is_object) => Ok(parameters),
        Value::Object(_) => Ok(json!({"inputs": parameters})),
        _ => Err("'parameters': expected a JSON object".to_owned()),
    }
}

/// A job as it is followed.
struct Following<'a> {
    process: &'a Process,
    location: &'a str,
    /// What came with the job's address: its results, where the job itself has none to give.
    at_hand: Option<Results>,
    last: Option<JobStatus>,
    unknown: UnknownWord,
}

#[async_trait]
impl RemoteJob for Following<'_> {
    fn url(&self) -> &str {
        self.location
    }

    async fn look(&mut self, attempt: &Attempt) -> Result<Seen, Error> {
        let job = self.process.job(self.location).await?;
        let status = job.status;
        self.unknown.note(attempt, &status.state).await;
        let message = status.message.clone().unwrap_or_default();
        let news = self.last.as_ref() != Some(&status);
        if news
            && !message.is_empty()
            && self.last.as_ref().and_then(|last| last.message.as_ref()) != status.message.as_ref()
        {
            attempt.log(LogStream::Stdout, &message).await;
        }
        let end = match status.state {
            JobState::Succeeded => {
                let results = || self.process.results(self.location, job.results.as_deref());
                let results = match (fetched(attempt, results).await, self.at_hand.take()) {
                    (none, Some(at_hand)) if none.parts.is_empty() => at_hand,
                    (results, _) => results,
                };
                succeeded(attempt, results, Some(self.location)).await.unwrap_or_else(|end| end)
            }
            JobState::Failed if message.is_empty() => {
                failed(Reason::ExecutionError, "the job failed and said nothing of why")
            }
            JobState::Failed => failed(Reason::ExecutionError, &message),
            JobState::TimedOut => failed(
                Reason::Timeout,
                &format!("the server ended the job: it took longer than it allows. {message}"),
            ),
            JobState::Cancelled => {
                let result = format!("the job was dismissed at its server. {message}");
                failed(Reason::Cancelled, result.trim_end())
            }
            _ => {
                if news {
                    attempt.progress(status.percent, message).await;
                }
                let again_in = status.retry_after;
                self.last = Some(status);
                return Ok(Seen::GoesOn { news, again_in });
            }
        };
        Ok(Seen::Ended(end))
    }

    async fn end(&mut self) -> Result<(), Error> {
        self.process.dismiss(self.location).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_inputs_or_have_them() {
        assert_eq!(body(r#"{"name":"x"}"#), Ok(json!({"inputs": {"name": "x"}})));
        let whole = r#"{"inputs":{"name":"x"},"response":"document"}"#;
        assert_eq!(body(whole), Ok(json!({"inputs": {"name": "x"}, "response": "document"})));
        assert!(body("[]").is_err() && body("x").is_err());
    }
}
