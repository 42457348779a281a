//! Clusters form, and go on without a node.

use anyhow::{Result, ensure};
use isochrone_testkit::{RabbitCluster, RedisCluster, RedisSentinel, RedisServer, eventually};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Connection, ConnectionProperties};

#[tokio::test]
async fn a_redis_cluster_serves_all_slots_and_a_node_comes_back_to_it() {
    let mut cluster = RedisCluster::start().await.unwrap();
    assert_eq!(cluster.urls().len(), 3);
    // Slot 5061, of the first third; the others send a client there.
    assert_eq!(cluster.node(0).command("SET {bar} 1").await.unwrap(), "OK");
    let moved = cluster.node(1).command("GET {bar}").await.unwrap_err();
    assert!(moved.to_string().contains("MOVED 5061"), "{moved}");
    cluster.node(0).kill().unwrap();
    cluster.node(0).restart().await.unwrap();
    cluster.until_whole().await.unwrap();
    assert_eq!(cluster.node(0).command("GET {bar}").await.unwrap(), "1");
}

#[tokio::test]
async fn sentinels_promote_a_replica_of_a_dead_master() {
    let mut redis = RedisSentinel::start().await.unwrap();
    assert_eq!(redis.sentinel_urls().len(), 3);
    assert_eq!(redis.master_port().await.unwrap(), redis.master.address().port());
    redis.master.command("SET key value").await.unwrap();
    for replica in &redis.replicas {
        until_value(replica, "value").await.unwrap();
    }
    redis.master.kill().unwrap();
    let promoted = redis.promoted().await.unwrap();
    eventually("the new master to take writes", || async {
        Ok(promoted.command("SET key other").await.ok())
    })
    .await
    .unwrap();
    redis.master.restart().await.unwrap();
    until_value(&redis.master, "other").await.unwrap();
}

async fn until_value(redis: &RedisServer, expected: &str) -> Result<()> {
    eventually("the value to be replicated", || async {
        Ok((redis.command("GET key").await.unwrap_or_default() == expected).then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_quorum_queue_outlives_the_loss_of_one_rabbit_node_of_three() {
    let mut cluster = RabbitCluster::start(3).await.unwrap();
    let urls = cluster.urls();
    publish(&urls[0], "runs").await.unwrap();
    cluster.node(0).kill().unwrap();
    // Refused until the two that are left have a new leader.
    eventually("a confirm without the first node", || async { Ok(publish(&urls[1], "runs").await.ok()) })
        .await
        .unwrap();
    let survivor = cluster.node(1);
    eventually("both messages", || async {
        Ok(survivor.queue_depth("runs").await?.filter(|depth| *depth >= 2))
    })
    .await
    .unwrap();
    cluster.node(0).restart().await.unwrap();
    cluster.until_whole().await.unwrap();
}

/// Publishes one message to a quorum queue, confirmed by most nodes.
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
    ensure!(confirm.is_ack(), "{confirm:?}");
    Ok(())
}
