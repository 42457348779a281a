//! What a newer version stored and this one does not know: fields are kept through every write, and a record with a
//! value that is unknown is left as it is and stops nothing else.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use isochrone_domain::{
    Access, Action, Amendment, Artifact, AttemptEnd, AuditEntry, CancelReason, EpochMillis, Item,
    ItemDetails, ItemId, ItemSnapshot, ItemVersion, Outcome, OverlapPolicy, Reason, Role, Run, RunId, Task,
    TaskId, UnknownFields, User, UserChange, enable,
};
use isochrone_store::{
    Cancelled, Grant, Renewal, Saved, StoreError, TaskFilter, Token, TokenBinding, TokenHash, TokenPurpose,
    UserChanged,
};
use serde_json::{Value, json};

use super::world::{LONG, SHORT, World, claimant, entry, failed, fence, held, kept, plan, succeeded};

/// A record by what it is found with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stored {
    Task(TaskId),
    Run(RunId),
    /// The user Ann.
    Ann,
    Item(ItemId),
    Grant(TokenHash),
}

/// What a store holds, without the store.
pub(crate) trait Bodies {
    /// The record's JSON.
    fn body(&self, of: Stored) -> impl Future<Output = String> + Send;
    /// Writes it over the record's.
    fn put_body(&self, of: Stored, body: String) -> impl Future<Output = ()> + Send;
}

async fn change(bodies: &impl Bodies, of: Stored, change: impl FnOnce(&mut Value)) {
    let mut body: Value = serde_json::from_str(&bodies.body(of).await).unwrap();
    change(&mut body);
    bodies.put_body(of, body.to_string()).await;
}

/// Adds a field to a record and to the objects in it that `within` names.
async fn add_fields(bodies: &impl Bodies, of: Stored, within: &[&str]) {
    change(bodies, of, |body| {
        body["added"] = json!({"by": "a newer version", "list": [1, null]});
        for pointer in within {
            body.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}"))["added"] = json!(pointer);
        }
    })
    .await;
}

#[track_caller]
fn assert_kept(body: &str, within: &[&str], after: &str) {
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["added"], json!({"by": "a newer version", "list": [1, null]}), "after {after}: {body}");
    for pointer in within {
        let part = body.pointer(pointer).unwrap_or_else(|| panic!("{pointer} in {body}"));
        assert_eq!(part["added"], json!(pointer), "after {after}: {body}");
    }
}

fn asks(action: Action, run: &Run) -> AuditEntry {
    AuditEntry { run: Some(run.id), ..entry(action, run.task) }
}

const OF_TASK: [&str; 4] = ["/policies", "/policies/retry", "/policies/misfire", "/cron"];

pub(crate) async fn a_tasks_fields_are_kept(world: &World, bodies: &impl Bodies) {
    let task = world.add(|task| task.policies.max_consecutive_failures = Some(1)).await.id;
    let of = Stored::Task(task);
    add_fields(bodies, of, &OF_TASK).await;
    let kept = async |after: &str| assert_kept(&bodies.body(of).await, &OF_TASK, after);

    let now = world.now().await.unwrap();
    let due = world.due_tasks(now, 10).await.unwrap();
    let due = due.iter().find(|due| due.task.id == task).expect("it is due");
    let commit = plan(&due.task, due.unfinished, now);
    let run = commit.runs.last().expect("a fire was due").clone();
    assert_eq!(world.commit_fires(vec![commit]).await.unwrap(), [Saved::Done]);
    kept("a fire").await;

    world.carried_out(run.id, failed()).await;
    assert_eq!(world.read_task(task).await.consecutive_failures, 1);
    kept("a run that failed and disabled it").await;

    let enabled = enable(&world.read_task(task).await, now);
    assert_eq!(world.save_task(&enabled, entry(Action::EnableTask, task)).await.unwrap(), Saved::Done);
    kept("enable").await;

    let mut updated = world.read_task(task).await;
    "Changed".clone_into(&mut updated.title);
    updated.policies.retry.max_retries = 2;
    updated.policies.overlap = OverlapPolicy::Queue;
    "bob".clone_into(&mut updated.owner);
    assert_eq!(world.save_task(&updated, entry(Action::UpdateTask, task)).await.unwrap(), Saved::Done);
    kept("update").await;

    let run = world.request(task).await;
    kept("run now").await;
    let _ = world.carried_out(run.id, succeeded()).await;
    let amendment = Amendment { outcome: Some(Outcome::Failed), result: None };
    world.amend_run(run.id, amendment, asks(Action::UpdateRun, &run)).await.unwrap();
    kept("an amended run").await;
    world.retry_run(run.id, asks(Action::RetryRun, &run)).await.unwrap();
    kept("a run that begins again").await;
    world.lost(run.id).await;
    kept("a worker's death").await;
    let stored = world.read_task(task).await;
    assert!(world.reseal_task(&stored).await.unwrap());
    kept("a change of keys").await;
    let listed = world.tasks_from(&TaskFilter::default(), None, 10).await.unwrap();
    let listed = listed.rows.into_iter().find(|listed| listed.id == task).expect("it is listed");
    assert_eq!(world.save_task(&listed, entry(Action::UpdateTask, task)).await.unwrap(), Saved::Done);
    kept("a change of what was listed").await;
}

pub(crate) async fn a_runs_fields_are_kept(world: &World, bodies: &impl Bodies) {
    let task = world.add(|task| {
        task.policies.overlap = OverlapPolicy::Queue;
        task.policies.retry.max_retries = 1;
    });
    let task = task.await.id;
    let (first, run) = (world.request(task).await, world.request(task).await);
    let of = Stored::Run(run.id);
    add_fields(bodies, of, &["/trigger"]).await;
    let kept_with = async |within: &[&str], after: &str| {
        let within = [&["/trigger"], within].concat();
        assert_kept(&bodies.body(of).await, &within, after);
    };

    world.carried_out(first.id, succeeded()).await;
    kept_with(&[], "its turn").await;
    world.claimed(run.id, LONG).await;
    kept_with(&[], "a claim").await;
    let within = ["/status", "/status/lease"];
    add_fields(bodies, of, &within).await;
    let renewed = world.renew("w1", &[held(run.id, 1)], LONG).await.unwrap();
    assert_eq!(renewed, [Renewal::Held { cancel: None }]);
    kept_with(&within, "a renewal").await;
    kept(world.checkpoint(run.id, fence(1), "{}").await.unwrap());
    kept_with(&within, "a handle").await;
    let version = ItemVersion { digest: "00".to_owned(), since: EpochMillis(1), by: "ann".to_owned() };
    let item = ItemSnapshot { owner: "ann".to_owned(), modified: EpochMillis(1), version };
    kept(world.note_item(run.id, fence(1), &item).await.unwrap());
    add_fields(bodies, of, &["/item"]).await;
    assert!(world.reseal_handle(run.id, "{}", "{ }").await.unwrap());
    kept_with(&["/item", "/status", "/status/lease"], "a change of keys").await;
    kept(world.finish(run.id, fence(1), failed(), Vec::new()).await.unwrap());
    kept_with(&["/item"], "a failed attempt that is tried again").await;

    world.lost(run.id).await;
    kept_with(&["/item"], "a worker's death").await;
    world.claimed(run.id, LONG).await;
    world.cancel_run(run.id, CancelReason::Requested, asks(Action::CancelRun, &run)).await.unwrap();
    add_fields(bodies, of, &["/cancel"]).await;
    let artifact = Artifact {
        name: "a".to_owned(),
        content_type: "text/plain".to_owned(),
        size: 1,
        location: "x".to_owned(),
    };
    let end = AttemptEnd::Failed { reason: Reason::Cancelled, result: "ended".to_owned() };
    let ended = kept(world.finish(run.id, fence(3), end, vec![artifact]).await.unwrap());
    assert!(ended.status.ended(), "{ended:?}");
    kept_with(&["/item", "/cancel"], "its end").await;
    let within = ["/artifacts/0", "/status"];
    add_fields(bodies, of, &within).await;
    let amendment = Amendment { outcome: Some(Outcome::Succeeded), result: Some("right".to_owned()) };
    let amended = world.amend_run(run.id, amendment, asks(Action::UpdateRun, &run)).await.unwrap();
    assert!(matches!(amended, Cancelled::Done(_)), "{amended:?}");
    kept_with(&within, "an amendment").await;
    let again = world.retry_run(run.id, asks(Action::RetryRun, &run)).await.unwrap();
    assert!(matches!(again, Cancelled::Done(_)), "{again:?}");
    kept_with(&[], "its new begin").await;
}

pub(crate) async fn fields_of_users_items_and_grants_are_kept(world: &World, bodies: &impl Bodies) {
    let at = |action| AuditEntry { at: EpochMillis(5), ..entry(action, TaskId::from_bytes([0; 16])) };
    let ann = User {
        name: "Ann".to_owned(),
        role: Role::Admin,
        password_hash: "h".to_owned(),
        created: EpochMillis(1),
        last_login: None,
        disabled: None,
        epoch: 0,
        unknown: UnknownFields::NONE,
    };
    assert!(world.add_user(&ann, at(Action::SetUser)).await.unwrap());
    add_fields(bodies, Stored::Ann, &[]).await;
    let token = Token {
        user: "Ann".to_owned(),
        expires: world.now().await.unwrap() + LONG,
        binding: TokenBinding::None,
        purpose: TokenPurpose::SignIn,
    };
    assert!(world.put_token(TokenHash([7; 32]), &token, &ann, at(Action::SignIn)).await.unwrap());
    assert_kept(&bodies.body(Stored::Ann).await, &[], "a sign-in");
    let change = UserChange { password_hash: Some("other".to_owned()), ..UserChange::default() };
    let changed = world.change_user("ann", &change, at(Action::SetUser)).await.unwrap();
    assert!(matches!(changed, UserChanged::Done(_)), "{changed:?}");
    assert_kept(&bodies.body(Stored::Ann).await, &[], "a new password");

    let item = Item {
        id: ItemId::from_bytes([3; 16]),
        owner: "Ann".to_owned(),
        access: Access::Private,
        title: "Map".to_owned(),
        kind: "Notebook".to_owned(),
        size: 0,
        created: EpochMillis(1),
        modified: EpochMillis(1),
        content: ItemVersion::default(),
        details: ItemDetails::default(),
        version: 0,
        unknown: UnknownFields::NONE,
    };
    assert_eq!(world.put_item(&item, None, at(Action::AddItem)).await.unwrap(), Saved::Done);
    let of = Stored::Item(item.id);
    add_fields(bodies, of, &["/content"]).await;
    let read = world.item(item.id).await.unwrap().expect("it is there");
    let read = Item { title: "Chart".to_owned(), ..read };
    assert_eq!(world.put_item(&read, None, at(Action::AddItem)).await.unwrap(), Saved::Done);
    assert_kept(&bodies.body(of).await, &["/content"], "a change");

    let hash = TokenHash([9; 32]);
    let grant = Grant {
        user: "Ann".to_owned(),
        expires: world.now().await.unwrap() + LONG,
        terms: "{}".to_owned(),
        unknown: UnknownFields::NONE,
    };
    world.put_grant(hash, &grant).await.unwrap();
    add_fields(bodies, Stored::Grant(hash), &[]).await;
    let (_, read) = world.grants().await.unwrap().pop().expect("it is there");
    let new = Grant { terms: "{ }".to_owned(), ..read.clone() };
    assert!(!world.reseal_grant(hash, &grant, &new).await.unwrap(), "it is not what was read");
    assert!(world.reseal_grant(hash, &read, &new).await.unwrap());
    assert_kept(&bodies.body(Stored::Grant(hash)).await, &[], "a change of keys");
}

/// A task and a run with a value that is unknown, one user and one of the fleet, among others that are as ever.
pub(crate) async fn an_unknown_value_stops_no_other_and_is_never_overwritten(
    world: &World,
    bodies: &impl Bodies,
) {
    let (good, newer) = (world.add(|_| {}).await, world.add(|_| {}).await);
    let orphan = world.request(newer.id).await;
    let (running, run, waits) = (world.some_run().await, world.some_run().await, world.some_run().await);
    for id in [orphan.id, running.id, run.id] {
        world.claimed(id, SHORT).await;
    }
    change(bodies, Stored::Task(newer.id), |body| body["policies"]["overlap"] = json!("whenIdle")).await;
    change(bodies, Stored::Run(run.id), |body| body["trigger"]["kind"] = json!("event")).await;
    change(bodies, Stored::Run(waits.id), |body| body["fired"] = json!("by_event")).await;
    let mut left = BTreeMap::new();
    for of in [Stored::Task(newer.id), Stored::Run(run.id), Stored::Run(waits.id)] {
        left.insert(format!("{of:?}"), (of, bodies.body(of).await));
    }

    let now = world.now().await.unwrap() + SHORT * 2;
    world.reach(now).await;
    let due = world.due_tasks(now, 10).await.unwrap();
    assert!(due.iter().any(|due| due.task.id == good.id) && due.iter().all(|due| due.task.id != newer.id));
    let reaped = world.reap(now, 10).await.unwrap();
    assert_eq!(reaped.iter().map(|run| run.id).collect::<Vec<_>>(), [running.id]);
    assert_eq!(world.fire(good.id).await.len(), 1);
    let corrupt = |error: StoreError| assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
    let over = Task { title: "x".to_owned(), ..newer.clone() };
    match world.save_task(&over, entry(Action::UpdateTask, newer.id)).await {
        Ok(saved) => assert_eq!(saved, Saved::Stale),
        Err(error) => corrupt(error),
    }
    let by = claimant("w2", fence(9).nonce);
    for id in [run.id, waits.id] {
        corrupt(world.claim(id, &by, LONG).await.unwrap_err());
        corrupt(
            world.cancel_run(id, CancelReason::Requested, asks(Action::CancelRun, &run)).await.unwrap_err(),
        );
    }
    let inserted = world.insert_task(&newer, entry(Action::CreateTask, newer.id)).await.unwrap();
    assert_eq!(inserted, Saved::Repeated);
    world.reach(now + Duration::from_millis(20)).await;
    for (of, body) in left.into_values() {
        assert_eq!(bodies.body(of).await, body, "{of:?}");
    }
}

/// The run whose turn has come can't be read: the end of the one ahead of it is kept, and so is what fires next.
pub(crate) async fn an_unreadable_run_in_a_line_holds_up_nobody_ahead_of_it(
    world: &World,
    bodies: &impl Bodies,
) {
    let task = world.add_queueing().await.id;
    let (first, newer) = (world.request(task).await, world.request(task).await);
    change(bodies, Stored::Run(newer.id), |body| body["trigger"]["kind"] = json!("event")).await;
    let left = bodies.body(Stored::Run(newer.id)).await;
    let ended = world.carried_out(first.id, succeeded()).await;
    assert!(ended.status.ended(), "{ended:?}");
    assert_eq!(world.fire(task).await.len(), 1);
    assert_eq!(bodies.body(Stored::Run(newer.id)).await, left);
}
