//! Schedulers that stand by.
#![allow(clippy::unwrap_used, reason = "what is unwrapped in vain fails the test")]

mod world;

use std::sync::Arc;
use std::time::Duration;

use isochrone_domain::{EpochMillis, MisfirePolicy, OverlapPolicy, Policies};
use isochrone_scheduler::{Event, Lead, Scheduler, Wake};
use isochrone_store::sqlite::SqliteStore;
use isochrone_store::{FleetStore, Leadership};
use tokio::time::timeout;
use world::{DEADLINE, MINUTE, NOON, Running, World, clock_at, counted, every_minute};

fn each_runs() -> Policies {
    let misfire = MisfirePolicy::RunAll { max: 1_000 };
    Policies { misfire, overlap: OverlapPolicy::Allow, ..Policies::default() }
}

fn lead(name: &str) -> Lead {
    let every = Duration::from_millis(50);
    Lead { length: Duration::from_millis(400), every, ..Lead::new(name, Duration::from_millis(400)) }
}

/// As another process has it: a store of its own on the same file.
fn another(world: &World, name: &str) -> Scheduler {
    let store = Arc::new(SqliteStore::open(world.dir.path(), world.clock).unwrap());
    Scheduler::new(store, Arc::new(world.queue.clone()), Wake::new()).with_lead(lead(name))
}

async fn fired_after(running: &mut Running, moment: EpochMillis) -> EpochMillis {
    running
        .until(|event| match event {
            Event::Fired { planned, .. } => (planned > moment).then_some(planned),
            _ => None,
        })
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_works_and_the_other_takes_over_when_it_stops() {
    let world = World::new(clock_at(NOON, 150)).await;
    let task = world.create(every_minute(each_runs())).await.id;
    let one = another(&world, "one");
    let (watch_one, mut one) = (one.events(), Running::start(one));
    let last = fired_after(&mut one, NOON).await;
    let two = another(&world, "two");
    let (mut watch_two, mut two) = (two.events(), Running::start(two));
    let last = fired_after(&mut one, last + Duration::from_mins(5)).await;
    assert!(watch_two.try_recv().is_err(), "it stands by");
    one.stop().await;
    let last = fired_after(&mut two, last).await;
    fired_after(&mut two, last + Duration::from_mins(3)).await;
    two.stop().await;

    let mut runs = Vec::new();
    for mut watcher in [watch_one, watch_two] {
        while let Ok(event) = watcher.try_recv() {
            if let Event::Fired { run, .. } = event {
                runs.push(run);
            }
        }
    }
    assert!(counted(runs).values().all(|times| *times == 1), "no fire was told twice");
    let minutes: Vec<i64> = world.ledger(task).await.iter().map(|row| row.planned.0).collect();
    assert!(minutes.windows(2).all(|pair| pair[1] - pair[0] == MINUTE), "none is missing: {minutes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_lost_the_lead_stops_and_takes_it_again() {
    let world = World::new(clock_at(NOON, 150)).await;
    world.create(every_minute(each_runs())).await;
    let mut running = Running::start(another(&world, "one"));
    fired_after(&mut running, NOON).await;
    // Somebody else takes the lead for good, as after a pause of this process.
    world.store.resign("one").await.unwrap();
    let taking = async {
        loop {
            let answer = world.store.lead("other", Duration::from_hours(10)).await.unwrap();
            if matches!(answer, Leadership::Leading { .. }) {
                return;
            }
            world.store.resign("one").await.unwrap();
        }
    };
    timeout(DEADLINE, taking).await.expect("a lead that was given back can be had");
    // Until it has noticed, it may fire: harmless.
    let noticed = async {
        loop {
            let quiet = Duration::from_secs(2);
            if timeout(quiet, running.events.recv()).await.is_err() {
                return;
            }
        }
    };
    timeout(DEADLINE, noticed).await.expect("it stops within its lead's length");
    let then = world.clock.now();
    world.store.resign("other").await.unwrap();
    fired_after(&mut running, then).await;
    running.stop().await;
}
