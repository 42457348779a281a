//! What goes through RabbitMQ.

use std::sync::{Arc, Mutex};

use anyhow::Result;
use futures::StreamExt;
use isochrone_testkit::RabbitServer;
use lapin::options::{BasicConsumeOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;

/// Every message that the broker gets or delivers in a virtual host, with its properties.
pub(super) async fn tap(rabbit: &RabbitServer, url: &str) -> Result<Arc<Mutex<Vec<Vec<u8>>>>> {
    rabbit.ctl(&["trace_on", "-p", "canary"]).await?;
    let connection = lapin::Connection::connect(url, lapin::ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let (name, none) = ("canary-tap", FieldTable::default());
    channel.queue_declare(name.into(), QueueDeclareOptions::default(), none.clone()).await?;
    let bound = QueueBindOptions::default();
    channel.queue_bind(name.into(), "amq.rabbitmq.trace".into(), "#".into(), bound, none.clone()).await?;
    let consuming = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    let mut consumer = channel.basic_consume(name.into(), "tap".into(), consuming, none).await?;
    let seen: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let messages = Arc::clone(&seen);
    tokio::spawn(async move {
        // Held until the test ends.
        let _held = (connection, channel);
        while let Some(Ok(delivery)) = consumer.next().await {
            let mut bytes = format!("{:?}", delivery.properties).into_bytes();
            bytes.extend(&delivery.data);
            messages.lock().expect("no test panics with it").push(bytes);
        }
    });
    Ok(seen)
}
