//! Requests about tasks.

use isochrone_domain::{
    Action, AuditEntry, Change, EpochMillis, Generation, Role, Submission, Task, TaskId, TaskType, accept,
    disable, edit, enable, replan, restart,
};
use isochrone_store::{Page, Paged, Place, Saved, Scope, StoreError, Stretch, TaskFilter, Tries};
use tracing::info;

use super::{Caller, Once, StoredTask, Submissions, SubmitError, Target, allow, too_busy};

impl Submissions {
    /// Makes a task of `owner`, who must exist. Whether its item exists is found out by its runs.
    pub async fn create(
        &self,
        caller: &Caller,
        owner: &str,
        submission: Submission,
    ) -> Result<StoredTask, SubmitError> {
        let (task, warnings, audit) =
            self.new_task(caller, owner, submission, TaskId::random(), None).await?;
        let saved = match self.store.insert_task(&task, audit.clone()).await {
            // The answer may be lost, and the task kept. To see it would not be enough: one server may have it alone.
            Err(StoreError::Unavailable(_)) => self.store.insert_task(&task, audit).await?,
            saved => saved?,
        };
        match saved {
            // Nobody else has an id that was drawn at random.
            Saved::Done | Saved::Repeated => Ok(StoredTask { task: self.created(task), warnings }),
            Saved::Stale => Err(too_busy()),
        }
    }

    /// The same for a request that may be repeated: as long as its task is there, it makes no other one.
    pub async fn create_once(
        &self,
        caller: &Caller,
        owner: &str,
        submission: Submission,
        once: &Once,
    ) -> Result<StoredTask, SubmitError> {
        let id = TaskId::requested(&caller.user.name, &once.key);
        if let Some(made) = self.store.task(id).await? {
            self.store.confirm(Scope::Task(id)).await?;
            return repeated(made, once);
        }
        let digest = Some(once.digest.clone());
        let (task, warnings, audit) = self.new_task(caller, owner, submission, id, digest).await?;
        match self.store.insert_task(&task, audit).await? {
            Saved::Done => Ok(StoredTask { task: self.created(task), warnings }),
            Saved::Repeated => repeated(self.found(id).await?, once),
            Saved::Stale => Err(too_busy()),
        }
    }

    async fn new_task(
        &self,
        caller: &Caller,
        owner: &str,
        submission: Submission,
        id: TaskId,
        request: Option<String>,
    ) -> Result<(Task, Vec<String>, AuditEntry), SubmitError> {
        allow(caller.user.may_write(owner))?;
        let owner = self.owner(owner).await?;
        let now = self.now().await?;
        let mut task = accept(submission, id, &owner.name, now, &self.limits)?;
        if request.is_some() {
            // Its id is the request's: one of the same id may have fired, and been deleted.
            task.generation = Generation::never_used(now);
        }
        let task = Task { request, ..task };
        self.check_reach(None, &task)?;
        let warnings = self.check_declared(None, &task).await?;
        let task = self.pinned(None, task).await?;
        self.quotas.check(&*self.store, None, &task).await?;
        let audit = caller.did(Action::CreateTask, &task, None, now);
        Ok((task, warnings, audit))
    }

    fn created(&self, task: Task) -> Task {
        info!(task_id = %task.id, kind = %task.kind, owner = %task.owner, "a task was created");
        self.wake.wake();
        task
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

    /// At most `limit` of the tasks that pass the filter, those behind `after`.
    pub async fn tasks_from(
        &self,
        caller: &Caller,
        filter: &TaskFilter,
        after: Option<Place>,
        limit: u64,
    ) -> Result<Stretch<Task>, SubmitError> {
        allow(caller.may_list(filter.owner.as_deref()))?;
        Ok(self.store.tasks_from(filter, after, limit).await?)
    }

    /// How many more active tasks the owner may have of each of these types (none named: of each type that has
    /// a limit per user). None: there is no limit.
    pub async fn room(
        &self,
        caller: &Caller,
        owner: &str,
        kinds: &[TaskType],
    ) -> Result<Option<u64>, SubmitError> {
        allow(caller.may_list(Some(owner)))?;
        self.quotas.room(&*self.store, owner, kinds).await
    }

    /// Changes the task.
    pub async fn update(
        &self,
        caller: &Caller,
        task: impl Into<Target>,
        change: Change,
    ) -> Result<StoredTask, SubmitError> {
        let limits = &self.limits;
        self.change_checked(caller, task.into(), Action::UpdateTask, |task, now| {
            Ok(edit(task, change.clone(), now, limits)?)
        })
        .await
    }

    /// Lets the task plan fires again. One that does already stays as it is.
    pub async fn enable(&self, caller: &Caller, task: impl Into<Target>) -> Result<Task, SubmitError> {
        self.change(caller, task.into(), Action::EnableTask, |task, now| Ok(enable(task, now))).await
    }

    /// Lets the task plan fires from now on, whatever ended that. A task that can't is not changed.
    pub async fn restart(&self, caller: &Caller, task: impl Into<Target>) -> Result<Task, SubmitError> {
        self.change(caller, task.into(), Action::RestartTask, |task, now| Ok(restart(task, now)?)).await
    }

    /// Plans the task's next fire anew, from now on, where a clock that was wrong has moved it. One that plans what its
    /// schedule plans stays as it is.
    pub async fn replan(&self, caller: &Caller, task: impl Into<Target>) -> Result<Task, SubmitError> {
        self.change(caller, task.into(), Action::ReplanTask, |task, now| Ok(replan(task, now))).await
    }

    /// Makes the task plan no fires. Its runs go on.
    pub async fn disable(&self, caller: &Caller, task: impl Into<Target>) -> Result<Task, SubmitError> {
        self.change(caller, task.into(), Action::DisableTask, |task, now| Ok(disable(task, now))).await
    }

    /// Makes the task another user's, who may have tasks. For administrators. The audit log says whose it was.
    pub async fn hand_over(
        &self,
        caller: &Caller,
        task: impl Into<Target>,
        to: &str,
    ) -> Result<Task, SubmitError> {
        allow(caller.user.role == Role::Admin)?;
        let to = self.owner(to).await?;
        if !to.may_write(&to.name) {
            return Err(SubmitError::Conflict(format!("{} is a viewer, who may have no tasks", to.name)));
        }
        self.change(caller, task.into(), Action::ReassignTask, |task, now| {
            Ok(Task { owner: to.name.clone(), updated: now, ..task.clone() })
        })
        .await
    }

    /// Deletes the task and its runs; attempts that execute are told to stop. The ledger and the audit
    /// log keep theirs.
    pub async fn delete(&self, caller: &Caller, task: impl Into<Target>) -> Result<(), SubmitError> {
        let target = task.into();
        let id = target.id;
        let becomes = |task: &Task, _| target.admits(task).map(|()| None);
        let (task, now) = match self.decided_before(caller, id, becomes).await {
            Err(error) => return Err(self.confirmed_missing(Scope::Task(id), error).await),
            decided => decided?,
        };
        target.admits(&task)?;
        let audit = caller.did(Action::DeleteTask, &task, None, now);
        if !self.store.delete_task(id, audit).await? {
            return Err(SubmitError::NotFound { what: "task" });
        }
        info!(task_id = %id, owner = %task.owner, "a task was deleted");
        self.wake.wake();
        Ok(())
    }

    /// The same as [`Self::change_checked`], for changes that leave the parameters as they are.
    pub(super) async fn change(
        &self,
        caller: &Caller,
        target: Target,
        action: Action,
        changed: impl Fn(&Task, EpochMillis) -> Result<Task, SubmitError>,
    ) -> Result<Task, SubmitError> {
        Ok(self.change_checked(caller, target, action, changed).await?.task)
    }

    /// Reads, changes and writes, anew if somebody else wrote in between. Answers the task as it was
    /// written, with the version that was read.
    async fn change_checked(
        &self,
        caller: &Caller,
        target: Target,
        action: Action,
        changed: impl Fn(&Task, EpochMillis) -> Result<Task, SubmitError>,
    ) -> Result<StoredTask, SubmitError> {
        let id = target.id;
        let mut tries = Tries::default();
        loop {
            let becomes = |task: &Task, now| {
                target.admits(task)?;
                changed(task, now).map(Some)
            };
            let (old, now) = self.decided_before(caller, id, becomes).await?;
            target.admits(&old)?;
            let new = changed(&old, now)?;
            let new = match action {
                Action::UpdateTask | Action::ReassignTask => self.pinned(Some(&old), new).await?,
                _ => new,
            };
            if (Task { updated: old.updated, ..new.clone() }) == old {
                self.store.confirm(Scope::Task(id)).await?;
                return Ok(StoredTask { task: old, warnings: Vec::new() });
            }
            self.check_reach(Some(&old), &new)?;
            let warnings = self.check_declared(Some(&old), &new).await?;
            self.quotas.check(&*self.store, Some(&old), &new).await?;
            let mut audit = caller.did(action, &new, None, now);
            if old.owner != new.owner {
                format!("{} (before: {})", old.title, old.owner).trim_start().clone_into(&mut audit.title);
            }
            match self.store.save_task(&new, audit).await? {
                Saved::Done | Saved::Repeated => {
                    info!(task_id = %id, action = action.name(), next_fire = ?new.next_fire, "a task was changed");
                    self.wake.wake();
                    return Ok(StoredTask { task: new, warnings });
                }
                Saved::Stale => tries.again().await?,
            }
        }
    }
}

/// The task that the request has made before, if it was this request.
fn repeated(made: Task, once: &Once) -> Result<StoredTask, SubmitError> {
    if made.request.as_ref() == Some(&once.digest) {
        Ok(StoredTask { task: made, warnings: Vec::new() })
    } else {
        Err(SubmitError::KeyReused)
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
