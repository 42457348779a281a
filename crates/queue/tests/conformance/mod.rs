//! What every queue must do, whatever it is made of.
//!
//! A queue is put under it with one line: `queue_conformance!(expression that is a Fresh)`.

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use isochrone_domain::{EpochMillis, RunId, TaskType};
use isochrone_queue::{Consumer, Delivery, Queue, WakeUp};
use tokio::time::{Instant, sleep, timeout};

/// Makes queues that nobody else has used. What they need stays alive as long as this does.
pub(crate) trait Fresh: Send + Sync {
    /// An empty queue.
    fn queue(&self) -> impl Future<Output = Arc<dyn Queue>> + Send;
}

/// Long enough for a broker on a busy machine; only a failing test waits as long.
const DEADLINE: Duration = Duration::from_secs(20);

/// What "nothing comes" waits for.
const QUIET: Duration = Duration::from_millis(200);

/// The whole suite as tests, on the queues that `$fresh` makes.
#[macro_export]
macro_rules! queue_conformance {
    ($fresh:expr) => {
        $crate::queue_conformance!(
            $fresh;
            keeps_the_order_within_a_type,
            keeps_types_apart,
            waits_for_what_is_not_there_yet,
            shares_the_work_between_two_consumers,
            gives_to_another_what_is_given_back,
            gives_to_another_what_is_dropped,
            does_not_give_again_what_is_acked,
            counts_what_is_in_line_or_taken,
            loses_nothing_when_a_waiting_consumer_gives_up,
            answers_each_publish_in_a_batch,
            carries_ten_thousand,
            gives_a_double_twice,
            brings_heartbeats_beside_wake_ups,
        );
    };
    ($fresh:expr; $($case:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                $crate::conformance::$case(&$fresh).await;
            }
        )*
    };
}

fn wake_up(kind: TaskType, number: u32) -> WakeUp {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    WakeUp { run: RunId::from_bytes(bytes), kind }
}

fn notebooks(numbers: std::ops::Range<u32>) -> Vec<WakeUp> {
    numbers.map(|number| wake_up(TaskType::ExecuteNotebook, number)).collect()
}

async fn publish(queue: &Arc<dyn Queue>, wake_ups: &[WakeUp]) {
    let answers = queue.publish(wake_ups).await;
    assert_eq!(answers, vec![Ok(()); wake_ups.len()]);
}

async fn consumer(queue: &Arc<dyn Queue>, kind: TaskType) -> Box<dyn Consumer> {
    queue.consume(kind, 8).await.expect("a healthy queue lets a worker consume")
}

async fn take(consumer: &mut Box<dyn Consumer>) -> Box<dyn Delivery> {
    timeout(DEADLINE, consumer.next()).await.expect("a wake-up comes in time").expect("the queue is healthy")
}

async fn take_and_ack(consumer: &mut Box<dyn Consumer>) -> WakeUp {
    let delivery = take(consumer).await;
    let wake_up = delivery.wake_up();
    delivery.ack().await.expect("a healthy queue takes an ack");
    wake_up
}

async fn nothing_comes(consumer: &mut Box<dyn Consumer>) {
    if let Ok(answer) = timeout(QUIET, consumer.next()).await {
        panic!("nothing should have come, but {:?}", answer.map(|delivery| delivery.wake_up()));
    }
}

/// A broker counts a little later than it delivers.
async fn depth_becomes(queue: &Arc<dyn Queue>, kind: TaskType, expected: u64) {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let depth = queue.depth(kind).await.expect("a healthy queue knows its depth");
        if depth == expected {
            return;
        }
        assert!(Instant::now() < deadline, "the depth stays {depth}, not {expected}");
        sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) async fn keeps_the_order_within_a_type(fresh: &impl Fresh) {
    let queue = fresh.queue().await;
    publish(&queue, &notebooks(0..50)).await;
    publish(&queue, &notebooks(50..100)).await;
    let mut consumer = consumer(&queue, TaskType::ExecuteNotebook).await;
    for expected in notebooks(0..100) {
        assert_eq!(take_and_ack(&mut consumer).await, expected);
    }
}

pub(crate) async fn keeps_types_apart(fresh: &impl Fresh) {
    let queue = fresh.queue().await;
    let all: Vec<_> = (0..).zip(TaskType::ALL).map(|(number, kind)| wake_up(kind, number)).collect();
    publish(&queue, &all).await;
    for expected in all {
        let mut consumer = consumer(&queue, expected.kind).await;
        assert_eq!(take_and_ack(&mut consumer).await, expected);
        nothing_comes(&mut consumer).await;
    }
}

pub(crate) async fn waits_for_what_is_not_there_yet(fresh: &impl Fresh) {
    let queue = fresh.queue().await;
    let mut consumer = consumer(&queue, TaskType::ExecuteReport).await;
    let waiting = tokio::spawn(async move { take_and_ack(&mut consumer).await });
    let expected = wake_up(TaskType::ExecuteReport, 1);
    publish(&queue, &[expected]).await;
    assert_eq!(waiting.await.expect("the consumer got it"), expected);
}

pub(crate) async fn shares_the_work_between_two_consumers(fresh: &impl Fresh) {
    let queue = fresh.queue().await;
    let mut one = consumer(&queue, TaskType::ExecuteNotebook).await;
    let mut two = consumer(&queue, TaskType::ExecuteNotebook).await;
    publish(&queue, &notebooks(0..2)).await;
    // Neither acks before the other has its own: each must get one, and not the same.
    let (first, second) = (take(&mut one).await, take(&mut two).await);
    let both = HashSet::from([first.wake_up(), second.wake_up()]);
    assert_eq!(both, notebooks(0..2).into_iter().collect());
    nothing_comes(&mut one).await;
    nothing_comes(&mut two).await;
    first.ack().await.expect("a healthy queue takes an ack");
    second.ack().await.expect("a healthy queue takes an ack");
    depth_becomes(&queue, TaskType::ExecuteNotebook, 0).await;
}

pub(crate) async fn gives_to_another_what_is_given_back(fresh: &impl Fresh) {
    let queue = fresh.queue().await;
    let expected = wake_up(TaskType::GPService, 7);
    publish(&queue, &[expected]).await;
    let mut one = consumer(&queue, TaskType::GPService).await;
    take(&mut one).await.give_back().await.expect("a healthy queue takes it back");
    drop(one);
    let mut two = consumer(&queue, TaskType::GPService).await;
    assert_eq!(take_and_ack(&mut two).await, expected);
}

pub(crate) async fn gives_to_another_what_is_dropped(fresh: &impl Fresh) {
    let queue = fresh.queue().await;
    let expected = wake_up(TaskType::GPService, 8);
    publish(&queue, &[expected]).await;
    let mut one = consumer(&queue, TaskType::GPService).await;
    drop(take(&mut one).await);
    drop(one);
    let mut two = consumer(&queue, TaskType::GPService).await;
    assert_eq!(take_and_ack(&mut two).await, expected);
}

pub(crate) async fn does_not_give_again_what_is_acked(fresh: &impl Fresh) {
    let queue = fresh.queue().await;
    publish(&queue, &notebooks(0..3)).await;
    let mut one = consumer(&queue, TaskType::ExecuteNotebook).await;
    for _ in 0..3 {
        take_and_ack(&mut one).await;
    }
    drop(one);
    let mut two = consumer(&queue, TaskType::ExecuteNotebook).await;
    nothing_comes(&mut two).await;
    depth_becomes(&queue, TaskType::ExecuteNotebook, 0).await;
}

pub(crate) async fn counts_what_is_in_line_or_taken(fresh: &impl Fresh) {
    let queue = fresh.queue().await;
    let kind = TaskType::ExecuteNotebook;
    depth_becomes(&queue, kind, 0).await;
    publish(&queue, &notebooks(0..3)).await;
    depth_becomes(&queue, kind, 3).await;
    let mut consumer = consumer(&queue, kind).await;
    let taken = take(&mut consumer).await;
    depth_becomes(&queue, kind, 3).await;
    depth_becomes(&queue, TaskType::ExecuteReport, 0).await;
    taken.ack().await.expect("a healthy queue takes an ack");
    depth_becomes(&queue, kind, 2).await;
    take(&mut consumer).await.give_back().await.expect("a healthy queue takes it back");
    depth_becomes(&queue, kind, 2).await;
}

pub(crate) async fn loses_nothing_when_a_waiting_consumer_gives_up(fresh: &impl Fresh) {
    let queue = fresh.queue().await;
    let mut consumer = consumer(&queue, TaskType::ExecuteNotebook).await;
    for expected in notebooks(0..20) {
        let mut next = consumer.next();
        // Polled once, it stands in line; a worker drops it whenever something else happens first.
        assert!(timeout(Duration::ZERO, &mut next).await.is_err());
        publish(&queue, &[expected]).await;
        drop(next);
        assert_eq!(take_and_ack(&mut consumer).await, expected);
    }
}

pub(crate) async fn answers_each_publish_in_a_batch(fresh: &impl Fresh) {
    let queue = fresh.queue().await;
    assert!(queue.publish(&[]).await.is_empty());
    let mixed: Vec<_> = (0..).zip(TaskType::ALL.into_iter().cycle()).take(70).collect();
    let mixed: Vec<_> = mixed.into_iter().map(|(number, kind)| wake_up(kind, number)).collect();
    publish(&queue, &mixed).await;
    for kind in TaskType::ALL {
        depth_becomes(&queue, kind, 10).await;
    }
}

pub(crate) async fn carries_ten_thousand(fresh: &impl Fresh) {
    let queue = fresh.queue().await;
    let all = notebooks(0..10_000);
    let consumers = (0..4).map(|_| {
        let queue = Arc::clone(&queue);
        tokio::spawn(async move {
            let mut consumer = consumer(&queue, TaskType::ExecuteNotebook).await;
            let mut taken = Vec::new();
            while taken.len() < 2_500 {
                taken.push(take_and_ack(&mut consumer).await);
            }
            taken
        })
    });
    let consumers: Vec<_> = consumers.collect();
    for batch in all.chunks(1_000) {
        publish(&queue, batch).await;
    }
    let mut taken = Vec::new();
    for consumer in consumers {
        taken.extend(consumer.await.expect("each consumer gets its share"));
    }
    assert_eq!(taken.len(), all.len());
    assert_eq!(HashSet::<_>::from_iter(taken), HashSet::from_iter(all));
    depth_becomes(&queue, TaskType::ExecuteNotebook, 0).await;
}

pub(crate) async fn gives_a_double_twice(fresh: &impl Fresh) {
    let queue = fresh.queue().await;
    let double = wake_up(TaskType::ExecuteNotebook, 1);
    publish(&queue, &[double, double]).await;
    let mut consumer = consumer(&queue, TaskType::ExecuteNotebook).await;
    assert_eq!(take_and_ack(&mut consumer).await, double);
    assert_eq!(take_and_ack(&mut consumer).await, double);
}

pub(crate) async fn brings_heartbeats_beside_wake_ups(fresh: &impl Fresh) {
    let queue = fresh.queue().await;
    queue.send_heartbeat(EpochMillis(1)).await.expect("it is taken before a worker is there");
    let mut heartbeats = queue.heartbeats().await.expect("a healthy queue lets a worker take them");
    for sent in [EpochMillis(1), EpochMillis(2)] {
        if sent > EpochMillis(1) {
            queue.send_heartbeat(sent).await.expect("it is taken");
        }
        assert_eq!(timeout(DEADLINE, heartbeats.next()).await.expect("in time"), Ok(sent));
    }
    for kind in TaskType::ALL {
        assert_eq!(queue.depth(kind).await, Ok(0), "it is in no line of runs");
    }
}
