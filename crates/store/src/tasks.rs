//! Tasks and their fires.

use std::collections::BTreeMap;

use async_trait::async_trait;
use isochrone_domain::{AuditEntry, EpochMillis, ItemId, PlannedFire, Run, Task, TaskId, TaskType};

use crate::{Clock, Deferred, Page, Paged, Place, Result, Stretch};

/// Which tasks a list shows; in the order of their creation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskFilter {
    /// Of this owner.
    pub owner: Option<String>,
    /// For this item.
    pub item: Option<ItemId>,
    /// Active ones, or ones that are not.
    pub active: Option<bool>,
    /// Of these types; empty: of any.
    pub kinds: Vec<TaskType>,
}

/// A task with a fire that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueTask {
    /// The task.
    pub task: Task,
    /// Its runs that have not ended.
    pub unfinished: u64,
}

/// What a task's due fires became.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FireCommit {
    /// The task as it shall be. Its `version` is the one that was read.
    pub task: Task,
    /// The ledger's new rows.
    pub fires: Vec<PlannedFire>,
    /// The fires' runs, skipped ones included.
    pub runs: Vec<Run>,
}

/// Whether a write found what its writer had read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Saved {
    /// It did, and is done.
    Done,
    /// Somebody else wrote in between, or the task is gone: read again.
    Stale,
    /// The same fire or task is there already: it was done before.
    Repeated,
}

/// Tasks, their due index and their fires.
#[async_trait]
pub trait TaskStore: Send + Sync {
    /// The clock that decides due times and leases here.
    fn clock(&self) -> Clock;

    /// What was put off since the store was opened.
    fn deferred(&self) -> Deferred;

    /// What that clock shows.
    async fn now(&self) -> Result<EpochMillis>;

    /// What the clocks of the store's servers show, in milliseconds since 1970 UTC, always in the same order; first the one
    /// that `now` goes by.
    async fn server_times(&self) -> Result<Vec<i64>>;

    /// Keeps a new task. `Repeated`: its id is taken.
    async fn insert_task(&self, task: &Task, audit: AuditEntry) -> Result<Saved>;

    /// The task with this id.
    async fn task(&self, id: TaskId) -> Result<Option<Task>>;

    /// The tasks that pass the filter.
    async fn tasks(&self, filter: &TaskFilter, page: Page) -> Result<Paged<Task>>;

    /// The same, at most `limit` of those behind `after`.
    async fn tasks_from(
        &self,
        filter: &TaskFilter,
        after: Option<Place>,
        limit: u64,
    ) -> Result<Stretch<Task>>;

    /// How many active tasks ([`Task::is_active`]) there are of each of these types, of one owner or of all.
    async fn count_active(&self, owner: Option<&str>, kinds: &[TaskType]) -> Result<BTreeMap<TaskType, u64>>;

    /// How many runs of the task have not ended.
    async fn unfinished(&self, task: TaskId) -> Result<u64>;

    /// Keeps a changed task, if its `version` is still the stored one. If its runs may overlap, none
    /// waits any longer.
    async fn save_task(&self, task: &Task, audit: AuditEntry) -> Result<Saved>;

    /// Forgets a task and its runs; attempts that run learn it at their next renewal. The ledger and
    /// the audit log keep what they have. False: it was not there.
    async fn delete_task(&self, id: TaskId, audit: AuditEntry) -> Result<bool>;

    /// Goes on with deletions that were cut short.
    async fn finish_deletions(&self) -> Result<()>;

    /// The tasks whose next fire is at or before `now`, the earliest first.
    async fn due_tasks(&self, now: EpochMillis, limit: u64) -> Result<Vec<DueTask>>;

    /// For each task all or nothing: ledger rows, runs, count and next fire, if the task's `version`
    /// is still the stored one. One answer a commit, in order.
    async fn commit_fires(&self, commits: Vec<FireCommit>) -> Result<Vec<Saved>>;

    /// Keeps a run that a person asked for, as `commit_fires` does, with an audit entry.
    async fn commit_request(&self, task: Task, run: Run, audit: AuditEntry) -> Result<Saved>;

    /// When the next fire of any task is due.
    async fn next_fire(&self) -> Result<Option<EpochMillis>>;
}
