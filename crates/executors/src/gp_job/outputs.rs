//! What of a job's results is kept: what is short in the run's result, what is long as an artifact.

use std::time::Duration;

use bytes::Bytes;
use isochrone_arcgis::Error;
use isochrone_arcgis::gp::{GpResult, GpTask, Job, MessageKind};
use isochrone_domain::{AttemptEnd, LogStream, Reason};
use isochrone_worker::Attempt;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::handle::Handle;
use crate::remote::failed;

/// Of a value in the run's result.
const SHORT: usize = 4 << 10;
/// Of the run's result.
const LONGEST: usize = 32 << 10;
/// Results may come a little after their job's success; a tool that has none never has any.
const LOOKS: [Duration; 3] = [Duration::from_millis(250), Duration::from_millis(500), Duration::from_secs(1)];

/// The run's result, as JSON.
pub(super) async fn record(
    gp: &GpTask,
    attempt: &Attempt,
    handle: &Handle,
    mut job: Job,
) -> Result<String, AttemptEnd> {
    for pause in LOOKS {
        if !job.results.is_empty() {
            break;
        }
        tokio::time::sleep(pause).await;
        if let Ok(again) = gp.job(&handle.job_id).await {
            job = again;
        }
    }
    let mut outputs = Map::new();
    for name in &job.results {
        let output = match fetched(gp, &handle.job_id, name).await {
            Ok(result) => keep(attempt, name, result).await?,
            // The work is done: a result that can't be read does not undo it.
            Err(error) => unread(attempt, name, &error).await,
        };
        outputs.insert(name.clone(), output);
    }
    let warnings = job.messages.iter().filter(|message| message.kind == MessageKind::Warning).count();
    let whole =
        json!({"jobId": handle.job_id, "jobUrl": handle.job_url, "outputs": outputs, "warnings": warnings});
    let text = whole.to_string();
    if text.len() <= LONGEST {
        return Ok(text);
    }
    attempt.keep("results.json", "application/json", Bytes::from(text)).await.map_err(not_kept)?;
    let short = json!({"jobId": handle.job_id, "jobUrl": handle.job_url, "artifact": "results.json", "warnings": warnings});
    Ok(short.to_string())
}

/// A result, which may come a little after it is named.
async fn fetched(gp: &GpTask, job: &str, name: &str) -> Result<GpResult, Error> {
    for pause in LOOKS {
        if let Ok(result) = gp.result(job, name).await {
            return Ok(result);
        }
        tokio::time::sleep(pause).await;
    }
    gp.result(job, name).await
}

async fn keep(attempt: &Attempt, name: &str, result: GpResult) -> Result<Value, AttemptEnd> {
    let value = result.value.as_deref().map_or("null", RawValue::get);
    if value.len() <= SHORT {
        return Ok(serde_json::from_str(value).unwrap_or(Value::Null));
    }
    let file = format!("{}.json", file_name(name));
    let size = value.len();
    attempt.keep(&file, "application/json", Bytes::from(value.to_owned())).await.map_err(not_kept)?;
    Ok(json!({"dataType": result.data_type, "artifact": file, "bytes": size}))
}

async fn unread(attempt: &Attempt, name: &str, error: &Error) -> Value {
    let problem = format!("the result '{name}' can't be read: {error}");
    attempt.log(LogStream::System, &problem).await;
    json!({"error": shortened(&problem)})
}

/// A tool's name for a result, as far as it is good for a file.
fn file_name(name: &str) -> String {
    let plain =
        |letter: char| if letter.is_ascii_alphanumeric() || "-_".contains(letter) { letter } else { '_' };
    name.chars().take(64).map(plain).collect()
}

/// Text that is good for a run's result.
pub(super) fn shortened(text: &str) -> String {
    text.chars().take(SHORT).collect()
}

fn not_kept(error: isochrone_worker::NotKept) -> AttemptEnd {
    failed(Reason::Internal, &format!("a result could not be kept: {error}"))
}
