//! What carries out the runs of one task type.

use std::time::Duration;

use async_trait::async_trait;
use isochrone_domain::{AttemptEnd, TaskType};

use crate::Attempt;

/// Code that carries out one task type.
#[async_trait]
pub trait Executor: Send + Sync {
    /// The type.
    fn kind(&self) -> TaskType;

    /// How long an attempt may take where its task does not say.
    fn default_timeout(&self) -> Duration;

    /// Whether it reads the task's item itself, and checks and reports the version of the very bytes that it executes.
    /// Of others the worker checks the item before.
    fn reads_item(&self) -> bool {
        false
    }

    /// Does the work and says how it ended. The worker watches the deadline and cancels: once
    /// `attempt.stopped()` answers, the executor has [`STOP_GRACE`] to end its work and return; after
    /// that the future is dropped, which must kill whatever is left.
    async fn execute(&self, attempt: &Attempt) -> AttemptEnd;
}

/// How long an executor may take to end its work when it is told to stop.
pub const STOP_GRACE: Duration = Duration::from_secs(10);
