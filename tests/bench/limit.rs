//! The input and output of a run's way and nothing else: two lines of Lua at a time, no rules, no types.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use redis::Script;
use redis::aio::MultiplexedConnection;

const QUEUE: &str = "limit";
const BATCH: usize = 100;
const PREFETCH: u16 = 200;

/// What stands for a run's record.
fn record() -> String {
    "x".repeat(1_024)
}

/// Fires, publishes, delivers, claims, acknowledges and finishes so many runs; gives how long it took.
pub(crate) async fn run(redis: &str, rabbit: &str, runs: usize) -> Result<Duration> {
    let client = redis::Client::open(redis)?;
    let (store, other_store) =
        (client.get_multiplexed_async_connection().await?, client.get_multiplexed_async_connection().await?);
    let publishing = Connection::connect(rabbit, ConnectionProperties::default()).await?;
    let consuming = Connection::connect(rabbit, ConnectionProperties::default()).await?;
    let publisher = publishing.create_channel().await?;
    let mut quorum = FieldTable::default();
    quorum.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    publisher.queue_declare(QUEUE.into(), durable, quorum).await?;
    publisher.confirm_select(ConfirmSelectOptions::default()).await?;
    let consumer = consuming.create_channel().await?;
    consumer.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
    let began = Instant::now();
    tokio::try_join!(produce(store, publisher, runs), consume(other_store, consumer, runs))?;
    Ok(began.elapsed())
}

async fn produce(mut store: MultiplexedConnection, channel: Channel, runs: usize) -> Result<()> {
    let fire = Script::new(
        "redis.call('HSET', KEYS[1], 'v', 1, 'b', ARGV[1]); redis.call('ZADD', KEYS[2], 1, KEYS[1]); return 1",
    );
    fire.load_async(&mut store).await?;
    let record = record();
    for first in (0..runs).step_by(BATCH) {
        let ids: Vec<String> = (first..(first + BATCH).min(runs)).map(|n| format!("run:{n}")).collect();
        together(&mut store, &fire, &ids, &record).await?;
        let mut confirms = Vec::with_capacity(ids.len());
        for id in &ids {
            let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
            let properties = BasicProperties::default().with_delivery_mode(2);
            let sent = channel.basic_publish("".into(), QUEUE.into(), options, id.as_bytes(), properties);
            confirms.push(sent.await?);
        }
        for confirm in confirms {
            confirm.await?;
        }
    }
    Ok(())
}

async fn consume(mut store: MultiplexedConnection, channel: Channel, runs: usize) -> Result<()> {
    let claim = Script::new("redis.call('HSET', KEYS[1], 'v', 2); return redis.call('HGET', KEYS[1], 'b')");
    let finish = Script::new(
        "redis.call('HSET', KEYS[1], 'v', 3, 'b', ARGV[1]); redis.call('ZREM', KEYS[2], KEYS[1]); return 1",
    );
    claim.load_async(&mut store).await?;
    finish.load_async(&mut store).await?;
    let record = record();
    let options = BasicConsumeOptions::default();
    let consumer = channel.basic_consume(QUEUE.into(), "".into(), options, FieldTable::default()).await?;
    let mut batches = consumer.ready_chunks(BATCH);
    let mut done = 0;
    while done < runs {
        let batch = batches.next().await.context("the consumer goes on")?;
        let batch = batch.into_iter().collect::<lapin::Result<Vec<_>>>()?;
        let ids: Vec<String> =
            batch.iter().map(|delivery| String::from_utf8_lossy(&delivery.data).into_owned()).collect();
        together(&mut store, &claim, &ids, "").await?;
        for delivery in &batch {
            delivery.ack(BasicAckOptions::default()).await?;
        }
        together(&mut store, &finish, &ids, &record).await?;
        done += batch.len();
    }
    Ok(())
}

/// One script for each of the runs, with its record as the argument, in one pipeline.
async fn together(
    store: &mut MultiplexedConnection,
    script: &Script,
    ids: &[String],
    record: &str,
) -> Result<()> {
    let mut pipe = redis::pipe();
    for id in ids {
        pipe.cmd("EVALSHA").arg(script.get_hash()).arg(2).arg(id).arg("due").arg(record).ignore();
    }
    Ok(pipe.query_async(store).await?)
}
