//! What came of a job at another server, kept with its run: what is short in the run's result, the rest as artifacts.

use std::time::Duration;

use bytes::Bytes;
use isochrone_arcgis::Error;
use isochrone_arcgis::jobs::{Part, Results};
use isochrone_domain::{AttemptEnd, LogStream, Reason};
use isochrone_worker::Attempt;
use serde_json::{Map, Value, json};

use crate::remote::failed;

/// Of the run's result.
const LONGEST: usize = 32 << 10;
/// Of a text in it that is an artifact, too.
const SHORT: usize = 4 << 10;
/// Results may come a little after their job's success.
const LATE: [Duration; 4] =
    [Duration::from_millis(250), Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];

/// What `fetch` gives in the end. The work is done: what can't be read does not undo it, and is noted.
pub(crate) async fn fetched<F>(attempt: &Attempt, fetch: impl Fn() -> F) -> Results
where
    F: Future<Output = isochrone_arcgis::Result<Results>>,
{
    let mut pauses = LATE.iter();
    loop {
        let error: Error = match fetch().await {
            Ok(results) => return results,
            Err(error) => error,
        };
        match pauses.next() {
            Some(pause) if attempt.must_stop().is_none() => tokio::time::sleep(*pause).await,
            _ => return Results::missing(format!("the results can't be read: {error}")),
        }
    }
}

/// Keeps results, and gives the run's result, as JSON. `job_url`: where the job is, if there is one.
pub(crate) async fn record(
    attempt: &Attempt,
    results: Results,
    job_url: Option<&str>,
) -> Result<String, AttemptEnd> {
    let mut said = Map::from_iter([("jobUrl".to_owned(), json!(job_url))]);
    if let Some(note) = results.note {
        attempt.log(LogStream::System, &note).await;
        said.insert("note".to_owned(), json!(note));
    }
    if let [part] = &results.parts[..] {
        if let Some(outputs) = short_outputs(part) {
            said.insert("outputs".to_owned(), outputs);
        }
        if !(part.is_json() && said.contains_key("outputs")) {
            let (name, bytes) = (json!(part.name), json!(part.bytes.len()));
            let kind = json!(part.media_type);
            said.extend([
                ("artifact".to_owned(), name),
                ("bytes".to_owned(), bytes),
                ("mediaType".to_owned(), kind),
            ]);
            keep(attempt, part).await?;
        }
    } else if !results.parts.is_empty() {
        let mut artifacts = Vec::new();
        for part in &results.parts {
            keep(attempt, part).await?;
            artifacts.push(
                json!({"artifact": part.name, "mediaType": part.media_type, "bytes": part.bytes.len()}),
            );
        }
        said.insert("artifacts".to_owned(), Value::Array(artifacts));
    }
    Ok(Value::Object(said).to_string())
}

/// A part that can stand in the run's result: JSON, or a short text beside its artifact.
fn short_outputs(part: &Part) -> Option<Value> {
    if part.bytes.len() > LONGEST {
        return None;
    }
    let text = part.text()?;
    if part.name.ends_with("json") {
        return serde_json::from_str(text.trim_start_matches('\u{feff}')).ok();
    }
    (part.bytes.len() <= SHORT).then_some(Value::String(text))
}

async fn keep(attempt: &Attempt, part: &Part) -> Result<(), AttemptEnd> {
    let kept = attempt.keep(&part.name, &part.media_type, Bytes::from(part.bytes.clone())).await;
    kept.map_err(|error| failed(Reason::Internal, &format!("the results could not be kept: {error}")))
}
