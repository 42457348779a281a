//! GPService in the dialect of OGC API - Processes.

use async_trait::async_trait;
use bytes::Bytes;
use isochrone_arcgis::Error;
use isochrone_arcgis::ogc::{Executed, Job, JobStatus, Process};
use isochrone_domain::{AttemptEnd, LogStream, Reason, public_url};
use isochrone_worker::Attempt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::remote::{bad_input, failed};
use crate::remote_job::{RemoteJob, Seen, follow};
use crate::submission::{self, not_begun, submit_until_known};
use crate::way_out::WayOut;

/// Of the run's result.
const LONGEST: usize = 32 << 10;

/// What finds a job again.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename = "ogcJob", rename_all = "camelCase")]
struct Handle {
    location: String,
}

/// Carries out the attempt as a job of the process at `url`.
pub(super) async fn carry_out(
    way_out: &WayOut,
    attempt: &Attempt,
    url: &str,
) -> Result<AttemptEnd, AttemptEnd> {
    let outbound = way_out.of(&attempt.task().owner).await?;
    let process = Process::new(outbound, url).map_err(|error| bad_input("taskURL", &error))?;
    let location = match submission::kept(attempt) {
        Some(Handle { location }) => {
            attempt.log(LogStream::System, format!("goes on with the job {}", public_url(&location))).await;
            location
        }
        None => match begin(&process, attempt).await? {
            Executed::Done(results) => return record(attempt, None, results).await,
            Executed::Job(location) => location,
        },
    };
    follow(&mut Following { process: &process, location: &location, last: None }, attempt).await
}

async fn begin(process: &Process, attempt: &Attempt) -> Result<Executed, AttemptEnd> {
    let text = attempt.task().parameters.as_deref().unwrap_or("{}");
    let body =
        body(text).map_err(|why| AttemptEnd::SubmitFailed { reason: Reason::BadInput, result: why })?;
    if attempt.must_stop().is_some() {
        return Err(not_begun());
    }
    let nowhere = || std::future::ready(Ok(None));
    let executed = submit_until_known(attempt, || process.execute(&body), nowhere).await?;
    let Executed::Job(location) = &executed else { return Ok(executed) };
    attempt.log(LogStream::System, format!("submitted: {}", public_url(location))).await;
    let handle = Handle { location: location.clone() };
    submission::keep(attempt, &handle, location, || process.dismiss(location)).await?;
    Ok(executed)
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
    last: Option<Job>,
}

#[async_trait]
impl RemoteJob for Following<'_> {
    fn url(&self) -> &str {
        self.location
    }

    async fn look(&mut self, attempt: &Attempt) -> Result<Seen, Error> {
        let job = self.process.job(self.location).await?;
        let message = job.message.clone().unwrap_or_default();
        let news = self.last.as_ref() != Some(&job);
        if news
            && !message.is_empty()
            && self.last.as_ref().and_then(|last| last.message.as_ref()) != job.message.as_ref()
        {
            attempt.log(LogStream::Stdout, &message).await;
        }
        let end = match job.status {
            JobStatus::Accepted | JobStatus::Running => {
                if news {
                    attempt.progress(job.progress.map(|percent| percent.min(100)), message).await;
                }
                let again_in = job.again_in;
                self.last = Some(job);
                return Ok(Seen::GoesOn { news, again_in });
            }
            JobStatus::Successful => {
                let results = self.process.results(self.location).await?;
                record(attempt, Some(self.location), results).await.unwrap_or_else(|end| end)
            }
            JobStatus::Failed if message.is_empty() => {
                failed(Reason::ExecutionError, "the job failed and said nothing of why")
            }
            JobStatus::Failed => failed(Reason::ExecutionError, &message),
            JobStatus::Dismissed => failed(Reason::Cancelled, "the job was dismissed at its server"),
        };
        Ok(Seen::Ended(end))
    }

    async fn end(&mut self) -> Result<(), Error> {
        self.process.dismiss(self.location).await
    }
}

/// The run's result: what is long is an artifact.
async fn record(
    attempt: &Attempt,
    location: Option<&str>,
    results: String,
) -> Result<AttemptEnd, AttemptEnd> {
    let outputs = serde_json::from_str(&results).unwrap_or_else(|_| Value::String(results.clone()));
    let result = json!({"jobUrl": location, "outputs": outputs}).to_string();
    if result.len() <= LONGEST {
        return Ok(AttemptEnd::Succeeded { result });
    }
    let bytes = results.len();
    let kept = attempt.keep("results.json", "application/json", Bytes::from(results)).await;
    kept.map_err(|error| failed(Reason::Internal, &format!("the results could not be kept: {error}")))?;
    let result = json!({"jobUrl": location, "artifact": "results.json", "bytes": bytes}).to_string();
    Ok(AttemptEnd::Succeeded { result })
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
