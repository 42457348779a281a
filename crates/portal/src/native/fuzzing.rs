//! JSON bodies as they are read from requests, for the fuzz targets.

use isochrone_domain::{Change, Policies, Submission};

use super::sent;
use super::task_body::{NewTask, TaskPatch};

/// What a body of `POST /tasks` asks for, if it can be read.
pub(crate) fn submission(bytes: &[u8], policies: &Policies) -> Option<Submission> {
    sent::read::<NewTask>(&bytes.to_vec().into()).ok()?.submission(policies).ok()
}

/// What a body of `PATCH /tasks/{task}` asks for, if it can be read.
pub(crate) fn change(bytes: &[u8]) -> Option<Change> {
    sent::read::<TaskPatch>(&bytes.to_vec().into()).ok()?.change().ok()
}
