//! Real servers start, and keep what they acknowledged when they are killed.

use anyhow::{Result, ensure};
use isochrone_testkit::{RabbitServer, RedisServer, eventually};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Connection, ConnectionProperties};

#[tokio::test]
async fn redis_keeps_its_keys_over_a_kill() {
    let mut redis = RedisServer::start().await.unwrap();
    let (pid, address) = (redis.pid(), redis.address());
    assert_eq!(redis.command("SET key value").await.unwrap(), "OK");
    redis.kill().unwrap();
    redis.command("PING").await.expect_err("it is dead");
    redis.restart().await.unwrap();
    assert_eq!(redis.command("GET key").await.unwrap(), "value");
    assert_eq!(redis.address(), address);
    assert_ne!(redis.pid(), pid);
    redis.flush().await.unwrap();
    assert_eq!(redis.command("DBSIZE").await.unwrap(), "0");
}

#[tokio::test]
async fn rabbit_keeps_a_confirmed_message_over_a_kill() {
    let mut rabbit = RabbitServer::start().await.unwrap();
    publish(&rabbit.url(), "runs").await.unwrap();
    rabbit.sync().await.unwrap();
    let address = rabbit.address();
    rabbit.kill().unwrap();
    rabbit.queue_depth("runs").await.expect_err("it is dead");
    rabbit.restart().await.unwrap();
    until_depth(&rabbit, "runs", 1).await.unwrap();
    assert_eq!(rabbit.queue_depth("others").await.unwrap(), None);
    assert_eq!(rabbit.address(), address);
}

async fn until_depth(rabbit: &RabbitServer, queue: &str, expected: u64) -> Result<()> {
    eventually("the messages in the queue", || async {
        let depth = rabbit.queue_depth(queue).await?;
        Ok((depth == Some(expected)).then_some(()))
    })
    .await
}

/// Makes a quorum queue, and publishes one message to it that the broker confirms.
async fn publish(url: &str, queue: &str) -> Result<()> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(queue.into(), durable, arguments).await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let options = BasicPublishOptions::default();
    let sent = channel.basic_publish("".into(), queue.into(), options, b"run", BasicProperties::default());
    let confirm = sent.await?.await?;
    ensure!(confirm.is_ack(), "not confirmed");
    Ok(())
}
