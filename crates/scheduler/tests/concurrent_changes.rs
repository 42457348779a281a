//! Many changes of one task at once: what is acknowledged is kept.
#![allow(clippy::unwrap_used, reason = "what is unwrapped in vain fails the test")]

mod world;

use std::sync::Arc;

use isochrone_domain::{
    Change, CrashPolicy, EpochMillis, Limits, MisfirePolicy, OverlapPolicy, PolicyChange, Role, Task,
};
use isochrone_scheduler::{Quotas, Submissions, Wake};
use isochrone_store::redis::{Options, RedisStore};
use isochrone_store::sqlite::SqliteStore;
use isochrone_store::{Clock, Store};
use isochrone_testkit::RedisServer;
use world::{caller, cron, entry, submission, user};

/// One thing that a change says, and whether a task has it.
type Field = (fn(&mut Change), fn(&Task) -> bool);

fn policies(change: &mut Change) -> &mut PolicyChange {
    &mut change.policies
}

/// Every field that a change has but for the type and the state, which have rules with others.
const FIELDS: [Field; 17] = [
    (|c| c.title = Some("t".to_owned()), |t| t.title == "t"),
    (|c| c.task_url = Some("https://a.example/1".to_owned()), |t| t.task_url.is_some()),
    (|c| c.parameters = Some(r#"{"a": 1}"#.to_owned()), |t| t.parameters.is_some()),
    (|c| c.minute = Some("7".to_owned()), |t| t.cron.minute == "7"),
    (|c| c.hour = Some("8".to_owned()), |t| t.cron.hour == "8"),
    (|c| c.month = Some("9".to_owned()), |t| t.cron.month == "9"),
    (|c| c.start = Some(Some(EpochMillis(5))), |t| t.start == Some(EpochMillis(5))),
    (|c| c.end = Some(Some(EpochMillis::MAX)), |t| t.end == Some(EpochMillis::MAX)),
    (|c| c.max_occurrences = Some(Some(9)), |t| t.max_occurrences == Some(9)),
    (
        |c| policies(c).misfire = Some(MisfirePolicy::RunAll { max: 3 }),
        |t| t.policies.misfire == MisfirePolicy::RunAll { max: 3 },
    ),
    (|c| policies(c).overlap = Some(OverlapPolicy::Queue), |t| t.policies.overlap == OverlapPolicy::Queue),
    (|c| policies(c).max_retries = Some(4), |t| t.policies.retry.max_retries == 4),
    (|c| policies(c).backoff_ms = Some(5_000), |t| t.policies.retry.backoff_ms == 5_000),
    (|c| policies(c).crash = Some(CrashPolicy::AtMostOnce), |t| t.policies.crash == CrashPolicy::AtMostOnce),
    (|c| policies(c).timeout_ms = Some(Some(6_000)), |t| t.policies.timeout_ms == Some(6_000)),
    (
        |c| policies(c).max_consecutive_failures = Some(None),
        |t| t.policies.max_consecutive_failures.is_none(),
    ),
    (
        |c| c.item_id = Some(isochrone_domain::ItemId::from_bytes([8; 16])),
        |t| t.item_id == Some(isochrone_domain::ItemId::from_bytes([8; 16])),
    ),
];

/// 68 changes at once, each of one field of one of four tasks: every one is kept.
async fn none_is_lost(store: Arc<dyn Store>) {
    let pia = caller("pia", Role::Publisher);
    let audit = entry(isochrone_domain::Action::SetUser, store.now().await.unwrap());
    assert!(store.add_user(&user("pia", Role::Publisher), audit).await.unwrap());
    // Two of them, as two portals have it.
    let doors =
        [(); 2].map(|()| Submissions::new(store.clone(), Limits::default(), Quotas::default(), Wake::new()));
    let mut tasks = Vec::new();
    for _ in 0..4 {
        let daily = submission(cron("0", "0"), isochrone_domain::Policies::default());
        tasks.push(doors[0].create(&pia, "pia", daily).await.unwrap().task.id);
    }
    let changes = FIELDS.iter().enumerate().flat_map(|(number, (set, _))| {
        let (door, pia) = (&doors[number % 2], &pia);
        tasks.iter().map(move |task| async move {
            let mut change = Change::default();
            set(&mut change);
            door.update(pia, *task, change).await
        })
    });
    for answer in futures::future::join_all(changes).await {
        answer.unwrap();
    }
    for task in tasks {
        let task = store.task(task).await.unwrap().unwrap();
        let lost: Vec<usize> = (0..FIELDS.len()).filter(|number| !FIELDS[*number].1(&task)).collect();
        assert!(lost.is_empty(), "lost: {lost:?} of {task:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_keeps_every_change() {
    let dir = tempfile::TempDir::new().unwrap();
    none_is_lost(Arc::new(SqliteStore::open(dir.path(), Clock::SYSTEM).unwrap())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_keeps_every_change() {
    let server = RedisServer::start().await.unwrap();
    none_is_lost(Arc::new(RedisStore::open(&server.url(), Options::default()).await.unwrap())).await;
}
