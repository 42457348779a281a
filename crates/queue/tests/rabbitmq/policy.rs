//! The policies that we ship do on a broker what they say.

use std::path::Path;

use isochrone_queue::Queue;
use lapin::options::{BasicGetOptions, BasicRejectOptions};

use crate::world::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shipped_definitions_are_taken_and_work() {
    let server = shared().await;
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/rabbitmq/definitions.json");
    server.ctl(&["import_definitions", file.to_str().unwrap()]).await.unwrap();
    let url = server.vhost("isochrone").await.unwrap();
    let queue = connect(&url).await;
    let named =
        server.ctl(&["-q", "list_queues", "-p", "isochrone", "name", "policy", "type"]).await.unwrap();
    assert!(named.contains(&format!("{LINE}\tisochrone-runs\tquorum")), "{named}");
    assert!(named.contains("isochrone.dead\tisochrone-dead\tquorum"), "{named}");

    // What is rejected is kept.
    let stranger = Stranger::connect(&url).await;
    stranger.put(LINE, b"rejected").await;
    let taken = stranger.channel.basic_get(LINE.into(), BasicGetOptions::default()).await.unwrap().unwrap();
    taken.delivery.acker.reject(BasicRejectOptions { requeue: false }).await.unwrap();
    assert_eq!(stranger.get(DEAD).await.delivery.data, b"rejected");

    // A queue that is full says so.
    let full = r#"{"max-length":5,"overflow":"reject-publish"}"#;
    server.ctl(&["set_policy", "-p", "isochrone", "--priority", "99", "full", LINE, full]).await.unwrap();
    let mut refused = 0;
    for number in 0..50 {
        refused += queue.publish(&[wake_up(number)]).await.iter().filter(|answer| answer.is_err()).count();
    }
    assert!((35..50).contains(&refused), "of 50 wake-ups {refused} were refused");
    server.ctl(&["clear_policy", "-p", "isochrone", "full"]).await.unwrap();
    publish_until_taken(&queue, &[wake_up(99)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_needs_only_the_rights_that_the_readme_names() {
    let server = shared().await;
    let url = fresh_vhost().await;
    let vhost = url.rsplit('/').next().unwrap();
    server.ctl(&["add_user", "isochrone", "secret"]).await.unwrap();
    let rights = [r"^isochrone\.", r"^(isochrone\.|amq\.default$)", r"^isochrone\."];
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/rabbitmq/README.md");
    let quoted = rights.map(|right| format!("'{right}'")).join(" ");
    assert!(std::fs::read_to_string(readme).unwrap().contains(&quoted), "the page names {quoted}");
    let [configure, write, read] = rights;
    server.ctl(&["set_permissions", "-p", vhost, "isochrone", configure, write, read]).await.unwrap();

    let queue = connect(&url.replace("guest:guest", "isochrone:secret")).await;
    let mut consumer = queue.consume(KIND, 8).await.unwrap();
    let stranger = Stranger::connect(&url).await;
    stranger.put(LINE, b"junk").await;
    assert_eq!(stranger.get(DEAD).await.delivery.data, b"junk");
    publish(&queue, &[wake_up(1)]).await;
    assert_eq!(take_and_ack(&mut consumer).await, wake_up(1));
    depth_becomes(&queue, 0).await;
}
