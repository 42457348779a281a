//! Which servers tasks may name.

use isochrone_domain::{Problem, Task};

use super::{Submissions, SubmitError};

/// The operator's rule for the servers that tasks send requests to.
pub trait Reach: Send + Sync {
    /// The first URL of the task that is not allowed, by its parameter. Nobody is asked: a name need not resolve.
    fn check(&self, task: &Task) -> Result<(), Problem>;
}

impl Submissions {
    /// Checks the URLs of a task that is new or names others than before: one that was accepted under another rule
    /// can still be renamed or disabled.
    pub(super) fn check_reach(&self, old: Option<&Task>, new: &Task) -> Result<(), SubmitError> {
        let named = |task: &Task| (task.kind, task.task_url.clone(), task.parameters.clone());
        match &self.reach {
            Some(reach) if old.map(named) != Some(named(new)) => Ok(reach.check(new)?),
            _ => Ok(()),
        }
    }
}
