//! Which version of somebody else's item a task runs.

use isochrone_domain::{Action, ItemChanges, ItemSnapshot, Task, keeps_pin, pin};

use isochrone_store::ItemsUnavailable;

use super::{Caller, Submissions, SubmitError, Target};

impl Submissions {
    /// Agrees to what the task's item does now, as the owner has seen it: with a digest only if that is still its. A task
    /// that pins nothing, because its item is its owner's or its changes are followed, stays as it is.
    pub async fn accept_item(
        &self,
        caller: &Caller,
        task: impl Into<Target>,
        digest: Option<String>,
    ) -> Result<Task, SubmitError> {
        let target = task.into();
        let task = self.writable(caller, target.id).await?;
        let item = self.item(&task).await?.ok_or(SubmitError::NotFound { what: "item" })?;
        if digest.is_some_and(|digest| digest != item.version.digest) {
            return Err(SubmitError::Conflict(format!(
                "the item has another digest, {}: {} changed it at {}",
                item.version.digest, item.version.by, item.version.since
            )));
        }
        self.change(caller, target, Action::AcceptItem, |old, now| {
            if old.item_id != task.item_id || old.owner != task.owner {
                return Err(SubmitError::Outdated);
            }
            let pinned = pin(old, Some(&item));
            Ok(Task { updated: if pinned == old.pinned { old.updated } else { now }, pinned, ..old.clone() })
        })
        .await
    }

    /// The task with its pin, where it was `old` before: the old one as long as it says the same of its item.
    pub(super) async fn pinned(&self, old: Option<&Task>, task: Task) -> Result<Task, SubmitError> {
        let pinned = match old {
            Some(old) if keeps_pin(old, &task) => old.pinned.clone(),
            _ if task.policies.item_changes != ItemChanges::Pinned => None,
            _ => match self.others_item(&task).await {
                // Without a pin, somebody else's item does not run until its task's owner accepts it.
                Err(ItemsUnavailable::Unreadable(_)) => None,
                item => pin(&task, item?.as_ref()),
            },
        };
        Ok(Task { pinned, ..task })
    }

    /// The item that the task runs, as it is now, if it is not the task's owner's.
    async fn others_item(&self, task: &Task) -> Result<Option<ItemSnapshot>, ItemsUnavailable> {
        match task.item_id {
            Some(id) => self.items.snapshot_of_others(id, task.kind, &task.owner).await,
            None => Ok(None),
        }
    }

    /// The item that the task runs, as it is now.
    async fn item(&self, task: &Task) -> Result<Option<ItemSnapshot>, ItemsUnavailable> {
        match task.item_id {
            Some(id) => self.items.snapshot(id, task.kind, &task.owner).await,
            None => Ok(None),
        }
    }
}
