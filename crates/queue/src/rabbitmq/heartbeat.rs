//! Heartbeats: messages that show that the way to the workers is open.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use isochrone_domain::EpochMillis;
use lapin::BasicProperties;
use lapin::options::BasicAckOptions;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::rabbitmq::backoff::Backoff;
use crate::rabbitmq::consumer::{SUBSCRIBE, Subscription};
use crate::rabbitmq::keeper::Keeper;
use crate::rabbitmq::message::{durable, read_heartbeat};
use crate::rabbitmq::topology::Line;
use crate::{Heartbeats, QueueError};

/// How long one waits for a worker, in milliseconds: later it would say nothing.
const EXPIRES: &str = "300000";

/// As for wake-ups: a subscription on which nothing came for so long is made anew.
const QUIET: Duration = Duration::from_secs(150);

pub(super) fn properties() -> BasicProperties {
    durable()
        .with_type("isochrone.heartbeat".into())
        .with_content_type("application/json".into())
        .with_expiration(EXPIRES.into())
}

/// A worker's place at the line of heartbeats.
pub(super) struct RabbitHeartbeats {
    keeper: Arc<Keeper>,
    closed: CancellationToken,
    subscription: Option<Subscription>,
    backoff: Backoff,
}

impl RabbitHeartbeats {
    pub(super) fn new(keeper: Arc<Keeper>, closed: CancellationToken) -> RabbitHeartbeats {
        RabbitHeartbeats { keeper, closed, subscription: None, backoff: Backoff::new() }
    }

    /// One try. None: the subscription is lost, or what came is no heartbeat.
    async fn take(&mut self) -> Option<EpochMillis> {
        let subscription = match &mut self.subscription {
            Some(subscription) => subscription,
            none => {
                let link = self.keeper.link().await;
                let opened = timeout(SUBSCRIBE, Subscription::open(&link, Line::Heartbeat, 1)).await;
                none.insert(opened.ok()?.ok()?)
            }
        };
        let Ok(Some(Ok(delivery))) = timeout(QUIET, subscription.deliveries.next()).await else {
            self.subscription = None;
            return None;
        };
        if delivery.acker.ack(BasicAckOptions::default()).await.is_err() {
            self.subscription = None;
        }
        read_heartbeat(&delivery.data)
    }
}

#[async_trait]
impl Heartbeats for RabbitHeartbeats {
    async fn next(&mut self) -> Result<EpochMillis, QueueError> {
        let closed = self.closed.clone();
        let taken = closed.run_until_cancelled(async {
            loop {
                if let Some(sent) = self.take().await {
                    self.backoff = Backoff::new();
                    return sent;
                }
                sleep(self.backoff.failed()).await;
            }
        });
        taken.await.ok_or_else(|| QueueError::Unavailable("it is closed".to_owned()))
    }
}
