//! Records that are damaged, removed in parts, or spread over the shards.

use std::sync::Arc;
use std::time::Duration;

use isochrone_domain::{Action, Held, Nonce};
use isochrone_store::redis::RedisStore;
use isochrone_store::{Renewal, RunFilter, Saved, StoreError};
use isochrone_testkit::RedisServer;

use super::conformance::ledger::EVER;
use super::conformance::world::{ALL, LONG, SHORT, World, claimant, entry, held, plan, succeeded};
use super::{open, own_keys, shared_url};

/// One record that can't be read stops nothing but itself.
#[tokio::test]
async fn a_damaged_record_stops_no_other() {
    let server = RedisServer::start().await.unwrap();
    let world = World(Arc::new(open(&server).await));
    let (good, bad) = (world.add(|_| {}).await, world.add(|_| {}).await);
    let (running, damaged) = (world.some_run().await, world.some_run().await);
    for run in [&running, &damaged] {
        world.claimed(run.id, SHORT).await;
    }
    let key = |kind: &str, id: String, first: u8| format!("isochrone:{{iso:{:02}}}:{kind}:{id}", first & 63);
    for key in [
        key("task", bad.id.to_string(), bad.id.as_bytes()[0]),
        key("run", damaged.id.to_string(), damaged.id.as_bytes()[0]),
    ] {
        assert_eq!(server.command(&format!("HSET {key} b nonsense")).await.unwrap(), "0", "{key}");
    }
    let corrupt = world.task(bad.id).await;
    assert!(matches!(corrupt, Err(StoreError::Corrupt(_))), "{corrupt:?}");
    let now = world.now().await.unwrap();
    let due = async |moment| -> Vec<_> {
        let due = world.due_tasks(moment, 10).await.unwrap();
        due.into_iter().map(|due| due.task.id).collect()
    };
    assert!(due(now).await.contains(&good.id));
    world.reach(now + SHORT * 2).await;
    let now = world.now().await.unwrap();
    let reaped = world.reap(now, 10).await.unwrap();
    assert_eq!(reaped.iter().map(|run| run.id).collect::<Vec<_>>(), [running.id]);
    assert_eq!(world.reap(now, 10).await.unwrap(), []);
    // They are put off, not looked at all the time.
    for task in due(now).await {
        let read = world.read_task(task).await;
        let commit = plan(&read, 1, now);
        assert_eq!(world.commit_fires(vec![commit]).await.unwrap(), [Saved::Done]);
    }
    let (fire, expiry) = (world.next_fire().await.unwrap(), world.next_expiry().await.unwrap());
    assert!(fire > Some(now) && expiry > Some(now), "{fire:?}, {expiry:?}");
    let listed = world.runs(&RunFilter::default(), ALL).await.unwrap();
    assert!(listed.rows.iter().any(|run| run.id == running.id));
}

/// What a worker sends every few seconds for each of its runs must cost next to nothing.
#[tokio::test]
async fn a_renewal_writes_the_end_of_the_lease_alone() {
    let server = RedisServer::start().await.unwrap();
    let world = World(Arc::new(open(&server).await));
    let run = world.some_run().await.id;
    let claimed = world.claimed(run, SHORT).await.run;
    let shard = run.as_bytes()[0] & 63;
    let record = async |field| {
        let command = format!("HGET isochrone:{{iso:{shard:02}}}:run:{run} {field}");
        server.command(&command).await.unwrap()
    };
    let (before, now) = ((record("b").await, record("v").await), world.now().await.unwrap());
    assert_eq!(
        world.renew("w1", &[Held::of(&claimed)], LONG).await.unwrap(),
        [Renewal::Held { cancel: None }]
    );
    assert_eq!((record("b").await, record("v").await), before);
    let score = server.command(&format!("ZSCORE isochrone:{{iso:{shard:02}}}:leases {run}")).await.unwrap();
    assert!(score.parse::<i64>().unwrap() >= (now + LONG).0, "{score}");
    // What it knows of the run from its claim is still so: the end needs no look before it.
    let reads = async || {
        let stats = server.command("INFO commandstats").await.unwrap();
        stats.lines().find(|line| line.starts_with("cmdstat_hmget")).map(str::to_owned)
    };
    let before = reads().await;
    assert!(before.is_some());
    super::conformance::world::kept(
        world.finish(run, claimed.fence(), succeeded(), Vec::new()).await.unwrap(),
    );
    assert_eq!(reads().await, before);
}

/// A deletion that was cut short is finished by the next scheduler.
#[tokio::test]
async fn finishes_a_deletion_that_was_cut_short() {
    let server = RedisServer::start().await.unwrap();
    let world = World(Arc::new(open(&server).await));
    let task = world.add_queueing().await;
    let runs = [world.request(task.id).await, world.request(task.id).await];
    // As the first step leaves it.
    let home = format!("isochrone:{{iso:{:02}}}", task.id.as_bytes()[0] & 63);
    for command in [
        format!("DEL {home}:task:{}", task.id),
        format!("ZREM {home}:due {}", task.id),
        format!("HSET {home}:graves {} 1", task.id),
    ] {
        assert_eq!(server.command(&command).await.unwrap(), "1", "{command}");
    }
    let claim = world.claim(runs[0].id, &claimant("w", Nonce::random()), LONG).await.unwrap();
    assert_eq!(claim, isochrone_store::Claim::Refused(isochrone_domain::Refusal::Deleted));
    world.finish_deletions().await.unwrap();
    for run in runs {
        assert_eq!(world.run(run.id).await.unwrap(), None);
    }
    assert_eq!(world.outbox().await, []);
    assert!(world.fires(None, EVER).await.unwrap().iter().all(|row| row.outcome.is_some()));
    // Its id is free again.
    let again = world.insert_task(&task, entry(Action::CreateTask, task.id)).await.unwrap();
    assert_eq!(again, Saved::Done);
    assert_eq!(world.unfinished(task.id).await.unwrap(), 0);
}

/// A run whose task can't be read, a lease without its run, and a deletion of which an ended run is missing: everything
/// else goes on.
#[tokio::test]
async fn what_is_damaged_keeps_no_lease_from_expiring() {
    let server = RedisServer::start().await.unwrap();
    let world = World(Arc::new(open(&server).await));
    let mut lost = Vec::new();
    for _ in 0..4 {
        lost.push(world.some_run().await);
        world.claimed(lost[lost.len() - 1].id, SHORT).await;
    }
    let deleted = world.add_queueing().await;
    let ended = world.request(deleted.id).await;
    world.carried_out(ended.id, succeeded()).await;
    let home = |first: u8| format!("isochrone:{{iso:{:02}}}", first & 63);
    let bad = world.some_run().await.id;
    world.claimed(bad, LONG).await;
    let (task, run, grave) = (lost[0].task, lost[1].id, deleted.id);
    for (command, answer) in [
        (format!("HSET {}:task:{task} b nonsense", home(task.as_bytes()[0])), "0"),
        (format!("HSET {}:run:{bad} b nonsense", home(bad.as_bytes()[0])), "0"),
        (format!("DEL {}:run:{run}", home(run.as_bytes()[0])), "1"),
        (format!("DEL {}:run:{}", home(grave.as_bytes()[0]), ended.id), "1"),
        (format!("DEL {}:task:{grave}", home(grave.as_bytes()[0])), "1"),
        (format!("HSET {}:graves {grave} 1", home(grave.as_bytes()[0])), "1"),
    ] {
        assert_eq!(server.command(&command).await.unwrap(), answer, "{command}");
    }
    let held = [held(lost[2].id, 1), held(bad, 1)];
    let renewed = world.renew("w1", &held, SHORT).await.unwrap();
    assert_eq!(renewed, [Renewal::Held { cancel: None }, Renewal::Unreadable]);
    let now = world.now().await.unwrap() + SHORT * 2;
    world.reach(now).await;
    let mut reaped: Vec<_> = world.reap(now, 10).await.unwrap().iter().map(|run| run.id).collect();
    reaped.sort_unstable();
    let mut whole = [lost[2].id, lost[3].id];
    whole.sort_unstable();
    assert_eq!(reaped, whole);
    assert_eq!(world.reap(now, 10).await.unwrap(), [], "the others are put off");
    let deferred = world.deferred();
    assert_eq!((deferred.fires, deferred.expiries), (0, 2), "{deferred:?}");
    world.finish_deletions().await.unwrap();
    let graves = server.command(&format!("HLEN {}:graves", home(grave.as_bytes()[0]))).await.unwrap();
    assert_eq!(graves, "0");
}

/// More than are removed in one step.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletes_a_task_with_many_runs() {
    let server = RedisServer::start().await.unwrap();
    let world = World(Arc::new(open(&server).await));
    let task = world.add_queueing().await.id;
    for _ in 0..250 {
        world.request(task).await;
    }
    assert!(world.delete_task(task, entry(Action::DeleteTask, task)).await.unwrap());
    assert_eq!(world.runs(&RunFilter::default(), ALL).await.unwrap().total, 0);
    let fires = world.fires(Some(task), EVER).await.unwrap();
    assert_eq!(fires.len(), 250);
    assert!(fires.iter().all(|row| row.outcome.is_some()));
    // Nothing is left but ledger and log: their rows, their indexes, the log's chain, the counter of tasks, the
    // layout, the last number of the outbox; and the list of deleted runs, whose artifacts are still to be swept.
    let keys: usize = server.command("DBSIZE").await.unwrap().trim_start_matches(':').parse().unwrap();
    assert_eq!(keys, 250 + 3 + 1 + 2 + 1 + 1);
}

/// With many tasks the earliest of all shards come first, whatever the limit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn merges_its_shards_in_order() {
    let options = own_keys();
    let world = World(Arc::new(RedisStore::open(&shared_url().await, options).await.unwrap()));
    let now = world.now().await.unwrap();
    let mut expected = Vec::new();
    for number in 0..300_u32 {
        let due = now - Duration::from_millis(u64::from(1 + number * 7_919 % 300));
        // Half of them are in one shard.
        let id = if number % 2 == 0 { Some([7; 16]) } else { None };
        let task = world.add(|task| {
            task.next_fire = Some(due);
            if let Some(mut bytes) = id {
                bytes[8..12].copy_from_slice(&number.to_be_bytes());
                task.id = isochrone_domain::TaskId::from_bytes(bytes);
            }
        });
        expected.push((due, task.await.id));
    }
    expected.sort_unstable();
    for limit in [1, 10, 100, 299, 1_000] {
        let due = world.due_tasks(now, limit).await.unwrap();
        let found: Vec<_> = due.iter().map(|due| (due.task.next_fire.unwrap(), due.task.id)).collect();
        let wanted = &expected[..expected.len().min(limit as usize)];
        assert_eq!(found, wanted, "limit {limit}");
    }
}

/// A store that has forgotten a claim gives the run's next version to another one's: the first one's end must not pass
/// for that.
#[tokio::test]
async fn an_end_counts_for_its_own_claim_only() {
    let server = RedisServer::start().await.unwrap();
    let (one, two) = (World(Arc::new(open(&server).await)), World(Arc::new(open(&server).await)));
    let run = one.some_run().await.id;
    let home = format!("isochrone:{{iso:{:02}}}", run.as_bytes()[0] & 63);
    let field = async |name: &str| server.command(&format!("HGET {home}:run:{run} {name}")).await.unwrap();
    assert_eq!(server.command(&format!("COPY {home}:run:{run} {home}:before")).await.unwrap(), "1");
    let first = claimant("w1", Nonce::random());
    assert!(matches!(one.claim(run, &first, LONG).await.unwrap(), isochrone_store::Claim::Granted(_)));
    let claimed = field("v").await;
    let forget =
        [format!("COPY {home}:before {home}:run:{run} REPLACE"), format!("ZREM {home}:leases {run}")];
    for command in forget {
        assert_eq!(server.command(&command).await.unwrap(), "1", "{command}");
    }
    let second = claimant("w2", Nonce::random());
    assert!(matches!(two.claim(run, &second, LONG).await.unwrap(), isochrone_store::Claim::Granted(_)));
    assert_eq!(field("v").await, claimed, "the versions are the same");
    let fence = |by: &isochrone_domain::Claimant| isochrone_domain::Fence { attempt: 1, nonce: by.nonce };
    let late = one.finish(run, fence(&first), succeeded(), Vec::new()).await.unwrap();
    assert!(matches!(late, isochrone_store::Finished::Fenced(_)), "{late:?}");
    let end = two.finish(run, fence(&second), succeeded(), Vec::new()).await.unwrap();
    assert!(matches!(end, isochrone_store::Finished::Kept(_)), "{end:?}");
}
