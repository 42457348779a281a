//! What the tests work with: a shared broker, virtual hosts, and a plain AMQP client beside ours.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use isochrone_domain::{RunId, TaskType};
use isochrone_queue::rabbitmq::{Health, Options, RabbitQueue};
use isochrone_queue::{Consumer, Delivery, Queue, WakeUp};
use isochrone_testkit::{RabbitServer, eventually_within};
use lapin::message::BasicGetMessage;
use lapin::options::{
    BasicAckOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use serde_json::json;
use tokio::sync::OnceCell;
use tokio::time::timeout;

pub(crate) const KIND: TaskType = TaskType::ExecuteNotebook;
pub(crate) const LINE: &str = "isochrone.runs.ExecuteNotebook";
pub(crate) const DEAD: &str = "isochrone.dead";

/// Consumers are back this soon after the broker is. Only a failing test waits as long.
pub(crate) const DEADLINE: Duration = Duration::from_secs(35);

/// Virtual hosts that the shared broker has for the tests; rabbitmqctl takes a second for each call.
const VHOSTS: u32 = 48;

/// One broker for all tests that leave it whole.
pub(crate) async fn shared() -> &'static RabbitServer {
    static SERVER: OnceCell<RabbitServer> = OnceCell::const_new();
    SERVER
        .get_or_init(async || {
            let server = RabbitServer::start().await.expect("RabbitMQ starts");
            let file = tempfile::NamedTempFile::new().expect("there is room for a file");
            let (vhosts, rights): (Vec<_>, Vec<_>) = (0..VHOSTS)
                .map(|number| {
                    let all = json!({"user": "guest", "vhost": vhost(number), "configure": ".*", "write": ".*", "read": ".*"});
                    (json!({"name": vhost(number)}), all)
                })
                .unzip();
            std::fs::write(&file, json!({"vhosts": vhosts, "permissions": rights}).to_string()).expect("it is written");
            let path = file.path().to_str().expect("its path is text");
            server.ctl(&["import_definitions", path]).await.expect("the broker makes virtual hosts");
            server
        })
        .await
}

fn vhost(number: u32) -> String {
    format!("vhost-{number}")
}

/// The URL of a virtual host that nobody else has used.
pub(crate) async fn fresh_vhost() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    assert!(number < VHOSTS, "more tests than virtual hosts: raise VHOSTS");
    shared().await.url().replace("%2f", &vhost(number))
}

pub(crate) async fn connect(url: &str) -> RabbitQueue {
    RabbitQueue::connect(url, Options::default()).await.expect("the broker is there")
}

/// One that gives up a publish soon.
pub(crate) async fn connect_impatient(url: &str) -> RabbitQueue {
    let options = Options { publish_timeout: Duration::from_secs(2), ..Options::default() };
    RabbitQueue::connect(url, options).await.expect("the broker is there")
}

/// The same virtual host by way of another address, with a heartbeat a second.
pub(crate) fn by_way_of(address: SocketAddr, url: &str) -> String {
    let vhost = url.rsplit('/').next().expect("the URL has a virtual host");
    format!("amqp://guest:guest@{address}/{vhost}?heartbeat=1")
}

pub(crate) fn wake_up(number: u32) -> WakeUp {
    let mut bytes = [7; 16];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    WakeUp { run: RunId::from_bytes(bytes), kind: KIND }
}

pub(crate) fn wake_ups(numbers: std::ops::Range<u32>) -> Vec<WakeUp> {
    numbers.map(wake_up).collect()
}

pub(crate) async fn publish(queue: &RabbitQueue, wake_ups: &[WakeUp]) {
    assert_eq!(queue.publish(wake_ups).await, vec![Ok(()); wake_ups.len()]);
}

/// As the scheduler does: what was not taken is published again.
pub(crate) async fn publish_until_taken(queue: &RabbitQueue, wake_ups: &[WakeUp]) {
    let mut left = wake_ups.to_vec();
    let end = Instant::now() + DEADLINE;
    while !left.is_empty() {
        assert!(Instant::now() < end, "the broker does not take {left:?}");
        let answers = queue.publish(&left).await;
        left =
            left.iter().zip(answers).filter(|(_, answer)| answer.is_err()).map(|(left, _)| *left).collect();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(crate) async fn take(consumer: &mut Box<dyn Consumer>) -> Box<dyn Delivery> {
    timeout(DEADLINE, consumer.next())
        .await
        .expect("a wake-up comes in time")
        .expect("the queue is not closed")
}

pub(crate) async fn take_and_ack(consumer: &mut Box<dyn Consumer>) -> WakeUp {
    let delivery = take(consumer).await;
    let wake_up = delivery.wake_up();
    // One whose channel has ended comes again.
    drop(delivery.ack().await);
    wake_up
}

/// Takes until each has come, once or more often.
pub(crate) async fn take_all(consumer: &mut Box<dyn Consumer>, expected: &[WakeUp]) {
    let mut missing: HashSet<_> = expected.iter().copied().collect();
    while !missing.is_empty() {
        missing.remove(&take_and_ack(consumer).await);
    }
}

pub(crate) async fn health_becomes(
    queue: &RabbitQueue,
    what: &str,
    good: impl Fn(&Health) -> bool,
) -> Health {
    eventually_within(DEADLINE, what, async || {
        let health = queue.health();
        Ok(good(&health).then_some(health))
    })
    .await
    .expect("it comes about in time")
}

pub(crate) async fn depth_becomes(queue: &RabbitQueue, expected: u64) {
    eventually_within(DEADLINE, "the depth", async || {
        Ok((queue.depth(KIND).await == Ok(expected)).then_some(()))
    })
    .await
    .expect("it comes about in time");
}

/// Another client of the broker, which knows nothing of wake-ups.
pub(crate) struct Stranger {
    _connection: Connection,
    pub(crate) channel: Channel,
}

impl Stranger {
    pub(crate) async fn connect(url: &str) -> Stranger {
        let connection =
            Connection::connect(url, ConnectionProperties::default()).await.expect("the broker is there");
        let channel = connection.create_channel().await.expect("it opens a channel");
        channel.confirm_select(ConfirmSelectOptions::default()).await.expect("it confirms");
        Stranger { _connection: connection, channel }
    }

    pub(crate) async fn put(&self, queue: &str, body: &[u8]) {
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let sent =
            self.channel.basic_publish("".into(), queue.into(), options, body, BasicProperties::default());
        let confirmed = sent.await.expect("it is sent").await.expect("it is confirmed");
        assert!(confirmed.is_ack() && confirmed.take_message().is_none(), "{queue} takes it");
    }

    /// Deletes a queue and declares it again.
    pub(crate) async fn replace(&self, queue: &str) {
        self.channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.expect("it is deleted");
        self.declare(queue, "quorum").await;
    }

    pub(crate) async fn declare(&self, queue: &str, kind: &str) {
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString(kind.into()));
        self.channel.queue_declare(queue.into(), options, arguments).await.expect("it is declared");
    }

    /// Takes and acknowledges a message, as soon as there is one.
    pub(crate) async fn get(&self, queue: &str) -> BasicGetMessage {
        let message = eventually_within(DEADLINE, "a message in the queue", async || {
            Ok(self.channel.basic_get(queue.into(), BasicGetOptions::default()).await?)
        })
        .await
        .expect("a message comes in time");
        message.delivery.acker.ack(BasicAckOptions::default()).await.expect("it takes an ack");
        message
    }
}
