//! The in-process queue: the conformance suite, and what only it promises.

mod conformance;

use std::sync::Arc;
use std::time::Duration;

use isochrone_domain::{RunId, TaskType};
use isochrone_queue::local::LocalQueue;
use isochrone_queue::{Queue, QueueError, WakeUp};
use tokio::time::timeout;

struct Local;

impl conformance::Fresh for Local {
    async fn queue(&self) -> Arc<dyn Queue> {
        Arc::new(LocalQueue::new())
    }
}

queue_conformance!(Local);

const KIND: TaskType = TaskType::ExecuteNotebook;

fn wake_up(number: u8) -> WakeUp {
    WakeUp { run: RunId::from_bytes([number; 16]), kind: KIND }
}

#[tokio::test]
async fn what_comes_back_goes_to_the_front() {
    let queue = LocalQueue::new();
    queue.publish(&[wake_up(1), wake_up(2), wake_up(3)]).await;
    let mut consumer = queue.consume(KIND, 8).await.unwrap();
    drop(consumer.next().await.unwrap());
    assert_eq!(consumer.next().await.unwrap().wake_up(), wake_up(1));
    consumer.next().await.unwrap().give_back().await.unwrap();
    for number in 1..=3 {
        let delivery = consumer.next().await.unwrap();
        assert_eq!(delivery.wake_up(), wake_up(number));
        delivery.ack().await.unwrap();
    }
}

#[tokio::test]
async fn who_waited_longest_is_served_first() {
    let queue = LocalQueue::new();
    let mut consumers = Vec::new();
    for _ in 0..3 {
        consumers.push(queue.consume(KIND, 8).await.unwrap());
    }
    let mut waiting: Vec<_> = consumers.iter_mut().map(|consumer| consumer.next()).collect();
    for next in &mut waiting {
        assert!(timeout(Duration::ZERO, next).await.is_err(), "polled once, it stands in line");
    }
    for (number, next) in (1..).zip(&mut waiting) {
        queue.publish(&[wake_up(number)]).await;
        let delivery = next.await.unwrap();
        assert_eq!(delivery.wake_up(), wake_up(number));
        delivery.ack().await.unwrap();
    }
}

#[tokio::test]
async fn close_ends_waiting_and_publishing() {
    let queue = LocalQueue::new();
    let mut consumer = queue.consume(KIND, 8).await.unwrap();
    let mut next = consumer.next();
    assert!(timeout(Duration::ZERO, &mut next).await.is_err());
    queue.clone().close();
    let answer = timeout(Duration::from_secs(5), next).await.expect("it answers at once");
    assert!(matches!(answer, Err(QueueError::Unavailable(_))));
    drop(answer);
    assert!(matches!(consumer.next().await, Err(QueueError::Unavailable(_))));
    assert!(queue.consume(KIND, 8).await.is_err());
    let answers = queue.publish(&[wake_up(1), wake_up(2)]).await;
    assert_eq!(answers.len(), 2);
    assert!(answers.iter().all(Result::is_err));
}

#[tokio::test]
async fn a_clone_is_the_same_line() {
    let queue = LocalQueue::new();
    queue.publish(&[wake_up(9)]).await;
    let mut consumer = queue.clone().consume(KIND, 8).await.unwrap();
    let delivery = consumer.next().await.unwrap();
    assert_eq!(delivery.wake_up(), wake_up(9));
    assert_eq!(queue.depth(KIND).await, Ok(1));
}
