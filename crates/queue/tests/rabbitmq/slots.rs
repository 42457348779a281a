//! A worker without a free slot holds up nothing that another could do.

use std::time::{Duration, Instant};

use isochrone_queue::Queue;
use tokio::time::timeout;

use crate::world::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_saturated_worker_was_sent_goes_to_another() {
    let url = fresh_vhost().await;
    let (one, two) = (connect(&url).await, connect(&url).await);
    publish(&one, &wake_ups(0..8)).await;
    let mut saturated = one.consume(KIND, 8).await.unwrap();
    let mut taken = vec![take_and_ack(&mut saturated).await];
    let since = Instant::now();
    let mut free = two.consume(KIND, 8).await.unwrap();
    while taken.len() < 8 {
        taken.push(take_and_ack(&mut free).await);
    }
    assert!(since.elapsed() < Duration::from_secs(2), "it took {:?}", since.elapsed());
    taken.sort_by_key(|wake_up| wake_up.run);
    assert_eq!(taken, wake_ups(0..8), "each came once");
    assert_eq!(one.health().consumers, [(KIND, true)], "it rests, and is well");
    // It asks again: it is served again, one by one at first and then as fast as it likes.
    drop(free);
    publish(&two, &wake_ups(8..308)).await;
    take_all(&mut saturated, &wake_ups(8..308)).await;
    depth_becomes(&one, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_is_sent_than_there_are_slots() {
    let url = fresh_vhost().await;
    let (one, two) = (connect(&url).await, connect(&url).await);
    publish(&one, &wake_ups(0..10)).await;
    let mut narrow = one.consume(KIND, 2).await.unwrap();
    let held = [take(&mut narrow).await, take(&mut narrow).await];
    assert!(timeout(Duration::from_millis(300), narrow.next()).await.is_err(), "a third is not sent");
    let mut other = two.consume(KIND, 16).await.unwrap();
    take_all(&mut other, &wake_ups(2..10)).await;
    for held in held {
        held.ack().await.unwrap();
    }
    depth_becomes(&one, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_outlives_its_consumer() {
    let url = fresh_vhost().await;
    let queue = connect(&url).await;
    publish(&queue, &wake_ups(0..3)).await;
    let mut consumer = queue.consume(KIND, 8).await.unwrap();
    let held = take(&mut consumer).await;
    drop(consumer);
    // The others go back; this one is still being claimed.
    let mut next = queue.consume(KIND, 8).await.unwrap();
    take_all(&mut next, &wake_ups(1..3)).await;
    held.ack().await.unwrap();
    depth_becomes(&queue, 0).await;
    assert!(timeout(Duration::from_millis(300), next.next()).await.is_err(), "its ack was taken");
    assert_eq!(queue.health().consumers.len(), 1, "one that is gone is not counted");
}
