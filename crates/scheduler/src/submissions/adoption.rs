//! Tasks that are brought here from another store or another portal.

use isochrone_domain::{Action, Task, Transfer, adopt, replace};
use isochrone_store::{Saved, Scope, Tries};
use tracing::info;

use super::{Caller, Submissions, SubmitError, allow};

/// What happens to a task of the same id that is here already, and is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It stays, and the other one is refused.
    Keep,
    /// It becomes the other one.
    Replace,
}

/// What became of a task that was brought here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adopted {
    /// It is here now.
    New,
    /// It was here.
    Same,
    /// It took the place of the one that was here.
    Replaced,
}

impl Submissions {
    /// Takes a task over, with its id. Its owner must exist; the rules are those of `create`. Asked for
    /// again, it does nothing.
    pub async fn adopt(
        &self,
        caller: &Caller,
        transfer: Transfer,
        taken: Taken,
    ) -> Result<Adopted, SubmitError> {
        allow(caller.user.may_write(&transfer.owner))?;
        let owner = self.owner(&transfer.owner).await?;
        let transfer = Transfer { owner: owner.name, ..transfer };
        let mut tries = Tries::default();
        loop {
            let adopted = match self.store.task(transfer.id).await? {
                None => self.adopt_new(caller, transfer.clone()).await?,
                Some(_) => self.adopt_known(caller, transfer.clone(), taken).await?,
            };
            if let Some(adopted) = adopted {
                self.wake.wake();
                return Ok(adopted);
            }
            tries.again().await?;
        }
    }

    /// None: there is one of this id meanwhile.
    async fn adopt_new(&self, caller: &Caller, transfer: Transfer) -> Result<Option<Adopted>, SubmitError> {
        let now = self.now().await?;
        let task = adopt(transfer, now, &self.limits)?;
        self.check_reach(None, &task)?;
        let task = self.pinned(None, task).await?;
        self.quotas.check(&*self.store, None, &task).await?;
        let audit = caller.did(Action::CreateTask, &task, None, now);
        match self.store.insert_task(&task, audit).await? {
            Saved::Done => {
                info!(task_id = %task.id, kind = %task.kind, owner = %task.owner, "a task was taken over");
                Ok(Some(Adopted::New))
            }
            Saved::Repeated | Saved::Stale => Ok(None),
        }
    }

    /// None: somebody else wrote in between.
    async fn adopt_known(
        &self,
        caller: &Caller,
        transfer: Transfer,
        taken: Taken,
    ) -> Result<Option<Adopted>, SubmitError> {
        let (old, now) = match self.decided(caller, transfer.id).await {
            Err(SubmitError::NotFound { .. }) => return Ok(None),
            decided => decided?,
        };
        if !old.owner.eq_ignore_ascii_case(&transfer.owner) {
            let id = transfer.id;
            return Err(SubmitError::Conflict(format!("'owner': {id} is here a task of {}", old.owner)));
        }
        let other = Task { owner: old.owner.clone(), ..adopt(transfer, now, &self.limits)? };
        let other = self.pinned(Some(&old), other).await?;
        let Some(new) = replace(&old, other, now) else {
            self.store.confirm(Scope::Task(old.id)).await?;
            return Ok(Some(Adopted::Same));
        };
        if taken == Taken::Keep {
            let id = old.id;
            return Err(SubmitError::Conflict(format!("'id': {id} is here already, and is another task")));
        }
        self.check_reach(Some(&old), &new)?;
        self.quotas.check(&*self.store, Some(&old), &new).await?;
        let audit = caller.did(Action::UpdateTask, &new, None, now);
        match self.store.save_task(&new, audit).await? {
            Saved::Done | Saved::Repeated => {
                info!(task_id = %new.id, next_fire = ?new.next_fire, "another task took its place");
                Ok(Some(Adopted::Replaced))
            }
            Saved::Stale => Ok(None),
        }
    }
}
