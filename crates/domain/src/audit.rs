//! Who did what: kept when the thing itself is gone.

use serde::{Deserialize, Serialize};

use crate::{EpochMillis, ItemId, RunId, TaskId};

/// What somebody did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// Made a task.
    CreateTask,
    /// Changed one.
    UpdateTask,
    /// Let it plan fires again.
    EnableTask,
    /// The same, from whatever state, with its failures forgotten.
    RestartTask,
    /// Had its next fire planned anew, from that moment on.
    ReplanTask,
    /// Made it plan none.
    DisableTask,
    /// Agreed to what its item does.
    AcceptItem,
    /// Made it another user's.
    ReassignTask,
    /// Deleted it.
    DeleteTask,
    /// Asked for a run.
    RunTask,
    /// Asked a run to end.
    CancelRun,
    /// Asked for an ended run once more.
    RetryRun,
    /// Said of a run how it ended, or what came of it.
    UpdateRun,
    /// Deleted an ended run.
    DeleteRun,
    /// Added an item or replaced its data.
    AddItem,
    /// Deleted an item.
    DeleteItem,
    /// Added a user or changed one.
    SetUser,
    /// Deleted one.
    DeleteUser,
    /// Was refused a sign-in; the actor is the name as it was sent.
    RefuseSignIn,
    /// Got a token.
    SignIn,
    /// Made an API key.
    CreateKey,
    /// Made a token or an API key void.
    RevokeToken,
}

impl Action {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Action::CreateTask => "createTask",
            Action::UpdateTask => "updateTask",
            Action::EnableTask => "enableTask",
            Action::RestartTask => "restartTask",
            Action::ReplanTask => "replanTask",
            Action::DisableTask => "disableTask",
            Action::AcceptItem => "acceptItem",
            Action::ReassignTask => "reassignTask",
            Action::DeleteTask => "deleteTask",
            Action::RunTask => "runTask",
            Action::CancelRun => "cancelRun",
            Action::RetryRun => "retryRun",
            Action::UpdateRun => "updateRun",
            Action::DeleteRun => "deleteRun",
            Action::AddItem => "addItem",
            Action::DeleteItem => "deleteItem",
            Action::SetUser => "setUser",
            Action::DeleteUser => "deleteUser",
            Action::RefuseSignIn => "refuseSignIn",
            Action::SignIn => "signIn",
            Action::CreateKey => "createKey",
            Action::RevokeToken => "revokeToken",
        }
    }
}

/// One thing that somebody did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    /// When.
    pub at: EpochMillis,
    /// Who: a user's name.
    pub actor: String,
    /// From where, if it came over the network.
    pub ip: Option<String>,
    /// What.
    pub action: Action,
    /// To which task.
    pub task: Option<TaskId>,
    /// To which run.
    pub run: Option<RunId>,
    /// To which item.
    pub item: Option<ItemId>,
    /// The thing's title or name at that time.
    pub title: String,
    /// Whose it is.
    pub owner: String,
}

impl AuditEntry {
    /// Of something that `actor` did, with what is `owner`'s and is called `title`; from here, and about no task,
    /// run or item.
    pub fn new(at: EpochMillis, actor: &str, action: Action, owner: &str, title: &str) -> AuditEntry {
        AuditEntry {
            at,
            actor: actor.to_owned(),
            ip: None,
            action,
            task: None,
            run: None,
            item: None,
            title: title.to_owned(),
            owner: owner.to_owned(),
        }
    }
}
