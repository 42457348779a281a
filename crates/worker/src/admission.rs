//! What is looked at before a run may begin: its task's owner, and the item.

use std::time::Duration;

use isochrone_domain::{AttemptEnd, Reason, check_item};

use crate::{Attempt, Executor, WorkerParts};

/// How often a store that does not say who the owner is is asked, and how long after one another.
const OWNER_TRIES: u32 = 30;
const OWNER_WAIT: Duration = Duration::from_millis(500);

/// Between two tries to look at an item while its work goes on elsewhere.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// So many steps of such work are looked at: waiting, its beginning, and some more.
const STEPS: u32 = 4;

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

/// An owner who is disabled or gone has no runs, nor has one who is only a viewer now.
async fn owner_refused(parts: &WorkerParts, attempt: &Attempt) -> Option<AttemptEnd> {
    let owner = &attempt.task().owner;
    let mut tries = 0;
    loop {
        match parts.store.user(owner).await {
            Ok(Some(user)) if user.disabled.is_none() && user.may_write(owner) => return None,
            Ok(Some(user)) if user.disabled.is_none() => {
                let problem = format!("the task's owner {owner} is a viewer, who may have no tasks");
                return Some(refusal(Reason::OwnerNotAllowed, problem));
            }
            Ok(Some(_)) => {
                return Some(refusal(Reason::OwnerDisabled, format!("the task's owner {owner} is disabled")));
            }
            Ok(None) => {
                return Some(refusal(Reason::OwnerDisabled, format!("the task's owner {owner} is deleted")));
            }
            Err(error) if tries == OWNER_TRIES => {
                return Some(refusal(Reason::Internal, format!("the task's owner: {error}")));
            }
            // It is away: whether it gives the run to others is known first.
            Err(_) if attempt.trust().is_over() => tokio::select! {
                () = attempt.trust().there() => {}
                _ = attempt.stopped() => return Some(AttemptEnd::GivenBack),
            },
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

/// How a run ends whose item was changed after it was looked at and before another server had read it. Never answers if
/// it was not: the item is looked at again once the work is begun, and when there is news of it, as it may have waited
/// there.
pub(crate) async fn item_changed_meanwhile(
    parts: &WorkerParts,
    executor: &dyn Executor,
    attempt: &Attempt,
) -> AttemptEnd {
    let task = attempt.task();
    // A job that an earlier attempt began may have read the item long ago.
    let looks = task.pinned.is_some() && !executor.reads_item() && attempt.run().handle.is_none();
    if let (Some(id), true) = (task.item_id, looks) {
        let mut seen = 0;
        for _ in 0..STEPS {
            seen = attempt.further_than(seen).await;
            let item = loop {
                match parts.items.snapshot(id, task.kind, &task.owner).await {
                    Ok(item) => break item,
                    Err(_) => tokio::time::sleep(LOOK_AGAIN).await,
                }
            };
            let why = match item {
                Some(item) => check_item(task, id, &item).err().map(|changed| changed.to_string()),
                None => {
                    Some(format!("the item {id} does not exist any more or is not the task owner's to read"))
                }
            };
            if let Some(why) = why {
                let result = format!("{why}; that was while its job began, which was told to end");
                return AttemptEnd::Failed { reason: Reason::ItemChanged, result };
            }
        }
    }
    std::future::pending().await
}

fn refusal(reason: Reason, result: String) -> AttemptEnd {
    AttemptEnd::SubmitFailed { reason, result }
}
