//! A user's tasks and their runs.

mod artifacts;
mod change;
pub(crate) mod fields;
mod list;
pub(crate) mod policies;
mod runs;
pub mod transfer;
pub(crate) mod wire;

use isochrone_domain::{Task, TaskId};
use isochrone_scheduler::{Caller, SubmitError};

pub(crate) use artifacts::{Log, artifact, log};
pub(crate) use change::{accept, create, delete, disable, enable, reassign, restart, run_now, update};
pub(crate) use list::{TaskList, list, list_all, show};
pub(crate) use runs::{RunList, cancel, delete as delete_run, retry, run, runs, update as update_run};
pub(crate) use wire::{Changed, RunDocument, TaskDocument};

use crate::answer::{Failure, missing};
use crate::request::Call;
use crate::serve::Served;

/// A request for something of a user.
#[derive(Clone, Copy)]
pub(crate) struct Of<'a> {
    pub portal: &'a Served,
    pub call: &'a Call,
    /// As the path names the user.
    pub user: &'a str,
}

/// A request that its caller may make.
struct Admitted<'a> {
    portal: &'a Served,
    call: &'a Call,
    caller: Caller,
    /// The user's name as it is stored.
    owner: String,
}

impl<'a> Of<'a> {
    /// Admits a caller that wants to look.
    async fn reader(self) -> Result<Admitted<'a>, Failure> {
        let Of { portal, call, user } = self;
        let caller = portal.sign_in.caller(call).await?;
        if !caller.user.may_read(user) {
            return Err(Failure::forbidden());
        }
        // Most ask for what is their own.
        let owner = if caller.user.name.eq_ignore_ascii_case(user) {
            caller.user.name.clone()
        } else {
            portal.user(call, user).await?.ok_or_else(|| missing("user"))?.name
        };
        Ok(Admitted { portal, call, caller, owner })
    }

    /// Admits a caller that wants to change something.
    async fn changer(self) -> Result<Admitted<'a>, Failure> {
        self.call.must_post()?;
        let admitted = self.reader().await?;
        if admitted.caller.user.may_write(self.user) { Ok(admitted) } else { Err(Failure::forbidden()) }
    }
}

impl Admitted<'_> {
    /// The user's task with this id.
    async fn task(&self, id: &str) -> Result<Task, Failure> {
        let id: TaskId = id.parse().map_err(|_| missing("task"))?;
        match self.portal.submissions.task(&self.caller, id).await {
            Ok(task) if task.owner == self.owner => Ok(task),
            // Another one's task is not told from one that is not there.
            Ok(_) | Err(SubmitError::Forbidden) => Err(missing("task")),
            Err(error) => Err(error.into()),
        }
    }

    /// The path of a task below the API's root.
    fn path(&self, task: TaskId) -> String {
        wire::task_path(&self.owner, task)
    }
}
