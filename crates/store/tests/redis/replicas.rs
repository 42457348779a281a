//! Masters whose replicas lag: what was acknowledged outlives the master, and what may not is not acknowledged.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use futures::{FutureExt, TryFutureExt};
use isochrone_domain::{Action, CancelReason, ItemId, Task, TaskId, plan_request};
use isochrone_store::redis::{Options, RedisStore};
use isochrone_store::{Claim, Saved, Scope, StoreError};
use isochrone_testkit::{RedisCluster, RedisSentinel, RedisServer};

use super::conformance::world::{LONG, World, claimant, entry, fence, new_task, succeeded};
use super::{hosts, refusal};

/// Tasks that are acknowledged before the master dies.
const TASKS: usize = 24;

/// Tries until the store takes a write again.
pub(super) async fn until_it_writes(world: &World) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while let Err(error) = world.hold("test", "test", LONG).await {
        assert!(Instant::now() < deadline, "{error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn add(world: &World, task: &Task) -> Result<Saved, StoreError> {
    world.insert_task(task, entry(Action::CreateTask, task.id)).await
}

async fn some_task(world: &World) -> Task {
    new_task(world.now().await.unwrap() - Duration::from_mins(1))
}

/// Adds tasks; each must be acknowledged.
async fn acknowledged(world: &World) -> Vec<Task> {
    let mut tasks = Vec::new();
    for _ in 0..TASKS {
        let task = some_task(world).await;
        assert_eq!(add(world, &task).await.unwrap(), Saved::Done);
        tasks.push(task);
    }
    tasks
}

/// All of them are there once the store answers again.
async fn are_there(world: &World, tasks: &[Task]) {
    let deadline = Instant::now() + Duration::from_mins(1);
    for task in tasks {
        loop {
            match world.task(task.id).await {
                Ok(found) => break assert!(found.is_some(), "an acknowledged task is lost: {}", task.id),
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn is_unavailable<T: std::fmt::Debug>(answer: &Result<T, StoreError>) -> bool {
    matches!(answer, Err(StoreError::Unavailable(_)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_lose_nothing_that_was_acknowledged_when_a_master_dies_whose_replica_lags() {
    let mut servers = RedisSentinel::start().await.unwrap();
    let url = format!("redis+sentinel://{}/{}", hosts(&servers.sentinel_urls()), RedisSentinel::SERVICE);
    let open = async || World(Arc::new(RedisStore::open(&url, Options::default()).await.unwrap()));
    let (world, other) = (open().await, open().await);
    let run = world.some_run().await;
    let before = acknowledged(&world).await;

    // Nobody but the master has it: it is not acknowledged, neither now nor when it is asked for again anywhere.
    servers.replicas[0].pause().unwrap();
    servers.replicas[1].pause().unwrap();
    let doubtful = some_task(&world).await;
    let answer = add(&world, &doubtful).await;
    assert!(is_unavailable(&answer), "{answer:?}");
    assert!(world.task(doubtful.id).await.unwrap().is_some(), "reads do not wait");
    for world in [&world, &other] {
        let again = add(world, &doubtful).await;
        assert!(is_unavailable(&again), "{again:?}");
    }
    let by = claimant("w1", fence(1).nonce);
    let claim = world.claim(run.id, &by, LONG).await;
    assert!(is_unavailable(&claim), "{claim:?}");

    // One that follows is enough, and it is the one that takes over.
    servers.replicas[1].resume().unwrap();
    until_it_writes(&world).await;
    assert_eq!(add(&other, &doubtful).await.unwrap(), Saved::Repeated);
    let claim = world.claim(run.id, &by, LONG).await.unwrap();
    assert!(matches!(claim, Claim::Granted(_)), "the same claim: {claim:?}");
    let mut tasks = acknowledged(&world).await;
    tasks.extend(before);
    tasks.push(doubtful);
    servers.master.kill().unwrap();
    servers.replicas[0].resume().unwrap();
    until_it_writes(&world).await;
    are_there(&world, &tasks).await;
    assert_eq!(world.read_run(run.id).await.attempt, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_loses_nothing_that_was_acknowledged_when_a_master_dies_whose_replica_lags() {
    let mut cluster = RedisCluster::start().await.unwrap();
    cluster.replicate_first().await.unwrap();
    let url = format!("redis+cluster://{}", hosts(&cluster.urls()));
    let world = World(Arc::new(RedisStore::open(&url, Options::default()).await.unwrap()));
    let mut tasks = acknowledged(&world).await;

    cluster.replicas()[0].pause().unwrap();
    cluster.replicas()[1].pause().unwrap();
    // A third of the shards is on the first master, the others have no replicas.
    let (mut refused, mut taken) = (0, 0);
    while refused == 0 || taken == 0 {
        let task = some_task(&world).await;
        match add(&world, &task).await {
            Ok(_) => {
                taken += 1;
                tasks.push(task);
            }
            Err(StoreError::Unavailable(_)) => refused += 1,
            Err(error) => panic!("{error}"),
        }
        assert!(refused + taken < 200, "{refused} refused, {taken} taken");
    }

    cluster.replicas()[1].resume().unwrap();
    tasks.extend(acknowledged(&world).await);
    cluster.node(0).kill().unwrap();
    cluster.replicas()[0].resume().unwrap();
    are_there(&world, &tasks).await;
    until_it_writes(&world).await;
    let mut last = None;
    let deadline = Instant::now() + Duration::from_mins(1);
    for _ in 0..TASKS {
        let task = some_task(&world).await;
        // The new master may still be without its replica.
        while let Err(error) = add(&world, &task).await {
            assert!(Instant::now() < deadline, "{error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        last = Some(task);
    }
    are_there(&world, &last.into_iter().collect::<Vec<_>>()).await;
}

type Step<'a> = (&'static str, Box<dyn Fn() -> BoxFuture<'a, Result<String, StoreError>> + 'a>);

/// What is asked for of a store, and may be asked for again.
fn step<'a, T, F>(name: &'static str, ask: impl Fn() -> F + 'a) -> Step<'a>
where
    T: std::fmt::Debug,
    F: Future<Output = Result<T, StoreError>> + Send + 'a,
{
    (name, Box::new(move || ask().map_ok(|answer| format!("{answer:?}")).boxed()))
}

/// What a request did before whose answer was lost or in doubt, is said to be done when a replica has it, and not before:
/// whatever the request is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_repeated_is_said_to_be_done_when_a_replica_has_it() {
    // A replica that is stopped counts as one that follows: it is asked for all the same.
    let settings = [("min-replicas-to-write", "1"), ("min-replicas-max-lag", "3600")];
    let master = RedisServer::start_with(&settings).await.unwrap();
    let replica = master.start_replica(&[]).await.unwrap();
    let world = &World(Arc::new(RedisStore::open(&master.url(), Options::default()).await.unwrap()));

    let (inserted, deleted) = (&some_task(world).await, world.add(|_| {}).await.id);
    let [asked, cancelled, claimed, noted, finished, over] = {
        let mut runs = Vec::new();
        for _ in 0..6 {
            runs.push(world.some_run().await.id);
        }
        runs.try_into().unwrap()
    };
    let asked = world.read_run(asked).await.task;
    let (task, now) = (world.read_task(asked).await, world.now().await.unwrap());
    let (task, run) = &plan_request(&task, 1, "ann", *TaskId::random().as_bytes(), now).unwrap();
    for run in [noted, finished] {
        world.claimed(run, LONG).await;
    }
    world.carried_out(over, succeeded()).await;
    let by = &claimant("w1", fence(1).nonce);
    let audit = |action| entry(action, asked);
    let steps = [
        step("a task", || world.insert_task(inserted, audit(Action::CreateTask))),
        step("a run", || world.commit_request(task.clone(), run.clone(), audit(Action::RunTask))),
        step("a claim", || world.claim(claimed, by, LONG)),
        step("a handle", || world.checkpoint(noted, fence(1), "{}")),
        step("an end", || world.finish(finished, fence(1), succeeded(), Vec::new())),
        step("a cancel", || world.cancel_run(cancelled, CancelReason::Requested, audit(Action::CancelRun))),
        step("a run's deletion", || world.delete_run(over, audit(Action::DeleteRun))),
        step("a task's deletion", || world.delete_task(deleted, audit(Action::DeleteTask))),
        step("an item's deletion", || world.delete_item(ItemId::random(), audit(Action::DeleteItem))),
        step("a look at a task", || world.confirm(Scope::Task(asked))),
        step("a look at a run", || world.confirm(Scope::Run(over))),
        step("a look at users", || world.confirm(Scope::Common)),
    ];
    replica.pause().unwrap();
    for again in [false, true] {
        for (name, ask) in &steps {
            let answer = ask().await;
            assert!(is_unavailable(&answer), "{name}, again: {again}: {answer:?}");
        }
    }
    assert!(world.task(inserted.id).await.unwrap().is_some(), "reads do not wait");
    replica.resume().unwrap();
    until_it_writes(world).await;
    for (name, ask) in &steps {
        ask().await.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    assert_eq!(world.read_run(claimed).await.attempt, 1, "it is one claim");
    drop(master);
    let replica = World(Arc::new({
        replica.command("REPLICAOF NO ONE").await.unwrap();
        RedisStore::open(&replica.url(), Options::default()).await.unwrap()
    }));
    assert!(
        replica.task(inserted.id).await.unwrap().is_some() && replica.task(deleted).await.unwrap().is_none()
    );
    assert!(replica.run(run.id).await.unwrap().is_some() && replica.run(over).await.unwrap().is_none());
    for run in [cancelled, finished] {
        assert!(replica.read_run(run).await.status.ended());
    }
}

#[tokio::test]
async fn refuses_replicas_that_do_not_keep_what_was_acknowledged() {
    let master = RedisServer::start().await.unwrap();
    let _first = master.start_replica(&[]).await.unwrap();
    let refused = async |named: &str| {
        let StoreError::Config(problem) = refusal(&master.url(), Options::default()).await else {
            panic!("it is the configuration")
        };
        assert!(problem.contains(named) && !problem.contains('\n'), "{problem}");
    };
    refused("`min-replicas-to-write` is `0`").await;
    let weak = Options { allow_weak_durability: true, ..Options::default() };
    World(Arc::new(RedisStore::open(&master.url(), weak).await.unwrap())).some_run().await;
    master.command("CONFIG SET min-replicas-to-write 1").await.unwrap();
    World(Arc::new(RedisStore::open(&master.url(), Options::default()).await.unwrap())).some_run().await;
    master.command("CONFIG SET no-appendfsync-on-rewrite yes").await.unwrap();
    refused("`no-appendfsync-on-rewrite` is `yes`").await;
    master.command("CONFIG SET no-appendfsync-on-rewrite no").await.unwrap();
    master.command("ACL SETUSER limited on >secret ~* +@all -wait").await.unwrap();
    let limited = format!("redis://limited:secret@{}/", master.address());
    let problem = refusal(&limited, Options::default()).await.to_string();
    assert!(problem.contains("redis.url") && problem.contains("WAIT"), "{problem}");

    let _second = master.start_replica(&[("replica-priority", "50")]).await.unwrap();
    refused("`replica-priority`").await;
}
