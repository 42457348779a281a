//! Requests about tasks.

use isochrone_domain::{
    Action, Change, EpochMillis, Role, Submission, Task, TaskId, accept, disable, edit, enable,
};
use isochrone_store::{Page, Paged, Saved, TaskFilter};
use tracing::info;

use super::{Caller, Submissions, SubmitError, TRIES, allow, too_busy};

impl Submissions {
    /// Makes a task of `owner`, who must exist. Whether its item exists is found out by its runs.
    pub async fn create(
        &self,
        caller: &Caller,
        owner: &str,
        submission: Submission,
    ) -> Result<Task, SubmitError> {
        allow(caller.user.may_write(owner))?;
        let owner = self.store.user(owner).await?.ok_or(SubmitError::NotFound { what: "user" })?;
        let now = self.now().await?;
        let task = accept(submission, TaskId::random(), &owner.name, now, &self.limits)?;
        self.quotas.check(&*self.store, None, &task).await?;
        let audit = caller.did(Action::CreateTask, &task, None, now);
        match self.store.insert_task(&task, audit).await {
            // Nobody else has an id that was drawn at random.
            Ok(Saved::Done | Saved::Repeated) => {}
            Ok(Saved::Stale) => return Err(too_busy()),
            // The answer may be lost, and the task kept.
            Err(error) => {
                if !matches!(self.store.task(task.id).await, Ok(Some(_))) {
                    return Err(error.into());
                }
            }
        }
        info!(task = %task.id, kind = %task.kind, owner = %task.owner, "a task was created");
        self.wake.wake();
        Ok(task)
    }

    /// The task.
    pub async fn task(&self, caller: &Caller, id: TaskId) -> Result<Task, SubmitError> {
        self.readable(caller, id).await
    }

    /// The tasks that pass the filter. Without an owner in it, it is for administrators.
    pub async fn tasks(
        &self,
        caller: &Caller,
        filter: &TaskFilter,
        page: Page,
    ) -> Result<Paged<Task>, SubmitError> {
        allow(caller.may_list(filter.owner.as_deref()))?;
        Ok(self.store.tasks(filter, page).await?)
    }

    /// Changes the task.
    pub async fn update(&self, caller: &Caller, id: TaskId, change: Change) -> Result<Task, SubmitError> {
        let limits = &self.limits;
        self.change(caller, id, Action::UpdateTask, |task, now| Ok(edit(task, change.clone(), now, limits)?))
            .await
    }

    /// Lets the task plan fires again. One that does already stays as it is.
    pub async fn enable(&self, caller: &Caller, id: TaskId) -> Result<Task, SubmitError> {
        self.change(caller, id, Action::EnableTask, |task, now| Ok(enable(task, now))).await
    }

    /// Makes the task plan no fires. Its runs go on.
    pub async fn disable(&self, caller: &Caller, id: TaskId) -> Result<Task, SubmitError> {
        self.change(caller, id, Action::DisableTask, |task, now| Ok(disable(task, now))).await
    }

    /// Deletes the task and its runs; attempts that execute are told to stop. The ledger and the audit
    /// log keep theirs.
    pub async fn delete(&self, caller: &Caller, id: TaskId) -> Result<(), SubmitError> {
        let (task, now) = self.decided(caller, id).await?;
        let audit = caller.did(Action::DeleteTask, &task, None, now);
        if !self.store.delete_task(id, audit).await? {
            return Err(SubmitError::NotFound { what: "task" });
        }
        info!(task = %id, owner = %task.owner, "a task was deleted");
        self.wake.wake();
        Ok(())
    }

    /// Reads, changes and writes, anew if somebody else wrote in between. Answers the task as it was
    /// written, with the version that was read.
    async fn change(
        &self,
        caller: &Caller,
        id: TaskId,
        action: Action,
        changed: impl Fn(&Task, EpochMillis) -> Result<Task, SubmitError>,
    ) -> Result<Task, SubmitError> {
        for _ in 0..TRIES {
            let (old, now) = self.decided(caller, id).await?;
            let new = changed(&old, now)?;
            if (Task { updated: old.updated, ..new.clone() }) == old {
                return Ok(old);
            }
            self.quotas.check(&*self.store, Some(&old), &new).await?;
            let audit = caller.did(action, &new, None, now);
            match self.store.save_task(&new, audit).await? {
                Saved::Done | Saved::Repeated => {
                    info!(task = %id, action = action.name(), next_fire = ?new.next_fire, "a task was changed");
                    self.wake.wake();
                    return Ok(new);
                }
                Saved::Stale => {}
            }
        }
        Err(too_busy())
    }
}

impl Caller {
    /// Whether the caller may list what `owner` owns; none: what everybody owns.
    pub(super) fn may_list(&self, owner: Option<&str>) -> bool {
        match owner {
            Some(owner) => self.user.may_read(owner),
            None => self.user.role == Role::Admin,
        }
    }
}
