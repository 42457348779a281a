//! What a task says of an item that is somebody else's: which version its owner agreed to run.

use crate::{ItemChanges, ItemId, ItemSnapshot, ItemVersion, Task, TaskId};

/// The version that the task pins when its item is as in `item`: none where the item is the owner's own, where the
/// owner follows its changes, and where there is no item to read.
pub fn pin(task: &Task, item: Option<&ItemSnapshot>) -> Option<ItemVersion> {
    let item = item.filter(|item| !owns(task, &item.owner));
    item.filter(|_| task.policies.item_changes == ItemChanges::Pinned).map(|item| item.version.clone())
}

/// Whether the task says the same of its item as before the change that made it `task`: then its pin stays. An owner
/// who changes something else has not looked at the item.
pub fn keeps_pin(old: &Task, task: &Task) -> bool {
    old.pinned.is_some()
        && old.item_id == task.item_id
        && old.policies.item_changes == task.policies.item_changes
        && old.owner.eq_ignore_ascii_case(&task.owner)
}

/// Somebody else's item that may not run as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ItemChanged {
    /// It does something else than what was pinned.
    #[error(
        "{owner}'s item {item} was changed by {by} at {since}; `isochrone task accept {task}` (or tasks/{task}/accept) \
         agrees to what it does now"
    )]
    Changed {
        /// The item.
        item: ItemId,
        /// Whose it is.
        owner: String,
        /// Who changed what it does.
        by: String,
        /// When.
        since: crate::EpochMillis,
        /// The task.
        task: TaskId,
    },
    /// No version was pinned: the item was not there, or not the owner's to read.
    #[error(
        "{owner}'s item {item} could not be read when the task was made; `isochrone task accept {task}` (or \
         tasks/{task}/accept) agrees to what it does"
    )]
    NeverPinned {
        /// The item.
        item: ItemId,
        /// Whose it is.
        owner: String,
        /// The task.
        task: TaskId,
    },
}

/// Whether the task may run its item as it is in `item`.
pub fn check_item(task: &Task, id: ItemId, item: &ItemSnapshot) -> Result<(), ItemChanged> {
    let follows = task.policies.item_changes == ItemChanges::Follow;
    // What the owner wrote is the owner's, in whosesoever item.
    if follows || owns(task, &item.owner) || owns(task, &item.version.by) {
        return Ok(());
    }
    match &task.pinned {
        Some(pinned) if pinned.digest == item.version.digest => Ok(()),
        Some(_) => Err(ItemChanged::Changed {
            item: id,
            owner: item.owner.clone(),
            by: item.version.by.clone(),
            since: item.version.since,
            task: task.id,
        }),
        None => Err(ItemChanged::NeverPinned { item: id, owner: item.owner.clone(), task: task.id }),
    }
}

/// Whether the task's owner has this name.
pub fn owns(task: &Task, name: &str) -> bool {
    task.owner.eq_ignore_ascii_case(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CronFields, EpochMillis, Limits, Policies, Submission, TaskType, accept};

    fn task(item_changes: ItemChanges) -> Task {
        let [minute, hour, day_of_month, month, day_of_week] = ["0", "3", "*", "*", "?"].map(str::to_owned);
        let submission = Submission {
            title: String::new(),
            kind: TaskType::ExecuteNotebook,
            item_id: Some(ItemId::from_bytes([5; 16])),
            task_url: None,
            parameters: None,
            cron: CronFields { minute, hour, day_of_month, month, day_of_week },
            start: None,
            end: None,
            max_occurrences: None,
            policies: Policies { item_changes, ..Policies::default() },
        };
        let id = TaskId::from_bytes([7; 16]);
        accept(submission, id, "Ada", EpochMillis(1), &Limits::default()).expect("a good task")
    }

    fn item(owner: &str, digest: &str, by: &str) -> ItemSnapshot {
        let version = ItemVersion { digest: digest.to_owned(), since: EpochMillis(5), by: by.to_owned() };
        ItemSnapshot { owner: owner.to_owned(), modified: EpochMillis(9), version }
    }

    fn checked(task: &Task, item: &ItemSnapshot) -> Result<(), ItemChanged> {
        check_item(task, task.item_id.expect("it has one"), item)
    }

    #[test]
    fn another_one_s_item_runs_as_it_was_pinned() {
        let mut task = task(ItemChanges::Pinned);
        let first = item("paul", "one", "paul");
        task.pinned = pin(&task, Some(&first));
        assert_eq!(task.pinned.as_ref(), Some(&first.version));
        assert_eq!(checked(&task, &first), Ok(()));
        let saved_anew = ItemSnapshot { modified: EpochMillis(99), ..first };
        assert_eq!(checked(&task, &saved_anew), Ok(()), "its outputs are others");
        let changed = checked(&task, &item("paul", "two", "eve")).expect_err("it was changed");
        let said = changed.to_string();
        for part in ["paul's item", "changed by eve at 1970-01-01", "task accept 0707"] {
            assert!(said.contains(part), "{said}");
        }
        assert_eq!(checked(&task, &item("paul", "two", "ADA")), Ok(()), "the owner wrote it");
    }

    #[test]
    fn what_was_never_seen_is_not_run() {
        let mut task = task(ItemChanges::Pinned);
        task.pinned = pin(&task, None);
        assert!(matches!(checked(&task, &item("paul", "one", "paul")), Err(ItemChanged::NeverPinned { .. })));
        assert_eq!(checked(&task, &item("ADA", "one", "ada")), Ok(()));
    }

    #[test]
    fn one_s_own_items_and_what_is_followed_are_not_pinned() {
        let mut own = task(ItemChanges::Pinned);
        own.pinned = pin(&own, Some(&item("ada", "one", "ada")));
        assert_eq!(own.pinned, None);
        assert_eq!(checked(&own, &item("ada", "two", "eve")), Ok(()), "who may write one's items is known");
        let mut follows = task(ItemChanges::Follow);
        follows.pinned = pin(&follows, Some(&item("paul", "one", "paul")));
        assert_eq!(follows.pinned, None);
        assert_eq!(checked(&follows, &item("paul", "two", "eve")), Ok(()));
    }

    #[test]
    fn a_pin_stays_until_the_task_says_something_else_of_its_item() {
        let mut old = task(ItemChanges::Pinned);
        old.pinned = pin(&old, Some(&item("paul", "one", "paul")));
        assert!(keeps_pin(&old, &Task { title: "other".to_owned(), ..old.clone() }));
        assert!(!keeps_pin(&old, &Task { item_id: Some(ItemId::from_bytes([6; 16])), ..old.clone() }));
        assert!(!keeps_pin(&old, &Task { owner: "bob".to_owned(), ..old.clone() }));
        assert!(!keeps_pin(&old, &Task { policies: task(ItemChanges::Follow).policies, ..old.clone() }));
    }
}
