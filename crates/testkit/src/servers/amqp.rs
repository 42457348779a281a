//! What a test asks of a RabbitMQ queue from outside.

use std::time::Duration;

use anyhow::{Context, Result};
use lapin::options::{QueueDeclareOptions, QueueDeleteOptions, QueuePurgeOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties};
use tokio::time::timeout;

const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const NOT_FOUND: u16 = 404;

/// Whether a client can log in and open the virtual host.
pub(super) async fn accepts_login(url: &str) -> bool {
    with_channel(url, async |_| Ok(())).await.is_ok()
}

/// How many messages are ready in a queue; nothing if there is no such queue. A quorum queue that has no
/// leader yet, as just after a start, is told as empty: wait for what is expected.
pub async fn queue_depth(url: &str, queue: &str) -> Result<Option<u64>> {
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    with_channel(url, async |channel| {
        match channel.queue_declare(queue.into(), passive, FieldTable::default()).await {
            Ok(found) => Ok(Some(found.message_count().into())),
            Err(error) if code(&error) == Some(NOT_FOUND) => Ok(None),
            Err(error) => Err(error),
        }
    })
    .await
}

/// Deletes a queue with its messages; gives how many. Without such a queue, nothing happens.
pub async fn delete_queue(url: &str, queue: &str) -> Result<u64> {
    with_channel(url, async |channel| {
        channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.map(u64::from)
    })
    .await
}

/// Deletes the messages that are ready in a queue.
pub async fn purge_queue(url: &str, queue: &str) -> Result<()> {
    with_channel(url, async |channel| {
        channel.queue_purge(queue.into(), QueuePurgeOptions::default()).await.map(drop)
    })
    .await
}

async fn with_channel<T>(url: &str, ask: impl AsyncFnOnce(Channel) -> lapin::Result<T>) -> Result<T> {
    // lapin's errors name no URL.
    let connecting = Connection::connect(url, ConnectionProperties::default());
    let connection = timeout(ANSWER_WITHIN, connecting).await.context("RabbitMQ: no connection")??;
    let opening = connection.create_channel();
    let channel = timeout(ANSWER_WITHIN, opening).await.context("RabbitMQ: no channel")??;
    let answer = timeout(ANSWER_WITHIN, ask(channel)).await.context("RabbitMQ: no answer")?;
    // The answer is here: how the connection ends changes nothing.
    drop(timeout(ANSWER_WITHIN, connection.close(200, "done".into())).await);
    Ok(answer?)
}

fn code(error: &lapin::Error) -> Option<u16> {
    match error.kind() {
        lapin::ErrorKind::ProtocolError(error) => Some(error.get_id()),
        _ => None,
    }
}
