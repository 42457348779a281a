//! Where messages go that are no wake-ups: to the dead letters, with the reason.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use isochrone_domain::RunId;
use isochrone_telemetry::Metrics;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicRejectOptions};
use lapin::types::{AMQPValue, FieldTable};

use crate::rabbitmq::message::{Junk, LONGEST, durable, text};
use crate::rabbitmq::publisher::{Outgoing, Publisher};
use crate::rabbitmq::topology::Line;

/// Takes messages out of the way that are no wake-ups.
pub(super) struct DeadLetters {
    publisher: Arc<Publisher>,
    count: AtomicU64,
    metrics: Metrics,
}

impl DeadLetters {
    pub(super) fn new(publisher: Arc<Publisher>, metrics: Metrics) -> DeadLetters {
        DeadLetters { publisher, count: AtomicU64::new(0), metrics }
    }

    /// How many there were since the start.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Puts a message among the dead letters. If that fails, the broker does it where its policy says so.
    pub(super) async fn bury(&self, mut delivery: Delivery, line: Line, junk: Junk) {
        self.count.fetch_add(1, Ordering::Relaxed);
        if let Line::Runs(kind) = line {
            self.metrics.dead_lettered(kind);
        }
        tracing::warn!(queue = %line, reason = junk.code(), %junk, "a message is no wake-up; it goes to the dead letters");
        let letter = letter(&mut delivery, line, junk);
        let buried = self.publisher.send(vec![letter]).await.pop().unwrap_or(Ok(()));
        let settled = match buried {
            Ok(()) => delivery.acker.ack(BasicAckOptions::default()).await,
            Err(error) => {
                tracing::warn!(queue = %line, %error, "a dead letter could not be published; it is rejected");
                delivery.acker.reject(BasicRejectOptions { requeue: false }).await
            }
        };
        if let Err(error) = settled {
            // It comes again.
            tracing::debug!(queue = %line, %error, "a dead letter was not settled");
        }
    }
}

/// The message with the reason. Of a long body, the beginning is enough to see whose it is.
fn letter(delivery: &mut Delivery, line: Line, junk: Junk) -> Outgoing {
    let mut body = std::mem::take(&mut delivery.data);
    let mut headers = FieldTable::default();
    headers.insert("isochrone-reason".into(), text(junk.code()));
    headers.insert("isochrone-cause".into(), text(junk.to_string()));
    headers.insert("isochrone-queue".into(), text(line.to_string()));
    headers.insert("isochrone-length".into(), AMQPValue::LongLongInt(body.len() as i64));
    body.truncate(LONGEST);
    body.shrink_to_fit();
    let id = RunId::random().to_string();
    let properties = durable().with_message_id(id.clone().into()).with_headers(headers);
    Outgoing { line: Line::Dead, id, properties, body }
}
