//! A run may take longer than the broker lets a message go without its acknowledgement.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use isochrone_testkit::fleet::{Fleet, Script, TASKS, create_minutely, disable};
use isochrone_testkit::{RabbitServer, RedisServer, eventually, eventually_within};
use lapin::options::{BasicConsumeOptions, BasicPublishOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Connection, ConnectionProperties};

/// In RabbitMQ's configuration, in milliseconds; its default is 30 min.
const CONSUMER_TIMEOUT_MS: u64 = 1_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_run_outlasts_the_brokers_consumer_timeout() -> Result<()> {
    let timeout = CONSUMER_TIMEOUT_MS.to_string();
    let rabbit = RabbitServer::start_with(&[("consumer_timeout", &timeout)]).await?;
    let cut_off = time_until_cut_off(&rabbit).await?;
    let mut fleet =
        Fleet::on(RedisServer::start().await?, rabbit, env!("CARGO_BIN_EXE_isochrone"), 1).await?;
    let long = cut_off * 3;
    fleet.drill.script(move |_| Script { hold_ms: long.as_millis() as u64, succeed: true });
    let scheduler = fleet.scheduler().await?;
    let _worker = fleet.worker(1).await?;
    let task = create_minutely(&scheduler, "long", &[]).await?;
    disable(&scheduler, task).await?;
    let run = scheduler.post(&format!("{TASKS}/{task}/run"), &[]).await?;
    let run = run["runId"].as_str().with_context(|| format!("run now: {run}"))?;
    let ended = eventually_within(long + Duration::from_secs(30), "the run to end", || async {
        let run = scheduler.get(&format!("{TASKS}/{task}/runs/{run}"), &[]).await?;
        Ok((!["scheduled", "executing"].contains(&run["status"].as_str().unwrap_or_default())).then_some(run))
    })
    .await?;
    assert_eq!((&ended["status"], &ended["attempt"]), (&"succeeded".into(), &1.into()), "{ended}");
    assert_eq!(fleet.drill.count(), 1);
    // The worker still takes runs: its consumer was not cut off meanwhile.
    fleet.drill.script(|_| Script { hold_ms: 0, succeed: true });
    scheduler.post(&format!("{TASKS}/{task}/run"), &[]).await?;
    eventually("another run to begin", || async { Ok((fleet.drill.count() == 2).then_some(())) }).await?;
    ensure!(scheduler.terminate().await?);
    Ok(())
}

/// How long this broker lets a consumer have a message without acknowledging it.
async fn time_until_cut_off(rabbit: &RabbitServer) -> Result<Duration> {
    let connection = Connection::connect(&rabbit.url(), ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let (queue, none) = ("held".into(), FieldTable::default());
    let declare = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    let mut quorum = FieldTable::default();
    quorum.insert("x-queue-type".into(), lapin::types::AMQPValue::LongString("quorum".into()));
    channel.queue_declare(queue, declare, quorum).await?;
    let publish = BasicPublishOptions::default();
    channel.basic_publish("".into(), "held".into(), publish, b"x", BasicProperties::default()).await?.await?;
    let consume = BasicConsumeOptions::default();
    let mut consumer = channel.basic_consume("held".into(), "".into(), consume, none).await?;
    let delivery = consumer.next().await.context("the message")??;
    let began = std::time::Instant::now();
    let cut = tokio::time::timeout(Duration::from_secs(30), async {
        while let Some(Ok(_)) = consumer.next().await {}
    });
    cut.await.context("the consumer that acknowledges nothing is cut off")?;
    drop(delivery);
    Ok(began.elapsed())
}
