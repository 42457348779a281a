//! Lost brokers, connections, channels and queues: everything comes back by itself, and nothing is lost.

use std::time::{Duration, Instant};

use isochrone_domain::TaskType;
use isochrone_queue::{Queue, QueueError, WakeUp};
use isochrone_testkit::servers::amqp;
use isochrone_testkit::{Direction, Proxy, RabbitServer};
use tokio::time::timeout;

use crate::world::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_was_killed_comes_back_with_every_wake_up() {
    let mut server = RabbitServer::start().await.unwrap();
    let queue = connect(&server.url()).await;
    let mut consumer = queue.consume(KIND, 8).await.unwrap();
    publish(&queue, &wake_ups(0..20)).await;
    for _ in 0..5 {
        take_and_ack(&mut consumer).await;
    }
    let held = take(&mut consumer).await;
    server.sync().await.unwrap();
    server.kill().unwrap();
    let health =
        health_becomes(&queue, "the loss to be known", |health| !health.publishing && !health.consumers[0].1)
            .await;
    assert!(health.cause.is_some());
    let asked = Instant::now();
    let answers = queue.publish(&wake_ups(100..102)).await;
    assert!(answers.iter().all(Result::is_err), "{answers:?}");
    assert!(asked.elapsed() < Duration::from_secs(1), "without a broker it answers at once");
    assert!(timeout(Duration::from_millis(100), consumer.next()).await.is_err(), "it waits, and is no error");
    // It comes again, so its end is nobody's concern.
    held.ack().await.unwrap();
    server.restart().await.unwrap();
    let back = Instant::now();
    publish_until_taken(&queue, &wake_ups(100..120)).await;
    take_all(&mut consumer, &[wake_ups(5..20), wake_ups(100..120)].concat()).await;
    assert!(back.elapsed() < DEADLINE, "it took {:?}", back.elapsed());
    health_becomes(&queue, "all to be well", |health| {
        health.publishing && health.consumers == [(KIND, true)]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_queue_fails_only_its_own_wake_ups_and_is_made_anew() {
    let url = fresh_vhost().await;
    let queue = connect(&url).await;
    let other = WakeUp { kind: TaskType::ExecuteReport, ..wake_up(2) };
    publish(&queue, &[wake_up(0), other]).await;
    amqp::delete_queue(&url, LINE).await.unwrap();
    let answers = queue.publish(&[wake_up(1), other, wake_up(2), other]).await;
    assert_eq!(answers[0], Err(QueueError::Returned(LINE.to_owned())));
    assert!(answers[2].is_err() && answers[1].is_ok() && answers[3].is_ok(), "{answers:?}");
    publish_until_taken(&queue, &[wake_up(1)]).await;
    depth_becomes(&queue, 1).await;
    amqp::delete_queue(&url, LINE).await.unwrap();
    assert_eq!(queue.depth(KIND).await, Ok(0), "one that is gone is empty");
    publish_until_taken(&queue, &[wake_up(3)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_outlives_its_queue() {
    let url = fresh_vhost().await;
    let queue = connect(&url).await;
    let mut consumer = queue.consume(KIND, 8).await.unwrap();
    publish(&queue, &[wake_up(1)]).await;
    assert_eq!(take_and_ack(&mut consumer).await, wake_up(1));
    amqp::delete_queue(&url, LINE).await.unwrap();
    publish_until_taken(&queue, &[wake_up(2)]).await;
    assert_eq!(take_and_ack(&mut consumer).await, wake_up(2));
}

/// The broker tells the consumer nothing, and delivers nothing to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_outlives_a_queue_that_is_replaced_at_once() {
    let url = fresh_vhost().await;
    let queue = connect(&url).await;
    let mut consumer = queue.consume(KIND, 8).await.unwrap();
    publish(&queue, &wake_ups(0..3)).await;
    take_all(&mut consumer, &wake_ups(0..3)).await;
    Stranger::connect(&url).await.replace(LINE).await;
    publish(&queue, &[wake_up(3)]).await;
    assert_eq!(take_and_ack(&mut consumer).await, wake_up(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_that_the_broker_closes_is_opened_again() {
    // A delivery that is held too long is a channel error: the broker closes the channel, and only that.
    let server = RabbitServer::start_with(&[("consumer_timeout", "1000")]).await.unwrap();
    let queue = connect(&server.url()).await;
    let mut consumer = queue.consume(KIND, 8).await.unwrap();
    publish(&queue, &[wake_up(0)]).await;
    let held = take(&mut consumer).await;
    health_becomes(&queue, "the channel to be closed", |health| !health.consumers[0].1).await;
    assert_eq!(held.ack().await, Ok(()), "a stale ack is no error");
    publish(&queue, &[wake_up(1)]).await;
    take_all(&mut consumer, &wake_ups(0..2)).await;
    depth_becomes(&queue, 0).await;
    assert_eq!(queue.health().consumers, [(KIND, true)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_confirm_that_was_lost_is_an_error_and_the_wake_up_is_published_again() {
    let url = fresh_vhost().await;
    let proxy = Proxy::start(shared().await.address()).await.unwrap();
    let queue = connect(&by_way_of(proxy.address(), &url)).await;
    publish(&queue, &[wake_up(0)]).await;
    // Nothing of the answer comes, or a part of it.
    for (bytes, wake_ups) in [(0, wake_ups(1..11)), (1, wake_ups(11..21)), (20, wake_ups(21..31))] {
        proxy.close_after(Direction::ToClient, bytes);
        let answers = queue.publish(&wake_ups).await;
        assert!(answers.iter().any(Result::is_err), "{answers:?}");
        publish_until_taken(&queue, &wake_ups).await;
    }
    let mut consumer = queue.consume(KIND, 8).await.unwrap();
    take_all(&mut consumer, &wake_ups(0..31)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_closed_or_reset_are_made_anew() {
    let url = fresh_vhost().await;
    let proxy = Proxy::start(shared().await.address()).await.unwrap();
    let queue = connect(&by_way_of(proxy.address(), &url)).await;
    let mut consumer = queue.consume(KIND, 8).await.unwrap();
    for (round, fault) in [Proxy::drop_connections, Proxy::cut].into_iter().enumerate() {
        let wake_ups = wake_ups(10 * round as u32..10 * round as u32 + 10);
        publish_until_taken(&queue, &wake_ups).await;
        let held = take(&mut consumer).await;
        fault(&proxy);
        health_becomes(&queue, "the loss to be known", |health| !health.publishing && !health.consumers[0].1)
            .await;
        proxy.heal();
        drop(held);
        take_all(&mut consumer, &wake_ups).await;
    }
    health_becomes(&queue, "all to be well", |health| health.publishing && health.cause.is_none()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_falls_silent_is_given_up_and_found_again() {
    let url = fresh_vhost().await;
    let proxy = Proxy::start(shared().await.address()).await.unwrap();
    let queue = connect_impatient(&by_way_of(proxy.address(), &url)).await;
    let mut consumer = queue.consume(KIND, 8).await.unwrap();
    publish(&queue, &[wake_up(0)]).await;
    let held = take(&mut consumer).await;
    proxy.blackhole();
    let asked = Instant::now();
    assert!(queue.publish(&[wake_up(1)]).await[0].is_err());
    assert!(asked.elapsed() < Duration::from_secs(4), "the timeout holds");
    health_becomes(&queue, "the silence to be noticed", |health| {
        !health.publishing && !health.consumers[0].1
    })
    .await;
    drop(held);
    proxy.heal();
    publish_until_taken(&queue, &[wake_up(1)]).await;
    take_all(&mut consumer, &wake_ups(0..2)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn close_gives_back_what_waits_and_ends_consumers() {
    let url = fresh_vhost().await;
    let queue = connect(&url).await;
    let mut consumer = queue.consume(KIND, 8).await.unwrap();
    publish(&queue, &wake_ups(0..5)).await;
    take_and_ack(&mut consumer).await;
    timeout(DEADLINE, queue.close()).await.expect("it ends");
    assert!(matches!(consumer.next().await, Err(QueueError::Unavailable(_))));
    assert!(queue.consume(KIND, 8).await.is_err());
    assert!(queue.publish(&[wake_up(9)]).await[0].is_err());
    assert!(queue.depth(KIND).await.is_err());
    let after = connect(&url).await;
    depth_becomes(&after, 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_somebody_made_otherwise_serves_as_well() {
    let url = fresh_vhost().await;
    let stranger = Stranger::connect(&url).await;
    for line in [LINE, DEAD] {
        stranger.declare(line, "classic").await;
    }
    let queue = connect(&url).await;
    let mut consumer = queue.consume(KIND, 8).await.unwrap();
    publish(&queue, &wake_ups(0..3)).await;
    take_all(&mut consumer, &wake_ups(0..3)).await;
    stranger.put(LINE, b"junk").await;
    assert_eq!(stranger.get(DEAD).await.delivery.data, b"junk");
    assert_eq!(queue.health().consumers, [(KIND, true)]);
}
