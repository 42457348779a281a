//! The words that servers have for what a job does.

use super::state::JobState;

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

impl JobState {
    /// What a server's word means, whatever its case and its decoration (`esriJobSucceeded`, `JOB_FAILURE`,
    /// `wps:ProcessSucceeded`, `in-progress`).
    pub(crate) fn read(word: &str) -> JobState {
        let text = word.trim().trim_end_matches('/');
        // An address has slashes; words for people may have one with any end.
        let marks: &[char] = if text.contains(char::is_whitespace) { &[':'] } else { &['/', '#', ':'] };
        let last = text.rsplit(marks).next().unwrap_or_default();
        by_its_beginning(text)
            .or_else(|| undecorated(last))
            .unwrap_or_else(|| JobState::Unknown(word.to_owned()))
    }
}

fn undecorated(word: &str) -> Option<JobState> {
    let plain: String =
        word.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    let bare = ["esrijob", "jobstate", "jobstatus", "job", "fme", "status", "state", "process", "run"]
        .iter()
        .find_map(|prefix| known(plain.strip_prefix(prefix)?));
    known(&plain).or(bare).or_else(|| by_its_end(&plain))
}

/// `Failed: the disk is full`, `Cancelled (by ann)`. No good end: `Completed: 3 of 10` is none.
fn by_its_beginning(text: &str) -> Option<JobState> {
    let (word, rest) = text.split_at(text.find(|letter: char| !letter.is_alphanumeric() && letter != '_')?);
    let explained = [":", "(", " (", " -", ",", ";"].iter().any(|mark| rest.starts_with(mark));
    undecorated(word).filter(|state| explained && *state != JobState::Succeeded)
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

#[cfg(test)]
mod tests {
    use super::*;

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
        for (text, expected) in [
            ("Failed: the disk is full", Failed),
            ("Cancelled (by ann)", Cancelled),
            ("ERROR - no data", Failed),
            ("Running: 3/10", Running),
            ("Failed: see https://example.com/done", Failed),
            ("Finished: FAILURE", Failed),
            ("Finished: SUCCESS", Succeeded),
            ("http://www.opengis.net/def/status/OGC-API-Processes/successful", Succeeded),
        ] {
            assert_eq!(JobState::read(text), expected, "{text}");
        }
        for word in [
            "esriJobSomethingNew",
            "noError",
            "reticulating",
            "",
            "Completed: 3 of 10",
            "Error handling goes on",
        ] {
            assert!(matches!(JobState::read(word), JobState::Unknown(_)), "{word}");
        }
    }
}
