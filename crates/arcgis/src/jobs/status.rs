//! What a look at a job shows. The state alone decides; every other field is for show, and read on its own.

use std::time::Duration;

use serde_json::Value;

use super::fields::{field, first, is_named, unwrapped};
use super::response::JobResponse;
use super::state::{self, JobState};
use super::{handle, page, shown, submit, words, xml};
use crate::{Error, Result};

/// The longest text that can be a state in plain words.
const WORD: usize = 64;
/// Where a job has its words for people.
const MESSAGES: &[&str] = &[
    "message",
    "statusmessage",
    "statusdescription",
    "detail",
    "description",
    "reason",
    "exception",
    "messages",
];
/// What the document of a job has: one that has nothing else is none of results.
const FIELDS: &[&str] = &[
    "jobid",
    "id",
    "status",
    "state",
    "jobstatus",
    "type",
    "message",
    "progress",
    "percentcomplete",
    "created",
    "started",
    "finished",
    "updated",
    "links",
    "processid",
    "success",
    "code",
    "submitted",
    "statusurl",
    "joburl",
];

/// What a server says of a job.
#[derive(Clone, Debug, PartialEq)]
pub struct JobStatus {
    /// What it does.
    pub state: JobState,
    /// How far it is, 0 to 100.
    pub percent: Option<u8>,
    /// What it is at, or why it failed, for people.
    pub message: Option<String>,
    /// What it came to, where the server says that in the same document.
    pub result: Option<Value>,
    /// When the server wants to be asked again.
    pub retry_after: Option<Duration>,
    /// Whether only HTTP's status says so: 202 while it goes on, another one afterwards.
    pub by_http: bool,
}

impl JobStatus {
    /// Only that.
    pub(crate) fn of(state: JobState) -> JobStatus {
        JobStatus { state, percent: None, message: None, result: None, retry_after: None, by_http: false }
    }

    /// Of a response to a look at a job.
    pub(crate) fn read(response: &JobResponse) -> Result<JobStatus> {
        let retry_after = response.retry_after();
        let status = match read(response)? {
            Seen::Document(state, document) => JobStatus::of_document(state, &document),
            Seen::Words(status) => status,
        };
        Ok(JobStatus { retry_after, ..status })
    }

    /// The same where HTTP alone may say that the job goes on (202) and, `afterwards`, that it is done: then the
    /// response is what came of it.
    pub(crate) fn read_by_http(response: &JobResponse, afterwards: bool) -> Result<JobStatus> {
        match JobStatus::read(response) {
            Ok(status) if response.status == 202 && !status.state.has_ended() => {
                Ok(JobStatus { by_http: true, ..status })
            }
            Err(Error::Unreadable(_)) if afterwards && is_a_result(response) => {
                let result = response
                    .json()
                    .or_else(|| shown::text(&Value::String(response.text())).map(Value::String));
                Ok(JobStatus { result, by_http: true, ..JobStatus::of(JobState::Succeeded) })
            }
            status => status,
        }
    }

    /// Of a document that tells of this state.
    pub(crate) fn of_document(state: JobState, document: &Value) -> JobStatus {
        JobStatus {
            percent: unwrapped(document, &shown::percent),
            message: message(document),
            result: unwrapped(document, &|inner| first(inner, &["result", "output", "outputs"])).cloned(),
            retry_after: None,
            by_http: false,
            state,
        }
    }
}

/// Whether a response has something in the place of a state that is no page and no failure.
fn is_a_result(response: &JobResponse) -> bool {
    matches!(response.status, 200 | 204) && response.incomplete.is_none() && !page::is_page(response)
}

/// What a response says of a job.
enum Seen {
    /// Its state, and all that its server says of it.
    Document(JobState, Value),
    /// The same, in a text or XML.
    Words(JobStatus),
}

/// The state that a response to a look at a job tells of, and its document.
pub(crate) fn document(response: &JobResponse) -> Result<(JobState, Value)> {
    match read(response)? {
        Seen::Document(state, document) => Ok((state, document)),
        Seen::Words(_) => Err(Error::Unreadable(format!("it is no JSON object: {}", words::of(response)))),
    }
}

fn read(response: &JobResponse) -> Result<Seen> {
    if let Some(why) = &response.incomplete {
        return Err(why.clone().into());
    }
    let document = response.json();
    match document {
        Some(document @ (Value::Object(_) | Value::Array(_))) => of_json(response, document),
        _ if !response.is_success() => Err(submit::by_status(response)),
        Some(document) => {
            let word =
                document.as_str().map(JobState::read).filter(|state| !matches!(state, JobState::Unknown(_)));
            word.map(|state| Seen::Words(JobStatus::of(state))).ok_or_else(|| no_status(response))
        }
        None => of_text(response),
    }
}

fn of_json(response: &JobResponse, document: Value) -> Result<Seen> {
    let state = state::find(&document);
    // An error has an id, too, which is the request's.
    let any = response.is_success() || !tells_of_the_request(&document);
    let names_a_job = handle::id(&document, any).is_some();
    match state {
        // Some servers answer for a job that has failed with a status of HTTP that says so.
        Some(state) if names_a_job && !matches!(state, JobState::Unknown(_)) => {
            Ok(Seen::Document(state, document))
        }
        _ if !response.is_success() => Err(submit::by_status(response)),
        // `{"status": "error", "code": 404}` is about the request rather than about a job.
        Some(JobState::Failed) if tells_of_the_request(&document) => {
            Err(Error::told(words::failure(&document).unwrap_or_default()))
        }
        Some(state @ JobState::Unknown(_)) => match words::failure(&document) {
            Some(refusal) if !names_a_job => Err(Error::told(refusal)),
            _ => Ok(Seen::Document(state, document)),
        },
        Some(state) => Ok(Seen::Document(state, document)),
        None => match words::failure(&document) {
            Some(refusal) => Err(Error::told(refusal)),
            // It goes on, says HTTP.
            None if response.status == 202 => Ok(Seen::Document(JobState::Running, document)),
            None => Err(no_status(response)),
        },
    }
}

fn of_text(response: &JobResponse) -> Result<Seen> {
    let text = response.text();
    if response.is_empty() && response.status == 202 {
        return Ok(Seen::Words(JobStatus::of(JobState::Running)));
    }
    if page::is_page(response) {
        return Err(Error::Unreadable(format!("it is {}", words::of(response))));
    }
    if let Some(job) = xml::wps_job(&text)
        && let Some(state) = job.state
    {
        return Ok(Seen::Words(JobStatus {
            percent: job.percent,
            message: job.message,
            ..JobStatus::of(state)
        }));
    }
    let word = text.trim();
    match JobState::read(word) {
        JobState::Unknown(_) => Err(no_status(response)),
        _ if word.len() > WORD => Err(no_status(response)),
        state => Ok(Seen::Words(JobStatus::of(state))),
    }
}

fn no_status(response: &JobResponse) -> Error {
    Error::Unreadable(format!("it has no status of a job: {}", words::of(response)))
}

/// Whether a document that says "error" or "failed" is about the request: it has the code of one.
fn tells_of_the_request(document: &Value) -> bool {
    let word = field(document, "status").and_then(Value::as_str).unwrap_or_default();
    let envelope = word.is_empty()
        || ["error", "failed", "failure", "fail"].iter().any(|it| word.eq_ignore_ascii_case(it));
    let coded =
        |document: &Value| words::refusal(document).code.is_some_and(|code| (400..600).contains(&code));
    envelope && (coded(document) || field(document, "error").is_some_and(coded))
}

/// What a job says to people.
pub(crate) fn message(document: &Value) -> Option<String> {
    let own = |document: &Value| {
        let error = field(document, "error")
            .filter(|error| words::is_error(error))
            .and_then(|error| if error.is_object() { Some(refused(error)) } else { shown::text(error) });
        error.or_else(|| MESSAGES.iter().find_map(|name| shown::text(field(document, name)?)))
    };
    // With what is wrapped: a word of the response has nothing to say.
    unwrapped(document, &own)
}

fn refused(error: &Value) -> String {
    let refusal = words::refusal(error);
    [vec![refusal.message], refusal.details].concat().join(" ").trim().to_owned()
}

/// Whether a document that came with HTTP 2xx is that of a job rather than a result, which may have fields of the same
/// names.
pub(crate) fn tells_of_a_job(document: &Value) -> bool {
    let Some(fields) = document.as_object() else { return false };
    if matches!(state::find(document), None | Some(JobState::Unknown(_))) {
        return false;
    }
    let kind = field(document, "type").and_then(Value::as_str).unwrap_or_default();
    let wrapped = ["job", "statusinfo", "data", "operation"];
    handle::id(document, false).is_some()
        || kind.eq_ignore_ascii_case("process")
        || field(document, "processid").is_some()
        || fields.keys().all(|key| FIELDS.iter().chain(&wrapped).any(|name| is_named(key, name)))
}

/// The state that a document itself says it has: one that is known, and none of what is in it.
pub(crate) fn at_top(document: &Value) -> Option<JobState> {
    let words = ["jobstatus", "jobstate", "status"].iter().filter_map(|name| field(document, name)?.as_str());
    words.map(JobState::read).find(|state| !matches!(state, JobState::Unknown(_)))
}

/// The state that a whole body is, in one word that is known.
pub(crate) fn word(response: &JobResponse) -> Option<JobState> {
    if response.body.len() > WORD * 2 {
        return None;
    }
    let text = match response.json() {
        Some(Value::String(text)) => text,
        Some(_) => return None,
        None => response.text(),
    };
    Some(JobState::read(text.trim())).filter(|state| !matches!(state, JobState::Unknown(_)))
}

/// Whether a document has nothing but what tells of a job.
pub(crate) fn has_nothing_else(document: &Value) -> bool {
    document.as_object().is_some_and(|fields| {
        !fields.is_empty() && fields.keys().all(|key| FIELDS.iter().any(|name| is_named(key, name)))
    })
}

#[cfg(test)]
mod tests {
    use super::super::response::tests::response;
    use super::*;
    use serde_json::json;

    fn of(status: u16, document: &Value) -> Result<JobStatus> {
        JobStatus::read(&response(status, &[], document.to_string()))
    }

    #[test]
    fn no_field_hides_the_state() {
        for odd in [
            json!({"progress": 45.5}),
            json!({"progress": "45"}),
            json!({"progress": -1}),
            json!({"progress": 300}),
            json!({"progress": null}),
            json!({"progress": {}}),
            json!({"progress": []}),
            json!({"message": null}),
            json!({"message": {"en": "x"}}),
            json!({"message": 7}),
            json!({"message": ["a", null]}),
            json!({"messages": null}),
            json!({"messages": "x"}),
            json!({"messages": {"a": 1}}),
            json!({"links": 7}),
            json!({"links": {}}),
            json!({"results": []}),
            json!({"error": null}),
            json!({"error": {}}),
            json!({"created": 17}),
            json!({"jobID": 7}),
            json!({"jobID": null}),
            json!({"type": 1}),
        ] {
            for (word, expected) in [
                ("running", JobState::Running),
                ("successful", JobState::Succeeded),
                ("failed", JobState::Failed),
            ] {
                let mut document = odd.clone();
                document["status"] = json!(word);
                let read = of(200, &document).map(|status| status.state);
                assert_eq!(read, Ok(expected), "{document}");
            }
        }
    }

    #[test]
    fn what_is_no_status_is_an_error_with_the_servers_words() {
        for (status, body, expected) in [
            (404, "{\"title\":\"NoSuchJob\",\"detail\":\"It is gone.\"}", "It is gone."),
            (200, "{\"error\":{\"code\":400,\"message\":\"Unknown job.\"}}", "Unknown job."),
            (200, "{\"status\":\"error\",\"code\":404,\"messages\":[\"No such job.\"]}", "No such job."),
            (200, "<html><title>Restarting</title></html>", "Restarting"),
            (200, "{\"pages\":3}", "no status"),
            (200, "", "no status"),
            (503, "<html>x</html>", "503"),
            (404, "{\"id\":\"request-1\",\"status\":\"error\",\"code\":404,\"message\":\"No.\"}", "No."),
        ] {
            let error = JobStatus::read(&response(status, &[], body)).expect_err(body).to_string();
            assert!(error.contains(expected), "{body}: {error}");
        }
    }

    #[test]
    fn a_status_comes_in_many_shapes() {
        for (status, body, expected) in [
            (200, "\"running\"", JobState::Running),
            (200, "COMPLETED\n", JobState::Succeeded),
            (202, "", JobState::Running),
            (202, "{\"pages\":3}", JobState::Running),
            (500, "{\"jobID\":\"7\",\"status\":\"failed\",\"message\":\"x\"}", JobState::Failed),
            (
                200,
                "{\"status\":\"Failed\",\"error\":{\"code\":\"Conflict\",\"message\":\"x\"}}",
                JobState::Failed,
            ),
            (200, "<StatusInfo><Status>Succeeded</Status></StatusInfo>", JobState::Succeeded),
            (200, "{\"status\":\"running\",\"status\":\"successful\"}", JobState::Succeeded),
            (200, "{\"status\":\"running\",\"progress\":NaN}", JobState::Running),
            (200, "{\"status\":\"Failed: no data\"}", JobState::Failed),
        ] {
            let read = JobStatus::read(&response(status, &[], body)).map(|status| status.state);
            assert_eq!(read, Ok(expected), "{body}");
        }
    }
}
