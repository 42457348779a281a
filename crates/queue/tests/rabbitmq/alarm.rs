//! A broker that is short of memory stops its publishers; nothing of ours hangs.

use std::time::{Duration, Instant};

use isochrone_queue::Queue;
use isochrone_testkit::RabbitServer;

use crate::world::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_memory_alarm_makes_publishes_fail_in_time_and_consumers_go_on() {
    let server = RabbitServer::start().await.unwrap();
    let queue = connect_impatient(&server.url()).await;
    let mut consumer = queue.consume(KIND, 8).await.unwrap();
    publish(&queue, &wake_ups(0..3)).await;
    server.raise_memory_alarm().await.unwrap();
    let asked = Instant::now();
    let answers = queue.publish(&wake_ups(3..6)).await;
    assert!(answers.iter().all(Result::is_err), "{answers:?}");
    assert!(asked.elapsed() < Duration::from_secs(4), "the timeout holds: {:?}", asked.elapsed());
    let health = health_becomes(&queue, "the alarm to be known", |health| health.blocked).await;
    assert!(!health.publishing && health.consumers == [(KIND, true)], "{health:?}");
    assert!(health.cause.as_deref().is_some_and(|cause| cause.contains("memory")), "{health:?}");
    let asked = Instant::now();
    for _ in 0..10 {
        assert!(queue.publish(&wake_ups(3..6)).await.iter().all(Result::is_err));
        assert!(queue.depth(KIND).await.is_err());
    }
    assert!(asked.elapsed() < Duration::from_secs(1), "once it is known, the answer comes at once");
    take_all(&mut consumer, &wake_ups(0..3)).await;
    server.clear_memory_alarm().await.unwrap();
    publish_until_taken(&queue, &wake_ups(3..6)).await;
    take_all(&mut consumer, &wake_ups(3..6)).await;
    health_becomes(&queue, "all to be well", |health| health.publishing && !health.blocked).await;
}
