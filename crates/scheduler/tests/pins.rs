//! What a task pins of somebody else's item, and when it pins it anew.
#![allow(clippy::unwrap_used, reason = "what is unwrapped in vain fails the test")]

mod world;

use isochrone_domain::{
    Access, Action, AuditEntry, Change, EpochMillis, Item, ItemChanges, ItemDetails, ItemId, ItemVersion,
    Policies, PolicyChange, Role, Task, UnknownFields, item_digest,
};
use isochrone_scheduler::{Caller, SubmitError};
use isochrone_store::{ItemStore, Saved};
use world::{NOON, World, caller, cron, slow_clock_at, submission};

const ITEM: ItemId = ItemId::from_bytes([5; 16]);

fn ada() -> Caller {
    caller("ada", Role::Admin)
}

fn pia() -> Caller {
    caller("pia", Role::Publisher)
}

fn notebook(source: &str, output: &str) -> Vec<u8> {
    format!(
        r#"{{"nbformat": 4, "nbformat_minor": 5, "metadata": {{}}, "cells": [{{"cell_type": "code", "metadata": {{}},
            "execution_count": null, "source": "{source}", "outputs": [{{"output_type": "stream", "text": "{output}"}}]}}]}}"#
    )
    .into_bytes()
}

/// Puts this into pia's shared item, as `by`.
async fn put(world: &World, id: ItemId, data: &[u8], by: &str, now: i64) {
    let now = EpochMillis(now);
    let item = world.store.item(id).await.unwrap().unwrap_or(Item {
        id,
        owner: "pia".to_owned(),
        access: Access::Org,
        title: "chart".to_owned(),
        kind: "Notebook".to_owned(),
        size: 0,
        created: now,
        modified: now,
        content: ItemVersion::default(),
        details: ItemDetails::default(),
        version: 0,
        unknown: UnknownFields::NONE,
    });
    let item = item.with_data(data, by, now);
    let audit = AuditEntry::new(now, by, Action::AddItem, "pia", "chart");
    assert_eq!(world.store.put_item(&item, Some(data.to_vec().into()), audit).await.unwrap(), Saved::Done);
}

async fn world() -> World {
    World::new(slow_clock_at(NOON)).await
}

async fn create(world: &World, caller: &Caller, owner: &str, item_changes: ItemChanges) -> Task {
    let policies = Policies { item_changes, ..Policies::default() };
    world.submissions.create(caller, owner, submission(cron("0", "0"), policies)).await.unwrap().task
}

fn digest_of(task: &Task) -> Option<&str> {
    task.pinned.as_ref().map(|pinned| pinned.digest.as_str())
}

#[tokio::test]
async fn another_one_s_item_is_pinned_and_one_s_own_is_not() {
    let world = world().await;
    put(&world, ITEM, &notebook("one", ""), "pia", 1).await;
    let digest = item_digest(&notebook("one", "anything"));
    let adas = create(&world, &ada(), "ada", ItemChanges::Pinned).await;
    assert_eq!(digest_of(&adas), Some(digest.as_str()));
    assert_eq!(adas.pinned.as_ref().map(|pinned| (pinned.by.as_str(), pinned.since.0)), Some(("pia", 1)));
    assert_eq!(digest_of(&create(&world, &pia(), "PIA", ItemChanges::Pinned).await), None);
    assert_eq!(digest_of(&create(&world, &ada(), "pia", ItemChanges::Pinned).await), None, "made for pia");
    assert_eq!(digest_of(&create(&world, &ada(), "ada", ItemChanges::Follow).await), None);
}

#[tokio::test]
async fn a_change_of_something_else_accepts_nothing() {
    let world = world().await;
    put(&world, ITEM, &notebook("one", ""), "pia", 1).await;
    let task = create(&world, &ada(), "ada", ItemChanges::Pinned).await;
    put(&world, ITEM, &notebook("two", ""), "pia", 2).await;
    let s = &world.submissions;
    let change = Change { title: Some("other".to_owned()), item_id: Some(ITEM), ..Change::default() };
    let changed = s.update(&ada(), task.id, change).await.unwrap().task;
    assert_eq!((&changed.pinned, changed.title.as_str()), (&task.pinned, "other"));
    s.disable(&ada(), task.id).await.unwrap();
    assert_eq!(s.enable(&ada(), task.id).await.unwrap().pinned, task.pinned);

    let other = ItemId::from_bytes([6; 16]);
    put(&world, other, &notebook("three", ""), "pia", 3).await;
    let change = Change { item_id: Some(other), ..Change::default() };
    let changed = s.update(&ada(), task.id, change).await.unwrap().task;
    assert_eq!(digest_of(&changed), Some(item_digest(&notebook("three", "")).as_str()));
    let policy = |item_changes| Change {
        policies: PolicyChange { item_changes: Some(item_changes), ..PolicyChange::default() },
        ..Change::default()
    };
    assert_eq!(digest_of(&s.update(&ada(), task.id, policy(ItemChanges::Follow)).await.unwrap().task), None);
    put(&world, other, &notebook("four", ""), "pia", 4).await;
    let pinned = s.update(&ada(), task.id, policy(ItemChanges::Pinned)).await.unwrap().task;
    assert_eq!(digest_of(&pinned), Some(item_digest(&notebook("four", "")).as_str()));
}

#[tokio::test]
async fn accepting_pins_anew_what_was_seen() {
    let world = world().await;
    put(&world, ITEM, &notebook("one", ""), "pia", 1).await;
    let task = create(&world, &ada(), "ada", ItemChanges::Pinned).await;
    put(&world, ITEM, &notebook("two", ""), "pia", 2).await;
    let (seen, s) = (item_digest(&notebook("two", "")), &world.submissions);
    put(&world, ITEM, &notebook("three", ""), "pia", 3).await;
    // She looked at it, and it was changed once more.
    match s.accept_item(&ada(), task.id, Some(seen)).await {
        Err(SubmitError::Conflict(told)) => assert!(told.contains("pia changed it at"), "{told}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(world.task(task.id).await.pinned, task.pinned);
    for refused in [pia(), caller("vera", Role::Viewer)] {
        let answer = s.accept_item(&refused, task.id, None).await;
        assert!(matches!(answer, Err(SubmitError::Forbidden)), "{answer:?}");
    }
    let accepted = s.accept_item(&ada(), task.id, None).await.unwrap();
    assert_eq!(digest_of(&accepted), Some(item_digest(&notebook("three", "")).as_str()));
    let entry = world.audit().await.pop().unwrap();
    assert_eq!((entry.action, entry.actor.as_str(), entry.item), (Action::AcceptItem, "ada", Some(ITEM)));
    let before = world.audit().await.len();
    s.accept_item(&ada(), task.id, None).await.unwrap();
    assert_eq!(world.audit().await.len(), before, "once more is nothing");
    let pias = create(&world, &pia(), "pia", ItemChanges::Pinned).await;
    assert_eq!(digest_of(&s.accept_item(&pia(), pias.id, None).await.unwrap()), None);
}

#[tokio::test]
async fn what_can_t_be_read_is_not_pinned() {
    let world = world().await;
    let task = create(&world, &ada(), "ada", ItemChanges::Pinned).await;
    assert_eq!(digest_of(&task), None);
    let missing = world.submissions.accept_item(&ada(), task.id, None).await;
    assert!(matches!(missing, Err(SubmitError::NotFound { what: "item" })), "{missing:?}");
    put(&world, ITEM, &notebook("one", ""), "pia", 1).await;
    let item = world.store.item(ITEM).await.unwrap().unwrap();
    let private = Item { access: Access::Private, ..item };
    let audit = AuditEntry::new(EpochMillis(2), "pia", Action::AddItem, "pia", "chart");
    assert_eq!(world.store.put_item(&private, None, audit).await.unwrap(), Saved::Done);
    let paul = caller("paul", Role::Publisher);
    assert_eq!(digest_of(&create(&world, &paul, "paul", ItemChanges::Pinned).await), None);
}

#[tokio::test]
async fn a_task_that_is_handed_over_pins_for_its_new_owner() {
    let world = world().await;
    put(&world, ITEM, &notebook("one", ""), "pia", 1).await;
    let task = create(&world, &ada(), "ada", ItemChanges::Pinned).await;
    let s = &world.submissions;
    let refused = s.hand_over(&pia(), task.id, "pia").await;
    assert!(matches!(refused, Err(SubmitError::Forbidden)), "{refused:?}");
    assert_eq!(digest_of(&s.hand_over(&ada(), task.id, "PIA").await.unwrap()), None, "it is hers now");
    let handed = s.hand_over(&ada(), task.id, "paul").await.unwrap();
    assert_eq!((handed.owner.as_str(), digest_of(&handed).is_some()), ("paul", true));
}
