//! What finds a job again.

use isochrone_domain::Run;
use serde::{Deserialize, Serialize};

/// What finds a job again, kept with its run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Handle {
    kind: Kind,
    task_url: String,
    /// For people, too.
    pub(super) job_url: String,
    pub(super) job_id: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Kind {
    GpJob,
}

impl Handle {
    pub(super) fn new(task_url: &str, job_url: String, job_id: String) -> Handle {
        Handle { kind: Kind::GpJob, task_url: task_url.to_owned(), job_url, job_id }
    }

    /// The handle that an earlier attempt kept, if its job is one of this task.
    pub(super) fn of(run: &Run, task_url: &str) -> Option<Handle> {
        let handle: Handle = serde_json::from_str(run.handle.as_deref()?).ok()?;
        // The task may be another one since.
        (handle.task_url == task_url).then_some(handle)
    }
}
