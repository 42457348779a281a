//! Fires: on their minute, once, within their dates and limits.
#![allow(clippy::unwrap_used, reason = "what is unwrapped in vain fails the test")]

mod world;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use isochrone_domain::{
    Change, Decision, EpochMillis, Generation, MisfirePolicy, OverlapPolicy, Policies, Reason, Role,
    TaskState,
};
use isochrone_scheduler::Event;
use tokio::task::JoinSet;
use world::{LEASE, MINUTE, NOON, World, caller, clock_at, cron, every_minute, submission};

/// Each fire makes a run, however late a busy machine is.
fn each_runs() -> Policies {
    let misfire = MisfirePolicy::RunAll { max: 1_000 };
    Policies { misfire, overlap: OverlapPolicy::Allow, ..Policies::default() }
}

fn minutes(from: EpochMillis, count: usize) -> Vec<EpochMillis> {
    (0..count as i64).map(|index| EpochMillis(from.0 + index * MINUTE)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fires_each_minute_exactly_once() {
    let world = World::new(clock_at(NOON, 300)).await;
    let mut running = world.start();
    let task = world.create(every_minute(each_runs())).await;
    let first = task.next_fire.expect("it will fire");

    let fires = running.fires(task.id, 15).await;
    running.stop().await;

    let fired: Vec<_> = fires.iter().map(|(planned, _)| *planned).collect();
    assert_eq!(fired, minutes(first, fired.len()));
    let ledger = world.ledger(task.id).await;
    assert!(ledger.len() >= fires.len());
    assert_eq!(
        ledger.iter().map(|row| row.planned).collect::<Vec<_>>(),
        minutes(first, ledger.len()),
        "no minute is missing or doubled"
    );
    assert!(ledger.iter().all(|row| row.decided >= row.planned), "none is decided before its minute");
    let after = world.task(task.id).await;
    assert_eq!(after.occurrences, ledger.len() as u64);
    assert_eq!(world.depth().await, ledger.len() as u64, "each run has its wake-up, once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishes_a_hundred_tasks_of_one_minute_promptly() {
    let minute = EpochMillis(NOON.0 + MINUTE);
    // Four seconds of the world's time before the minute.
    let world = Arc::new(World::new(clock_at(EpochMillis(minute.0 - 8_000), 2)).await);
    let mut creating = JoinSet::new();
    for _ in 0..100 {
        let world = Arc::clone(&world);
        creating.spawn(async move { world.create(every_minute(each_runs())).await });
    }
    for task in creating.join_all().await {
        assert_eq!(task.next_fire, Some(minute));
    }
    let mut running = world.start();
    let mut late = Vec::new();
    while late.len() < 100 {
        match running.next().await {
            Event::Published { .. } => {
                late.push(Duration::from_millis(world.clock.now().since(minute) as u64) / 2);
            }
            Event::Fired { planned, reason, decision, .. } => {
                assert_eq!((planned, reason, decision), (minute, Reason::OnTime, Decision::Run));
                assert!(world.clock.now() >= minute, "never before the minute");
            }
            Event::Idle { .. } | Event::Reaped { .. } | Event::Compared { .. } => {}
        }
    }
    running.stop().await;
    println!("from the minute to the publish: first {:?}, last {:?}", late[0], late[99]);
    assert!(late[99] < Duration::from_secs(1), "{:?}", late[99]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn start_and_end_are_inclusive() {
    let world = World::new(clock_at(NOON, 300)).await;
    let mut running = world.start();
    let start = EpochMillis(NOON.0 + 20 * MINUTE);
    let end = EpochMillis(start.0 + 3 * MINUTE);
    let task = world
        .create(isochrone_domain::Submission {
            start: Some(start),
            end: Some(end),
            ..every_minute(each_runs())
        })
        .await;
    assert_eq!(task.next_fire, Some(start));
    let fires = running.fires(task.id, 4).await;
    assert_eq!(fires.into_iter().map(|(planned, _)| planned).collect::<Vec<_>>(), minutes(start, 4));
    // It has had its chance to go on, and nothing is left to be done.
    assert_eq!(running.idle_again().await, None);
    running.stop().await;
    assert_eq!(world.ledger(task.id).await.len(), 4);
    let task = world.task(task.id).await;
    assert_eq!((task.next_fire, task.state), (None, TaskState::Active));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_whose_dates_have_passed_has_no_next_fire() {
    let world = World::new(clock_at(NOON, 300)).await;
    let mut running = world.start();
    let task = world
        .create(isochrone_domain::Submission {
            start: Some(EpochMillis(NOON.0 - 90 * MINUTE)),
            end: Some(EpochMillis(NOON.0 - 30 * MINUTE)),
            ..every_minute(each_runs())
        })
        .await;
    assert_eq!(task.next_fire, None);
    assert_eq!(running.idle_again().await, None);
    running.stop().await;
    assert!(world.ledger(task.id).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn max_occurrences_is_exact() {
    let world = World::new(clock_at(NOON, 300)).await;
    let mut running = world.start();
    let other = world.create(every_minute(each_runs())).await;
    let limited = world
        .create(isochrone_domain::Submission { max_occurrences: Some(3), ..every_minute(each_runs()) })
        .await;
    running.fires(limited.id, 3).await;
    // The other one goes on: the loop lives, and the limited one has had its chances.
    running.fires(other.id, 5).await;
    running.stop().await;
    let task = world.task(limited.id).await;
    assert_eq!((task.occurrences, task.next_fire), (3, None));
    let ledger = world.ledger(limited.id).await;
    assert_eq!(ledger.len(), 3);
    assert_eq!(ledger.iter().map(|row| row.planned).collect::<Vec<_>>(), minutes(ledger[0].planned, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disabled_it_is_silent_and_enabled_it_fires_from_then_on() {
    let world = World::new(clock_at(NOON, 300)).await;
    let pia = caller("pia", Role::Publisher);
    let mut running = world.start();
    let other = world.create(every_minute(each_runs())).await;
    let task = world.create(every_minute(each_runs())).await;
    running.fires(task.id, 2).await;

    let disabled = world.submissions.disable(&pia, task.id).await.unwrap();
    assert_eq!((disabled.state, disabled.next_fire), (TaskState::Paused, None));
    let before = world.ledger(task.id).await.len();
    running.events = running.events.resubscribe();
    running.fires(other.id, 4).await;
    assert_eq!(world.ledger(task.id).await.len(), before, "a disabled task does not fire");

    let enabled = world.submissions.enable(&pia, task.id).await.unwrap();
    let next = enabled.next_fire.expect("it will fire");
    let fires = running.fires(task.id, 3).await;
    running.stop().await;
    assert_eq!(fires[0].0, next, "what passed meanwhile was not planned");
    let rows = world.ledger(task.id).await;
    let unique: HashSet<_> = rows.iter().map(|row| row.planned).collect();
    assert_eq!(unique.len(), rows.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_starts_a_generation_and_the_old_one_is_over() {
    let world = World::new(clock_at(NOON, 300)).await;
    let pia = caller("pia", Role::Publisher);
    let mut running = world.start();
    let task = world.create(every_minute(each_runs())).await;
    running.fires(task.id, 2).await;

    let change = Change { minute: Some("0/2".to_owned()), ..Change::default() };
    let updated = world.submissions.update(&pia, task.id, change).await.unwrap().task;
    assert_eq!(updated.generation, Generation(2));
    let first = updated.next_fire.expect("it will fire");
    running
        .until(|event| matches!(event, Event::Fired { planned, .. } if planned >= first).then_some(()))
        .await;
    running.fires(task.id, 2).await;
    running.stop().await;

    let rows = world.ledger(task.id).await;
    let (old, new): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.generation == Some(Generation(1)));
    assert!(old.iter().all(|row| row.planned < first), "the old schedule ended with the update");
    assert_eq!(new[0].planned, first);
    assert!(new.iter().all(|row| row.planned.0 % (2 * MINUTE) == 0));
    assert_eq!(world.task(task.id).await.occurrences, rows.len() as u64, "counted ones stay counted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_earlier_submission_wakes_the_loop() {
    let world = World::new(clock_at(EpochMillis(NOON.0 + 5_000), 2)).await;
    let daily = world.create(submission(cron("0", "0"), Policies::default())).await;
    let mut running = world.start();
    let mut quickest = Duration::MAX;
    for round in 0..3_u8 {
        // It may have looked while the last run's lease was what comes next.
        let mut idle = running.idle_again().await;
        for _ in 0..20 {
            if idle == daily.next_fire {
                break;
            }
            idle = running.idle_again().await;
        }
        assert_eq!(idle, daily.next_fire);
        // It has just begun to sleep, for half a second if nobody wakes it.
        let asked = tokio::time::Instant::now();
        let run = world
            .submissions
            .run_now(&caller("pia", Role::Publisher), daily.id, [round; 16])
            .await
            .expect("a person may ask for a run");
        assert_eq!(running.published().await, run.id);
        quickest = quickest.min(asked.elapsed());
        let claimed = world.take("w", LEASE).await;
        world.succeed(&claimed).await;
    }
    assert!(quickest < Duration::from_millis(400), "nobody woke it: {quickest:?}");
    running.stop().await;
}
