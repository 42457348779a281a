//! A request whose first answer was in doubt, and that finds when it is repeated what it did: nobody says that it is done
//! while one server of Redis has it alone.
#![allow(clippy::unwrap_used, reason = "what is unwrapped in vain fails the test")]

mod world;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, TryFutureExt};
use isochrone_domain::{Action, Change, Limits, Policies, Role, Task, TaskId, TaskState, Transfer};
use isochrone_scheduler::{Once, Quotas, Submissions, SubmitError, Taken, Wake};
use isochrone_store::redis::{Options, RedisStore};
use isochrone_store::{AccountStore, StoreError, TaskStore};
use isochrone_testkit::{RedisServer, eventually};
use world::{caller, cron, entry, submission, user};

type Request<'a> = (&'static str, Box<dyn Fn() -> BoxFuture<'a, Result<String, SubmitError>> + 'a>);

fn request<'a, T, F>(name: &'static str, ask: impl Fn() -> F + 'a) -> Request<'a>
where
    T: Debug,
    F: Future<Output = Result<T, SubmitError>> + Send + 'a,
{
    (name, Box::new(move || ask().map_ok(|answer| format!("{answer:?}")).boxed()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_request_is_answered_when_a_replica_has_what_it_did() {
    // A replica that is stopped counts as one that follows: it is asked for all the same.
    let settings = [("min-replicas-to-write", "1"), ("min-replicas-max-lag", "3600")];
    let master = RedisServer::start_with(&settings).await.unwrap();
    let replica = master.start_replica(&[]).await.unwrap();
    let store = Arc::new(RedisStore::open(&master.url(), Options::default()).await.unwrap());
    let now = store.now().await.unwrap();
    assert!(store.add_user(&user("pia", Role::Publisher), entry(Action::SetUser, now)).await.unwrap());
    let requests = Submissions::new(store.clone(), Limits::default(), Quotas::default(), Wake::new());
    let (requests, pia) = (&requests, &caller("pia", Role::Publisher));
    let daily = || submission(cron("0", "0"), Policies::default());

    let mut tasks: Vec<Task> = Vec::new();
    for _ in 0..8 {
        tasks.push(requests.create(pia, "pia", daily()).await.unwrap().task);
    }
    let [run, backfilled, changed, disabled, enabled, deleted, cancelled, forgotten] =
        tasks.iter().map(|task| task.id).collect::<Vec<_>>().try_into().unwrap();
    requests.disable(pia, enabled).await.unwrap();
    let cancelled = requests.run_now(pia, cancelled, [1; 16]).await.unwrap().id;
    let forgotten = requests.run_now(pia, forgotten, [1; 16]).await.unwrap().id;
    requests.cancel_run(pia, forgotten).await.unwrap();

    let once = &Once { key: "a key".to_owned(), digest: "of what is asked for".to_owned() };
    let brought = &Transfer {
        id: TaskId::random(),
        owner: "pia".to_owned(),
        submission: daily(),
        state: TaskState::Active,
        occurrences: 0,
        consecutive_failures: 0,
        created: None,
    };
    let change = || Change { title: Some("another".to_owned()), ..Change::default() };
    let span = now - Duration::from_hours(25)..=now;
    let all = [
        request("create", || requests.create(pia, "pia", daily())),
        request("create, once", || requests.create_once(pia, "pia", daily(), once)),
        request("adopt", || requests.adopt(pia, brought.clone(), Taken::Keep)),
        request("run", || requests.run_now(pia, run, [2; 16])),
        request("backfill", || requests.backfill(pia, backfilled, span.clone())),
        request("update", || requests.update(pia, changed, change())),
        request("disable", || requests.disable(pia, disabled)),
        request("enable", || requests.enable(pia, enabled)),
        request("cancel", || requests.cancel_run(pia, cancelled)),
        request("delete a run", || requests.delete_run(pia, forgotten)),
        request("delete a task", || requests.delete(pia, deleted)),
    ];
    replica.pause().unwrap();
    for again in [false, true] {
        for (name, ask) in &all {
            let answer = ask().await;
            let in_doubt = matches!(answer, Err(SubmitError::Store(StoreError::Unavailable(_))));
            assert!(in_doubt, "{name}, again: {again}: {answer:?}");
        }
    }
    assert!(store.task(deleted).await.unwrap().is_none(), "the master has it");

    replica.resume().unwrap();
    eventually("the replica to follow", async || Ok(requests.create(pia, "pia", daily()).await.ok()))
        .await
        .unwrap();
    for (name, ask) in &all {
        let answer = ask().await;
        let gone = matches!(answer, Err(SubmitError::NotFound { .. } | SubmitError::Conflict(_)));
        assert!(
            answer.is_ok() || (gone && ["cancel", "delete a run", "delete a task"].contains(name)),
            "{name}: {answer:?}"
        );
    }
    let made = requests.create_once(pia, "pia", daily(), once).await.unwrap().task.id;
    drop(master);
    replica.command("REPLICAOF NO ONE").await.unwrap();
    let store = RedisStore::open(&replica.url(), Options::default()).await;
    let store = store.unwrap();
    for there in [made, brought.id] {
        assert!(store.task(there).await.unwrap().is_some());
    }
    assert_eq!(store.task(changed).await.unwrap().unwrap().title, "another");
    assert_eq!(store.unfinished(run).await.unwrap(), 1);
    assert!(store.task(deleted).await.unwrap().is_none());
}
