//! What a job does, in whatever words its server says so.

use serde_json::Value;

use super::fields::{field, first, unwrapped};

/// What a job does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobState {
    /// It is in the queue.
    Accepted,
    /// It is at work, or it waits for something in mid-work.
    Running,
    /// It was told to end and has not yet.
    Cancelling,
    /// It is done.
    Succeeded,
    /// It failed.
    Failed,
    /// It took longer than its server allows.
    TimedOut,
    /// It was ended before it was done.
    Cancelled,
    /// The server's own word, which nobody knows: the job goes on, as far as one can tell.
    Unknown(String),
}

/// Fields that have the state, in the order in which they count.
const STATE_FIELDS: &[&str] = &[
    "jobstatus",
    "jobstate",
    "status",
    "state",
    "phase",
    "executionstatus",
    "runstatus",
    "lifecyclestate",
    "provisioningstate",
    "runtimestatus",
    "processstatus",
    "statusinfo",
    "currentstate",
];
/// Fields that say how a job that has ended did.
const VERDICTS: &[&str] =
    &["conclusion", "resultstate", "outcome", "result", "finalstatus", "exitstatus", "completionstatus"];

impl JobState {
    /// Whether nothing more comes of it.
    pub fn has_ended(&self) -> bool {
        use JobState::{Cancelled, Failed, Succeeded, TimedOut};
        matches!(self, Succeeded | Failed | TimedOut | Cancelled)
    }
}

/// The state that the document tells of, if it tells of one.
pub(crate) fn find(document: &Value) -> Option<JobState> {
    let at_top = here(document);
    match &at_top {
        Some(JobState::Unknown(_)) | None => {}
        // A word of the response rather than of the job, where the job's own is inside.
        Some(JobState::Succeeded) if is_of_the_response(document) => {}
        Some(_) => return at_top,
    }
    let inside = |document: &Value| here(document).filter(|state| !matches!(state, JobState::Unknown(_)));
    // The document itself is looked at, too: what is at its top has been weighed.
    let inside =
        unwrapped(document, &|inner| if std::ptr::eq(inner, document) { None } else { inside(inner) });
    inside.or(at_top)
}

/// Whether its `status` is the response's (`{"status": "success", "data": {...}}`).
fn is_of_the_response(document: &Value) -> bool {
    let word = field(document, "status").and_then(Value::as_str).unwrap_or_default();
    let has_result = field(document, "result").is_some_and(|result| !result.is_null());
    !has_result && ["ok", "success"].iter().any(|envelope| word.eq_ignore_ascii_case(envelope))
}

/// The state that the object's own fields tell of.
fn here(document: &Value) -> Option<JobState> {
    if !document.is_object() {
        return None;
    }
    let states = STATE_FIELDS.iter().filter_map(|name| field(document, name)).filter_map(state_of);
    let mut unknown = None;
    let mut found = None;
    for state in states {
        match state {
            JobState::Unknown(_) => unknown = unknown.or(Some(state)),
            known => {
                found = Some(known);
                break;
            }
        }
    }
    let found = found.or_else(|| by_flags(document)).or(unknown)?;
    Some(if found == JobState::Succeeded { judged(document) } else { found })
}

fn state_of(value: &Value) -> Option<JobState> {
    match value {
        Value::String(word) if !word.trim().is_empty() => Some(JobState::read(word)),
        // `"status": {"phase": "Running"}`, `"state": {"life_cycle_state": "TERMINATED", "result_state": "SUCCESS"}`.
        Value::Object(_) => {
            let verdict = first(value, VERDICTS).and_then(Value::as_str).map(JobState::read);
            let verdict = verdict.filter(JobState::has_ended);
            verdict.or_else(|| here(value)).or_else(|| {
                first(value, &["value", "name", "code", "text", "id", "#text"])
                    .and_then(Value::as_str)
                    .map(JobState::read)
                    .filter(|state| !matches!(state, JobState::Unknown(_)))
            })
        }
        _ => None,
    }
}

/// `"done": true`, `"building": false`.
fn by_flags(document: &Value) -> Option<JobState> {
    let flag = |name: &str| field(document, name).and_then(Value::as_bool);
    let done = ["done", "completed", "finished", "isdone", "isfinished", "iscompleted"]
        .iter()
        .find_map(|name| flag(name));
    match (done, flag("building").or_else(|| flag("running"))) {
        (Some(true), _) => Some(JobState::Succeeded),
        (Some(false), _) | (None, Some(true)) => Some(JobState::Running),
        (None, Some(false)) => {
            first(document, VERDICTS).and_then(Value::as_str).map(JobState::read).filter(JobState::has_ended)
        }
        (None, None) => None,
    }
}

/// What "completed" came to: some servers say apart whether it went well.
fn judged(document: &Value) -> JobState {
    let verdicts = VERDICTS.iter().filter_map(|name| field(document, name)?.as_str()).map(JobState::read);
    if let Some(bad) = verdicts.filter(JobState::has_ended).find(|state| *state != JobState::Succeeded) {
        return bad;
    }
    let flag = |name: &str| field(document, name).and_then(Value::as_bool);
    let failed = flag("success") == Some(false) || flag("ok") == Some(false) || flag("failed") == Some(true);
    let cancelled = flag("cancelled") == Some(true) || flag("iscancelled") == Some(true);
    let error = field(document, "error").is_some_and(super::words::is_error);
    match (cancelled, failed || error) {
        (true, _) => JobState::Cancelled,
        (false, true) => JobState::Failed,
        (false, false) => JobState::Succeeded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_state_is_found_wherever_it_is() {
        use JobState::{Cancelled, Failed, Running, Succeeded};
        for (document, expected) in [
            (json!({"status": "running"}), Some(Running)),
            (json!({"Status": "RUNNING"}), Some(Running)),
            (json!({"status": "success", "data": {"status": "running"}}), Some(Running)),
            (json!({"status": "ok"}), Some(Succeeded)),
            (json!({"job": {"jobStatus": "esriJobExecuting"}}), Some(Running)),
            (json!({"status": {"phase": "Running"}}), Some(Running)),
            (
                json!({"state": {"life_cycle_state": "TERMINATED", "result_state": "SUCCESS"}}),
                Some(Succeeded),
            ),
            (json!({"status": "completed", "conclusion": "failure"}), Some(Failed)),
            (json!({"status": "completed", "conclusion": "success"}), Some(Succeeded)),
            (json!({"building": true, "result": null}), Some(Running)),
            (json!({"building": false, "result": "ABORTED"}), Some(Cancelled)),
            (json!({"done": true, "response": {}}), Some(Succeeded)),
            (json!({"done": true, "error": {"code": 3, "message": "no"}}), Some(Failed)),
            (json!({"done": false}), Some(Running)),
            (json!({"status": "finished", "success": false}), Some(Failed)),
            (json!({"status": 200, "state": "running"}), Some(Running)),
            (json!({"status": null, "jobStatus": "failed"}), Some(Failed)),
            (json!({"properties": {"provisioningState": "Succeeded"}}), Some(Succeeded)),
            (json!({"result": 7}), None),
            (json!([1, 2]), None),
        ] {
            assert_eq!(find(&document), expected, "{document}");
        }
    }
}
