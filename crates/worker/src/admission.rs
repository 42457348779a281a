//! What is looked at before a run may begin: its task's owner, and the item.

use std::time::Duration;

use isochrone_domain::{AttemptEnd, Reason, check_item};

use crate::{Attempt, Executor, WorkerParts};

/// How often a store that does not say who the owner is is asked, and how long after one another.
const OWNER_TRIES: u32 = 10;
const OWNER_WAIT: Duration = Duration::from_millis(500);

/// How a run ends that may not begin. None: it may. A remote job that was begun is followed to its end.
pub(crate) async fn refused(
    parts: &WorkerParts,
    executor: &dyn Executor,
    attempt: &Attempt,
) -> Option<AttemptEnd> {
    if attempt.run().handle.is_some() {
        return None;
    }
    match owner_refused(parts, attempt).await {
        None if !executor.reads_item() => item_refused(parts, attempt).await,
        refused => refused,
    }
}

/// An owner who is disabled or gone has no runs.
async fn owner_refused(parts: &WorkerParts, attempt: &Attempt) -> Option<AttemptEnd> {
    let owner = &attempt.task().owner;
    let mut tries = 0;
    loop {
        match parts.store.user(owner).await {
            Ok(Some(user)) if user.disabled.is_none() => return None,
            Ok(Some(_)) => {
                return Some(refusal(Reason::OwnerDisabled, format!("the task's owner {owner} is disabled")));
            }
            Ok(None) => {
                return Some(refusal(Reason::OwnerDisabled, format!("the task's owner {owner} is deleted")));
            }
            Err(error) if tries == OWNER_TRIES => {
                return Some(refusal(Reason::Internal, format!("the task's owner: {error}")));
            }
            Err(_) => tokio::time::sleep(OWNER_WAIT).await,
        }
        tries += 1;
    }
}

/// Somebody else's item runs as its task's owner agreed to it.
async fn item_refused(parts: &WorkerParts, attempt: &Attempt) -> Option<AttemptEnd> {
    let task = attempt.task();
    let id = task.item_id?;
    match parts.items.snapshot(id, task.kind, &task.owner).await {
        Ok(Some(item)) => {
            attempt.item(item.clone()).await;
            let changed = check_item(task, id, &item).err()?;
            Some(refusal(Reason::ItemChanged, changed.to_string()))
        }
        // It is kept elsewhere, where the work is done.
        Ok(None) if task.pinned.is_none() => None,
        Ok(None) => Some(refusal(
            Reason::ItemMissing,
            format!("the item {id} does not exist any more or is not the task owner's to read"),
        )),
        Err(error) => Some(refusal(Reason::BackendUnavailable, format!("item: {error}"))),
    }
}

fn refusal(reason: Reason, result: String) -> AttemptEnd {
    AttemptEnd::SubmitFailed { reason, result }
}
