//! What the tests work with: a shared broker and virtual hosts.

use std::sync::atomic::{AtomicU32, Ordering};

use isochrone_queue::rabbitmq::{Options, RabbitQueue};
use isochrone_testkit::RabbitServer;
use tokio::sync::OnceCell;

/// One broker for all tests that leave it whole.
pub(crate) async fn shared() -> &'static RabbitServer {
    static SERVER: OnceCell<RabbitServer> = OnceCell::const_new();
    SERVER.get_or_init(async || RabbitServer::start().await.expect("RabbitMQ starts")).await
}

/// The URL of a virtual host that nobody else has used.
pub(crate) async fn fresh_vhost() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("vhost-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    shared().await.vhost(&name).await.expect("the broker makes a virtual host")
}

pub(crate) async fn connect(url: &str) -> RabbitQueue {
    RabbitQueue::connect(url, Options::default()).await.expect("the broker is there")
}
