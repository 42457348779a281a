//! Real servers start, and keep what they acknowledged when they are killed.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use futures::StreamExt;
use isochrone_testkit::servers::amqp;
use isochrone_testkit::{RabbitServer, RedisServer, eventually};
use lapin::options::{BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Connection, ConnectionProperties};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;

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

/// SIGKILL leaves a test no moment to clean up: the system must end its servers.
#[tokio::test]
async fn servers_die_with_the_process_that_started_them() {
    let mut test = Command::new(env!("CARGO_BIN_EXE_servers")).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(test.stdout.take().unwrap()).lines();
    let mut servers = Vec::new();
    for name in ["redis", "rabbitmq"] {
        let line = lines.next_line().await.unwrap().unwrap();
        let (found, rest) = line.split_once(' ').unwrap();
        let (pid, url) = rest.split_once(' ').unwrap();
        assert_eq!(found, name);
        let address = url.trim_end_matches("/%2f").trim_end_matches('/').rsplit(['/', '@']).next().unwrap();
        servers.push((pid.to_owned(), address.to_owned()));
    }
    for (pid, address) in &servers {
        assert!(runs(pid));
        TcpStream::connect(address).await.unwrap();
    }
    test.kill().await.unwrap();
    for (pid, address) in &servers {
        eventually("the server to be dead", || async { Ok((!runs(pid)).then_some(())) }).await.unwrap();
        // Its last thread may hold the port for a moment more.
        eventually("nobody to listen", || async { Ok(TcpStream::connect(address).await.err()) })
            .await
            .unwrap();
    }
}

/// Whether a process is there and is not a dead one that waits to be reaped.
fn runs(pid: &str) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    state.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['Z', 'X']))
}

#[tokio::test]
async fn a_paused_redis_answers_when_it_is_resumed() {
    let redis = RedisServer::start_with(&[("maxmemory", "64mb"), ("appendfsync", "everysec")]).await.unwrap();
    let config = redis.command("INFO memory").await.unwrap();
    assert!(config.contains("maxmemory:67108864"), "{config}");
    redis.pause().unwrap();
    let asked = redis.command("PING");
    tokio::pin!(asked);
    timeout(Duration::from_millis(300), &mut asked).await.expect_err("it is paused");
    redis.resume().unwrap();
    assert_eq!(asked.await.unwrap(), "PONG");
}

#[tokio::test]
async fn a_server_that_does_not_start_says_why() {
    let error = RedisServer::start_with(&[("appendfsync", "never")]).await.err().unwrap().to_string();
    assert!(error.contains("FATAL CONFIG FILE ERROR") && error.contains("appendfsync"), "{error}");
    let error = RabbitServer::start_with(&[("no_such_key", "1")]).await.err().unwrap().to_string();
    assert!(error.contains("no_such_key"), "{error}");
}

#[tokio::test]
async fn rabbit_does_what_tests_ask_of_it() {
    let mut rabbit = RabbitServer::start_with(&[("consumer_timeout", "2000")]).await.unwrap();
    let url = rabbit.vhost("other").await.unwrap();
    publish(&url, "runs").await.unwrap();
    assert_eq!(rabbit.queue_depth("runs").await.unwrap(), None, "another virtual host's queue");
    assert_eq!(amqp::queue_depth(&url, "runs").await.unwrap(), Some(1));
    amqp::purge_queue(&url, "runs").await.unwrap();
    assert_eq!(amqp::queue_depth(&url, "runs").await.unwrap(), Some(0));
    amqp::delete_queue(&url, "runs").await.unwrap();
    assert_eq!(amqp::queue_depth(&url, "runs").await.unwrap(), None);

    let connection = Connection::connect(&url, ConnectionProperties::default()).await.unwrap();
    rabbit.close_all_connections().await.unwrap();
    eventually("the connection to be closed", || async {
        Ok((!connection.status().connected()).then_some(()))
    })
    .await
    .unwrap();

    publish(&url, "runs").await.unwrap();
    rabbit.raise_memory_alarm().await.unwrap();
    timeout(Duration::from_millis(500), publish(&url, "runs")).await.expect_err("publishers are blocked");
    rabbit.clear_memory_alarm().await.unwrap();
    publish(&url, "runs").await.unwrap();

    // Its timeout of two seconds, and a second until it looks.
    let consumed = consume_without_ack(&url, "runs");
    let error = timeout(Duration::from_secs(20), consumed).await.unwrap().unwrap();
    assert!(error.contains("PRECONDITION_FAILED"), "{error}");

    rabbit.stop().await.unwrap();
    rabbit.restart().await.unwrap();
    eventually("the messages in the queue", || async {
        Ok(amqp::queue_depth(&url, "runs").await?.filter(|depth| *depth >= 2))
    })
    .await
    .unwrap();
}

/// Takes messages, acknowledges none, and gives the error that ends it.
async fn consume_without_ack(url: &str, queue: &str) -> Result<String> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let options = BasicConsumeOptions::default();
    let mut consumer =
        channel.basic_consume(queue.into(), "idle".into(), options, FieldTable::default()).await?;
    while let Some(delivery) = consumer.next().await {
        if let Err(error) = delivery {
            return Ok(error.to_string());
        }
    }
    bail!("the consumer ended without an error")
}
