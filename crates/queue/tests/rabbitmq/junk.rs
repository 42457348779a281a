//! Messages that are no wake-ups: they go to the dead letters, and the consumer goes on.

use isochrone_queue::Queue;
use isochrone_queue::rabbitmq::{Options, RabbitQueue};
use isochrone_telemetry::Metrics;
use isochrone_testkit::eventually;
use isochrone_testkit::servers::amqp;
use lapin::options::BasicGetOptions;
use lapin::types::{AMQPValue, FieldTable};

use crate::world::*;

fn header(headers: &FieldTable, name: &str) -> String {
    match headers.inner().get(name) {
        Some(AMQPValue::LongString(text)) => text.to_string(),
        Some(AMQPValue::LongLongInt(number)) => number.to_string(),
        other => panic!("{name} is {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_kind_of_junk_goes_to_the_dead_letters_with_its_reason() {
    let url = fresh_vhost().await;
    let metrics = Metrics::new();
    let options = Options { metrics: metrics.clone(), ..Options::default() };
    let queue = RabbitQueue::connect(&url, options).await.expect("the broker is there");
    let mut consumer = queue.consume(KIND, 8).await.unwrap();
    let stranger = Stranger::connect(&url).await;
    let run = wake_up(1).run;
    let long = vec![b'x'; 64 * 1024 + 1];
    let cases: [(&[u8], &str); 6] = [
        (&[0xde, 0xad, 0xbe, 0xef], "unreadable"),
        (b"", "unreadable"),
        (b"{\"v\":1,\"run\":\"not-a-run\",\"kind\":\"ExecuteNotebook\"}", "unreadable"),
        (b"{\"v\":99}", "unknown_version"),
        (&format!(r#"{{"v":1,"run":"{run}","kind":"GPService"}}"#).into_bytes(), "wrong_line"),
        (&long, "too_long"),
    ];
    for (body, reason) in &cases {
        stranger.put(LINE, body).await;
        let letter = stranger.get(DEAD).await.delivery;
        let headers = letter.properties.headers().clone().expect("a dead letter says why");
        assert_eq!(header(&headers, "isochrone-reason"), *reason);
        assert_eq!(header(&headers, "isochrone-queue"), LINE);
        assert_eq!(header(&headers, "isochrone-length"), body.len().to_string());
        assert_eq!(letter.data, body[..body.len().min(64 * 1024)]);
    }
    publish(&queue, &[wake_up(1)]).await;
    assert_eq!(take_and_ack(&mut consumer).await, wake_up(1));
    assert_eq!(queue.health().dead_lettered, cases.len() as u64);
    let counted = format!("isochrone_dead_letters_total{{type=\"ExecuteNotebook\"}} {}", cases.len());
    assert!(metrics.render().contains(&counted), "{}", metrics.render());
    depth_becomes(&queue, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_mebibytes_kill_nothing() {
    let url = fresh_vhost().await;
    let queue = connect(&url).await;
    let mut consumer = queue.consume(KIND, 8).await.unwrap();
    let stranger = Stranger::connect(&url).await;
    stranger.put(LINE, &vec![0; 100 << 20]).await;
    publish(&queue, &[wake_up(1)]).await;
    assert_eq!(take_and_ack(&mut consumer).await, wake_up(1));
    let letter = stranger.get(DEAD).await.delivery;
    assert_eq!(letter.data.len(), 64 * 1024, "the beginning is kept");
    assert_eq!(
        header(&letter.properties.headers().clone().unwrap(), "isochrone-length"),
        (100 << 20).to_string()
    );
    depth_becomes(&queue, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_random_bodies_stop_nothing() {
    let url = fresh_vhost().await;
    let queue = connect(&url).await;
    let stranger = Stranger::connect(&url).await;
    for number in 0..1_000_u32 {
        // Not from a generator of its own: bytes that differ are enough here.
        let body: Vec<_> =
            (0..number % 64).map(|at| (number.wrapping_mul(2_654_435_761) >> (at % 24)) as u8).collect();
        stranger.put(LINE, &body).await;
    }
    publish(&queue, &[wake_up(1)]).await;
    let mut consumer = queue.consume(KIND, 200).await.unwrap();
    assert_eq!(take_and_ack(&mut consumer).await, wake_up(1));
    depth_becomes(&queue, 0).await;
    assert_eq!(queue.health().dead_lettered, 1_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_dead_letters_junk_still_stops_nothing() {
    let url = fresh_vhost().await;
    let queue = connect(&url).await;
    let mut consumer = queue.consume(KIND, 1).await.unwrap();
    publish(&queue, &[wake_up(0)]).await;
    assert_eq!(take_and_ack(&mut consumer).await, wake_up(0));
    let stranger = Stranger::connect(&url).await;
    stranger.put(LINE, b"the first").await;
    assert_eq!(stranger.get(DEAD).await.delivery.data, b"the first");
    amqp::delete_queue(&url, DEAD).await.unwrap();
    stranger.put(LINE, b"junk").await;
    publish(&queue, &[wake_up(1)]).await;
    assert_eq!(take_and_ack(&mut consumer).await, wake_up(1));
    depth_becomes(&queue, 0).await;
    // The next one finds the queue made anew.
    eventually("the dead letters to be declared again", async || amqp::queue_depth(&url, DEAD).await)
        .await
        .unwrap();
    stranger.put(LINE, b"more junk").await;
    assert_eq!(stranger.get(DEAD).await.delivery.data, b"more junk");
    let none = stranger.channel.basic_get(DEAD.into(), BasicGetOptions::default()).await.unwrap();
    assert!(none.is_none(), "the first one was rejected, and no policy keeps it");
}
