//! What was delivered and not asked for yet, between a subscription and the worker that takes from it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures::FutureExt;
use lapin::options::{BasicAckOptions, BasicNackOptions};
use lapin::{Acker, Channel};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::{Delivery, QueueError, WakeUp};

/// Wake-ups that wait for one consumer to ask.
#[derive(Default)]
pub(super) struct Shelf {
    waiting: Mutex<VecDeque<(Instant, RabbitDelivery)>>,
    /// Something came.
    came: Notify,
    /// The consumer asks.
    asked: Notify,
    asking: AtomicUsize,
}

impl Shelf {
    pub(super) fn put(&self, delivery: RabbitDelivery) {
        self.waiting().push_back((Instant::now(), delivery));
        self.came.notify_one();
    }

    pub(super) fn take(&self) -> Option<RabbitDelivery> {
        self.waiting().pop_front().map(|(_, delivery)| delivery)
    }

    /// Waits until something came since the last call.
    pub(super) async fn came(&self) {
        self.came.notified().await;
    }

    /// Since when the one lies that came first.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.waiting().front().map(|(since, _)| *since)
    }

    pub(super) fn len(&self) -> usize {
        self.waiting().len()
    }

    /// Gives everything back to the broker.
    pub(super) fn clear(&self) {
        // Out of the lock before they are dropped.
        let waiting = std::mem::take(&mut *self.waiting());
        drop(waiting);
    }

    /// The consumer asks until the guard is dropped.
    pub(super) fn ask(&self) -> Asking<'_> {
        self.asking.fetch_add(1, Ordering::Relaxed);
        self.asked.notify_one();
        Asking(self)
    }

    /// Waits until the consumer asks.
    pub(super) async fn asked(&self) {
        while self.asking.load(Ordering::Relaxed) == 0 {
            self.asked.notified().await;
        }
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<(Instant, RabbitDelivery)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct Asking<'a>(&'a Shelf);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.asking.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A wake-up that is neither acknowledged nor given back.
pub(super) struct RabbitDelivery {
    wake_up: WakeUp,
    acker: Acker,
    _held: Held,
    /// Open as long as something on it is not settled, even if its consumer has gone.
    _channel: Arc<Channel>,
}

impl RabbitDelivery {
    pub(super) fn new(wake_up: WakeUp, acker: Acker, held: Held, channel: Arc<Channel>) -> RabbitDelivery {
        RabbitDelivery { wake_up, acker, _held: held, _channel: channel }
    }
}

#[async_trait]
impl Delivery for RabbitDelivery {
    fn wake_up(&self) -> WakeUp {
        self.wake_up
    }

    async fn ack(self: Box<Self>) -> Result<(), QueueError> {
        settled(self.wake_up, self.acker.ack(BasicAckOptions::default()).await)
    }

    async fn give_back(self: Box<Self>) -> Result<(), QueueError> {
        settled(self.wake_up, self.acker.nack(REQUEUE).await)
    }
}

pub(super) const REQUEUE: BasicNackOptions = BasicNackOptions { multiple: false, requeue: true };

/// A channel that has ended has given everything back already.
fn settled(wake_up: WakeUp, answer: lapin::Result<bool>) -> Result<(), QueueError> {
    match answer {
        Ok(true) => Ok(()),
        Ok(false) => {
            tracing::debug!(run_id = %wake_up.run, "its channel has ended; the broker delivers it again");
            Ok(())
        }
        Err(error) => Err(QueueError::Unavailable(error.to_string())),
    }
}

impl Drop for RabbitDelivery {
    fn drop(&mut self) {
        if self.acker.usable() {
            // Polled once, it is on its way; nobody can wait here for the rest.
            drop(self.acker.nack(REQUEUE).now_or_never());
        }
    }
}

/// Counts a delivery as taken while it lives.
pub(super) struct Held(Arc<AtomicU64>);

impl Held {
    pub(super) fn one_more(count: &Arc<AtomicU64>) -> Held {
        count.fetch_add(1, Ordering::Relaxed);
        Held(Arc::clone(count))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
