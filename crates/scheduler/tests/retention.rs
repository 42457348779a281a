//! What is forgotten in the background.
#![allow(clippy::unwrap_used, reason = "what is unwrapped in vain fails the test")]

mod world;

use std::sync::Arc;
use std::time::Duration;

use isochrone_domain::{Policies, Role, RunId};
use isochrone_scheduler::{Forgotten, Retention, RetentionRules};
use isochrone_store::RunStore;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use world::{LEASE, NOON, World, caller, every_minute, slow_clock_at};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_deleted_task_left_is_swept_away() {
    let world = World::new(slow_clock_at(NOON)).await;
    let artifacts: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let mut places = Vec::new();
    let mut tasks = Vec::new();
    for n in 0..2 {
        let task = world.create(every_minute(Policies::default())).await;
        let run = world.submissions.run_now(&caller("pia", Role::Publisher), task.id, [n; 16]).await.unwrap();
        let place = Path::from(format!("runs/{}/1/report.csv", run.id));
        artifacts.put(&place, "a,b".into()).await.unwrap();
        places.push(place);
        tasks.push(task.id);
    }
    world.submissions.delete(&caller("pia", Role::Publisher), tasks[0]).await.unwrap();
    // As another installation's runs leave it in a folder that both share by mistake, or as runs of after a backup.
    let foreign = Path::from(format!("runs/{}/1/report.csv", RunId::random()));
    artifacts.put(&foreign, "a,b".into()).await.unwrap();
    let pass = async |rules| {
        Retention::new(world.store.clone(), Arc::clone(&artifacts), rules).pass().await.unwrap();
    };
    pass(RetentionRules::default()).await;
    assert!(artifacts.head(&places[0]).await.is_ok(), "not before a day has passed");
    pass(RetentionRules { artifacts: Duration::ZERO, ..RetentionRules::default() }).await;
    assert!(artifacts.head(&places[0]).await.is_err());
    assert!(artifacts.head(&places[1]).await.is_ok(), "a run that is there keeps what it left");
    assert!(artifacts.head(&foreign).await.is_ok(), "what the store does not know is not deleted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_keeps_its_latest_runs_and_their_artifacts() {
    let world = World::new(slow_clock_at(NOON)).await;
    let task = world.create(every_minute(Policies::default())).await;
    let artifacts: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let mut running = world.start();
    let mut runs = Vec::new();
    for n in 0..4 {
        let run = world.submissions.run_now(&caller("pia", Role::Publisher), task.id, [n; 16]).await.unwrap();
        let claimed = world.take("w", LEASE).await;
        assert_eq!(claimed.run.id, run.id);
        let place = Path::from(format!("runs/{}/1/report.csv", run.id));
        artifacts.put(&place, "a,b".into()).await.unwrap();
        world.succeed(&claimed).await;
        runs.push((run.id, place));
    }
    running.idle().await;
    running.stop().await;
    let rules = RetentionRules { runs_per_task: 1, ..RetentionRules::default() };
    let retention = Retention::new(world.store.clone(), Arc::clone(&artifacts), rules);
    let forgotten = Forgotten { runs: 3, records: 0 };
    assert_eq!(retention.pass().await.unwrap(), forgotten);
    assert_eq!(retention.pass().await.unwrap(), Forgotten::default());
    let mut left = Vec::new();
    for (run, place) in &runs {
        let artifact = artifacts.head(place).await.is_ok();
        assert_eq!(world.store.run(*run).await.unwrap().is_some(), artifact);
        left.push(artifact);
    }
    assert_eq!(left.iter().filter(|left| **left).count(), 1, "{left:?}");
    assert_eq!(world.ledger(task.id).await.len(), runs.len());

    let rules = RetentionRules { runs: Duration::ZERO, records: Duration::ZERO, ..rules };
    let forgotten = Retention::new(world.store.clone(), artifacts, rules).pass().await.unwrap();
    assert_eq!(forgotten.runs, 1);
    assert_eq!(world.ledger(task.id).await.len(), 0);
    assert_eq!(world.audit().await.len(), 0);
}
