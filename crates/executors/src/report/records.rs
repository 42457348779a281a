//! What reports are made of.

use async_trait::async_trait;
use isochrone_domain::{AuditEntry, EpochMillis, Outcome, Reason, Role, RunId, Task, TaskId, TaskType};

use super::period::Span;

/// Where reports find what happened. Errors are for people.
#[async_trait]
pub trait Records: Send + Sync {
    /// What people did in the span, in any order.
    async fn audit(&self, span: Span) -> Result<Vec<AuditEntry>, String>;

    /// The fires that were planned for a moment in the span, in any order.
    async fn fires(&self, span: Span) -> Result<Vec<FireRecord>, String>;

    /// Every task.
    async fn tasks(&self) -> Result<Vec<Task>, String>;

    /// What this user may do; none if there is no such user.
    async fn role(&self, user: &str) -> Result<Option<Role>, String>;

    /// Every user.
    async fn users(&self) -> Result<Vec<UserRecord>, String>;
}

/// A planned fire and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FireRecord {
    /// Whose fire it was.
    pub task: TaskId,
    /// The task's title.
    pub title: String,
    /// The task's owner.
    pub owner: String,
    /// The task's type.
    pub kind: TaskType,
    /// The run that it made.
    pub run: RunId,
    /// The moment that it was for.
    pub planned: EpochMillis,
    /// When its run began.
    pub started: Option<EpochMillis>,
    /// When it was over.
    pub ended: Option<EpochMillis>,
    /// How it ended; none: it goes on.
    pub outcome: Option<Outcome>,
    /// Why.
    pub reason: Reason,
}

/// A user, as far as a report may tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRecord {
    /// The user's name.
    pub name: String,
    /// What the user may do.
    pub role: Role,
    /// When the user was added.
    pub created: EpochMillis,
    /// When the user last got a token.
    pub last_login: Option<EpochMillis>,
}
