//! Servers that die, fall silent, forget or hand over, and stores that race.

use std::sync::Arc;
use std::time::{Duration, Instant};

use isochrone_domain::{Action, EpochMillis, LogLine, LogStream, OverlapPolicy, Run};
use isochrone_store::redis::{Options, RedisStore};
use isochrone_store::{RunFilter, Saved, StoreError};
use isochrone_testkit::{Proxy, RedisSentinel, RedisServer};

use super::conformance::ledger::EVER;
use super::conformance::world::{ALL, LONG, World, entry, fence, kept, plan, succeeded};
use super::replicas::until_it_writes;
use super::{hosts, open, own_keys, refusal, shared_url, until_it_answers};

/// Whatever was acknowledged before SIGKILL is there after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_what_it_acknowledged_through_a_kill() {
    let mut server = RedisServer::start().await.unwrap();
    let world = World(Arc::new(open(&server).await));
    let task = world.add(|task| task.policies.overlap = OverlapPolicy::Allow).await.id;
    let first = world.fire(task).await.pop().expect("a fire was due").id;
    world.claimed(first, LONG).await;
    let line = LogLine { at: EpochMillis(1), stream: LogStream::Stdout, text: "hello".to_owned() };
    kept(world.append_log(first, fence(1), 0, std::slice::from_ref(&line)).await.unwrap());
    let asking = (0..4).map(|_| {
        let world = world.clone();
        tokio::spawn(async move {
            let mut acknowledged: Vec<Run> = Vec::new();
            loop {
                let asked = ask_for_a_run(&world, task).await;
                match asked {
                    Ok(run) => acknowledged.extend(run),
                    Err(_) => return acknowledged,
                }
            }
        })
    });
    let asking: Vec<_> = asking.collect();
    while world.unfinished(task).await.unwrap() < 50 {
        tokio::task::yield_now().await;
    }
    server.kill().unwrap();
    let mut acknowledged = Vec::new();
    for asker in asking {
        acknowledged.extend(asker.await.unwrap());
    }
    assert!(acknowledged.len() > 20, "{}", acknowledged.len());
    assert!(matches!(world.now().await, Err(StoreError::Unavailable(_))));

    server.restart().await.unwrap();
    let took = until_it_answers(&world).await;
    assert!(took < Duration::from_secs(5), "{took:?}");
    for run in &acknowledged {
        assert_eq!(world.read_run(run.id).await, *run);
    }
    assert_eq!(world.log(first, ALL).await.unwrap().rows, [line]);
    // Commits have a connection of their own, which learns of it by itself.
    until_it_writes(&world).await;
    kept(world.finish(first, fence(1), succeeded(), Vec::new()).await.unwrap());
    // Each run that is there was counted, and has its row: nothing was done by halves.
    let task = world.read_task(task).await;
    let ledger = world.fires(Some(task.id), EVER).await.unwrap();
    let ran = ledger.iter().filter(|row| row.outcome.is_none_or(|end| end.1 != row.reason)).count() as u64;
    assert_eq!(task.occurrences, ran);
    let open = RunFilter { ended: Some(false), ..RunFilter::default() };
    assert_eq!(world.runs(&open, ALL).await.unwrap().total, ran - 1);
}

/// None: somebody else was faster.
async fn ask_for_a_run(
    world: &World,
    task: isochrone_domain::TaskId,
) -> isochrone_store::Result<Option<Run>> {
    let read = world.task(task).await?.expect("the task is there");
    let nonce = *isochrone_domain::TaskId::random().as_bytes();
    let now = world.now().await?;
    let (changed, run) = isochrone_domain::plan_request(&read, 0, "ann", nonce, now).expect("no limit");
    let saved = world.commit_request(changed, run.clone(), entry(Action::RunTask, task)).await?;
    Ok((saved == Saved::Done).then_some(run))
}

/// Two processes of a fleet, each with its own store.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_stores_one_fires() {
    let options = own_keys();
    let url = shared_url().await;
    let one = World(Arc::new(RedisStore::open(&url, options.clone()).await.unwrap()));
    let two = World(Arc::new(RedisStore::open(&url, options).await.unwrap()));
    for _ in 0..20 {
        let mut tasks = Vec::new();
        for _ in 0..5 {
            tasks.push(one.add(|_| {}).await);
        }
        let now = one.now().await.unwrap();
        let commits: Vec<_> = tasks.iter().map(|task| plan(task, 0, now)).collect();
        let (mine, theirs) = tokio::join!(one.commit_fires(commits.clone()), two.commit_fires(commits));
        for (mine, theirs) in mine.unwrap().into_iter().zip(theirs.unwrap()) {
            let answers = [mine, theirs];
            assert!(
                answers == [Saved::Done, Saved::Repeated] || answers == [Saved::Repeated, Saved::Done],
                "{answers:?}"
            );
        }
        for task in tasks {
            assert_eq!(two.read_task(task.id).await.occurrences, 1);
        }
    }
}

/// A server that stops answering without closing its connection is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaves_a_connection_that_went_silent() {
    let server = RedisServer::start().await.unwrap();
    let proxy = Proxy::start(server.address()).await.unwrap();
    let url = format!("redis://{}/", proxy.address());
    let world = World(Arc::new(RedisStore::open(&url, Options::default()).await.unwrap()));
    let run = world.some_run().await;
    proxy.drop_connections();
    until_it_answers(&world).await;
    proxy.blackhole();
    let start = Instant::now();
    let silent = world.run(run.id).await;
    assert!(matches!(silent, Err(StoreError::Unavailable(_))), "{silent:?}");
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    proxy.heal();
    proxy.drop_connections();
    until_it_answers(&world).await;
    assert_eq!(world.read_run(run.id).await, run);
}

/// The script is forgotten by a server that was flushed or started anew.
#[tokio::test]
async fn brings_its_script_to_a_server_that_forgot_it() {
    let server = RedisServer::start().await.unwrap();
    let world = World(Arc::new(open(&server).await));
    world.some_run().await;
    server.command("SCRIPT FLUSH").await.unwrap();
    let run = world.some_run().await;
    world.carried_out(run.id, succeeded()).await;
}

#[tokio::test]
async fn follows_the_sentinels_to_another_master() {
    let mut servers = RedisSentinel::start().await.unwrap();
    let url = format!("redis+sentinel://{}/{}", hosts(&servers.sentinel_urls()), RedisSentinel::SERVICE);
    let world = World(Arc::new(RedisStore::open(&url, Options::default()).await.unwrap()));
    let run = world.some_run().await;
    servers.master.kill().unwrap();
    until_it_writes(&world).await;
    assert_eq!(world.read_run(run.id).await, run);
    world.carried_out(run.id, succeeded()).await;

    let wrong = format!("redis+sentinel://{}/another", hosts(&servers.sentinel_urls()));
    let error = refusal(&wrong, Options::default()).await.to_string();
    assert!(error.contains("name"), "{error}");
}
