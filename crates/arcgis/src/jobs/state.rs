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

const ACCEPTED: &[&str] = &[
    "accepted",
    "queued",
    "pending",
    "waiting",
    "submitted",
    "submitting",
    "scheduled",
    "created",
    "new",
    "ready",
    "received",
    "registered",
    "enqueued",
    "inqueue",
    "notstarted",
    "runnable",
    "starting",
    "requested",
    "deferred",
    "initializing",
    "initialising",
    "initialized",
    "init",
    "held",
    "hold",
    "onhold",
    "blocked",
    "delayed",
    "planned",
    "idle",
    "wait",
];
const RUNNING: &[&str] = &[
    "running",
    "executing",
    "inprogress",
    "processing",
    "started",
    "active",
    "working",
    "busy",
    "partial",
    "paused",
    "pausing",
    "resuming",
    "retrying",
    "upforretry",
    "upforreschedule",
    "restarting",
    "finalizing",
    "finalising",
    "finishing",
    "completing",
    "pulled",
    "ongoing",
    "building",
    "preparing",
    "staging",
    "suspended",
    "publishing",
    "uploading",
    "downloading",
    "failing",
    "run",
    "exec",
    "execution",
];
const CANCELLING: &[&str] = &[
    "cancelling",
    "canceling",
    "deleting",
    "aborting",
    "terminating",
    "stopping",
    "dismissing",
    "cancelrequested",
];
const SUCCEEDED: &[&str] = &[
    "succeeded",
    "successful",
    "success",
    "succeed",
    "completed",
    "complete",
    "done",
    "finished",
    "ok",
    "passed",
    "executed",
    "successfully",
    "completedsuccessfully",
    "finishedsuccessfully",
    "succeededwithwarnings",
    "completedwithwarnings",
    "completedwithwarning",
    "ended",
];
const FAILED: &[&str] = &[
    "failed",
    "failure",
    "error",
    "errored",
    "fail",
    "fault",
    "faulted",
    "exception",
    "crashed",
    "upstreamfailed",
    "unsuccessful",
    "invalid",
    "rejected",
    "refused",
    "notbuilt",
    "unstable",
    "expectedfailure",
    "outofmemory",
    "oomkilled",
    "denied",
    "lost",
    "partialsucceeded",
    "partiallysucceeded",
    "partialsuccess",
    "partiallycompleted",
    "completedwitherrors",
    "completedwitherror",
    "finishedwitherrors",
    "ko",
    "nok",
    "broken",
    "unsuccessfully",
];
const TIMED_OUT: &[&str] = &["timedout", "timeout", "expired", "deadlineexceeded", "exceededtimelimit"];
const CANCELLED: &[&str] = &[
    "cancelled",
    "canceled",
    "cancel",
    "dismissed",
    "aborted",
    "abort",
    "terminated",
    "killed",
    "revoked",
    "stopped",
    "deleted",
    "removed",
    "skipped",
    "disabled",
    "interrupted",
    "withdrawn",
    "dismiss",
    "undeployed",
];
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

    /// What a server's word means, whatever its case and its decoration (`esriJobSucceeded`, `JOB_FAILURE`,
    /// `wps:ProcessSucceeded`, `in-progress`).
    pub(crate) fn read(word: &str) -> JobState {
        let last = word.trim().trim_end_matches('/').rsplit(['/', '#', ':']).next().unwrap_or_default();
        let plain: String =
            last.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect();
        let bare = ["esrijob", "jobstate", "jobstatus", "job", "fme", "status", "state", "process", "run"]
            .iter()
            .find_map(|prefix| known(plain.strip_prefix(prefix)?));
        known(&plain)
            .or(bare)
            .or_else(|| by_its_end(&plain))
            .unwrap_or_else(|| JobState::Unknown(word.to_owned()))
    }
}

fn known(plain: &str) -> Option<JobState> {
    let table = [
        (ACCEPTED, JobState::Accepted),
        (RUNNING, JobState::Running),
        (CANCELLING, JobState::Cancelling),
        (SUCCEEDED, JobState::Succeeded),
        (FAILED, JobState::Failed),
        (TIMED_OUT, JobState::TimedOut),
        (CANCELLED, JobState::Cancelled),
    ];
    table.into_iter().find(|(words, _)| words.contains(&plain)).map(|(_, state)| state)
}

/// Words are made of others: `EXECUTION_ERROR`, `ScriptFailed`. Only of bad ends: a good one is said in a known word.
fn by_its_end(plain: &str) -> Option<JobState> {
    let ends = |ends: &[&str]| ends.iter().any(|end| plain.ends_with(end) && !plain.starts_with("no"));
    if ends(&["failed", "failure", "error", "errored", "faulted", "unsuccessful"]) {
        Some(JobState::Failed)
    } else if ends(&["cancelled", "canceled", "aborted", "dismissed", "terminated"]) {
        Some(JobState::Cancelled)
    } else if ends(&["timedout", "timeout"]) {
        Some(JobState::TimedOut)
    } else {
        None
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
    fn words_are_read_as_servers_write_them() {
        use JobState::{Accepted, Cancelled, Cancelling, Failed, Running, Succeeded, TimedOut};
        for (words, expected) in [
            (
                &[
                    "accepted",
                    "QUEUED",
                    "esriJobSubmitted",
                    "JOB_STATE_PENDING",
                    "not-started",
                    "Created",
                    "esriJobNew",
                ][..],
                Accepted,
            ),
            (
                &[
                    "running",
                    "In Progress",
                    "IN_PROGRESS",
                    "esriJobExecuting",
                    "Active",
                    "Paused",
                    "wps:ProcessStarted",
                ],
                Running,
            ),
            (&["esriJobCancelling", "Canceling", "esriJobDeleting", "TERMINATING"], Cancelling),
            (
                &[
                    "esriJobSucceeded",
                    "Successful",
                    "OK",
                    "SUCCESS",
                    "Completed",
                    "done",
                    "finished",
                    "wps:ProcessSucceeded",
                    "JOB_SUCCEEDED",
                ],
                Succeeded,
            ),
            (
                &[
                    "esriJobFailed",
                    "FAILURE",
                    "Errored",
                    "JOB_FAILURE",
                    "FME_FAILURE",
                    "EXECUTION_ERROR",
                    "unsuccessful",
                    "wps:ProcessFailed",
                    "upstream_failed",
                    "esriJobPartialSucceeded",
                ],
                Failed,
            ),
            (&["esriJobTimedOut", "TIMED_OUT", "timeout", "DeadlineExceeded"], TimedOut),
            (
                &[
                    "dismissed",
                    "Canceled",
                    "esriJobCancelled",
                    "esriJobDeleted",
                    "ABORTED",
                    "Disabled",
                    "terminated",
                ],
                Cancelled,
            ),
        ] {
            for word in words {
                assert_eq!(JobState::read(word), expected, "{word}");
            }
        }
        for word in ["esriJobSomethingNew", "noError", "reticulating", ""] {
            assert!(matches!(JobState::read(word), JobState::Unknown(_)), "{word}");
        }
    }

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
