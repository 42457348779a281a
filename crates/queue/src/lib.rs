//! The line between scheduler and workers: the trait, in one process and in RabbitMQ.
//!
//! A message is a wake-up call. The truth is in the store: a message may be lost, doubled or late,
//! and the worker's claim decides.

mod error;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod local;
pub mod rabbitmq;

pub use error::{QueueError, Setting};

use async_trait::async_trait;
use isochrone_domain::{EpochMillis, RunId, TaskType};

/// "There is a run for you."
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WakeUp {
    /// The run.
    pub run: RunId,
    /// Its task's type; each type has a line of its own.
    pub kind: TaskType,
}

/// The line between scheduler and workers.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Puts wake-ups in line. An answer each, in order: `Ok` once the queue has it safely.
    async fn publish(&self, wake_ups: &[WakeUp]) -> Vec<Result<(), QueueError>>;

    /// Begins to take from the line of a type, one wake-up at a time as `Consumer::next` asks for them.
    /// `slots`: how many its worker can carry at once; no more are fetched ahead.
    async fn consume(&self, kind: TaskType, slots: usize) -> Result<Box<dyn Consumer>, QueueError>;

    /// How many wake-ups of a type are in line or, as far as this process knows, taken and not
    /// acknowledged.
    async fn depth(&self, kind: TaskType) -> Result<u64, QueueError>;

    /// Puts a heartbeat in a line of its own, from which every worker takes: it shows that the way is open, and
    /// is no run. It carries the moment at which it is `sent`.
    async fn send_heartbeat(&self, sent: EpochMillis) -> Result<(), QueueError>;

    /// Begins to take heartbeats.
    async fn heartbeats(&self) -> Result<Box<dyn Heartbeats>, QueueError>;
}

/// A worker's place at the line of heartbeats.
#[async_trait]
pub trait Heartbeats: Send {
    /// Waits for the next one and gives the moment at which it was sent. An error: begin anew.
    async fn next(&mut self) -> Result<EpochMillis, QueueError>;
}

/// A worker's place at one line.
#[async_trait]
pub trait Consumer: Send {
    /// Waits for the next wake-up. An error: the consumer is gone, make another.
    async fn next(&mut self) -> Result<Box<dyn Delivery>, QueueError>;
}

/// A wake-up that was taken. Dropped without a word, it goes back in line.
#[async_trait]
pub trait Delivery: Send {
    /// The message.
    fn wake_up(&self) -> WakeUp;

    /// It was understood and needs no one else.
    async fn ack(self: Box<Self>) -> Result<(), QueueError>;

    /// Somebody else shall have it.
    async fn give_back(self: Box<Self>) -> Result<(), QueueError>;
}
