//! The line inside one process.
//!
//! It keeps nothing on disk: at start the scheduler fills it again from the store.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use isochrone_domain::{EpochMillis, TaskType};
use tokio::sync::{Semaphore, watch};

use crate::{Consumer, Delivery, Heartbeats, Queue, QueueError, WakeUp};

/// The line inside one process. A clone is the same line.
///
/// Whoever has waited longest gets the next wake-up. One that comes back goes to the front.
#[derive(Clone, Debug)]
pub struct LocalQueue {
    lines: Arc<[Arc<Line>; TaskType::ALL.len()]>,
    /// The last heartbeat.
    heartbeat: Arc<watch::Sender<EpochMillis>>,
}

/// The line of one type.
#[derive(Debug)]
struct Line {
    state: Mutex<LineState>,
    /// A permit for each wake-up in line. It hands them out in the order in which they were asked for.
    ready: Semaphore,
}

#[derive(Debug, Default)]
struct LineState {
    waiting: VecDeque<WakeUp>,
    taken: u64,
}

impl LocalQueue {
    /// An empty line for each type.
    pub fn new() -> LocalQueue {
        LocalQueue {
            lines: Arc::new(std::array::from_fn(|_| Arc::new(Line::new()))),
            heartbeat: Arc::new(watch::Sender::new(EpochMillis(0))),
        }
    }

    /// Ends it: nothing is published any more, and whoever waits for a wake-up learns it.
    pub fn close(&self) {
        for line in self.lines.iter() {
            line.ready.close();
        }
    }

    fn line(&self, kind: TaskType) -> &Arc<Line> {
        let index = TaskType::ALL.iter().position(|each| *each == kind);
        &self.lines[index.expect("ALL has every type")]
    }
}

impl Default for LocalQueue {
    fn default() -> Self {
        LocalQueue::new()
    }
}

#[async_trait]
impl Queue for LocalQueue {
    async fn publish(&self, wake_ups: &[WakeUp]) -> Vec<Result<(), QueueError>> {
        wake_ups.iter().map(|wake_up| self.line(wake_up.kind).push(*wake_up)).collect()
    }

    async fn consume(&self, kind: TaskType, _slots: usize) -> Result<Box<dyn Consumer>, QueueError> {
        let line = Arc::clone(self.line(kind));
        if line.ready.is_closed() { Err(closed()) } else { Ok(Box::new(LocalConsumer { line })) }
    }

    async fn depth(&self, kind: TaskType) -> Result<u64, QueueError> {
        let state = self.line(kind).state();
        Ok(state.waiting.len() as u64 + state.taken)
    }

    async fn send_heartbeat(&self, sent: EpochMillis) -> Result<(), QueueError> {
        // Nobody needs to take it.
        self.heartbeat.send_replace(sent);
        Ok(())
    }

    async fn heartbeats(&self) -> Result<Box<dyn Heartbeats>, QueueError> {
        let mut heartbeat = self.heartbeat.subscribe();
        if *heartbeat.borrow() > EpochMillis(0) {
            // It was in line before anybody took.
            heartbeat.mark_changed();
        }
        Ok(Box::new(LocalHeartbeats(heartbeat)))
    }
}

struct LocalHeartbeats(watch::Receiver<EpochMillis>);

#[async_trait]
impl Heartbeats for LocalHeartbeats {
    async fn next(&mut self) -> Result<EpochMillis, QueueError> {
        self.0.changed().await.map_err(|_| closed())?;
        Ok(*self.0.borrow_and_update())
    }
}

impl Line {
    fn new() -> Line {
        Line { state: Mutex::default(), ready: Semaphore::new(0) }
    }

    /// Each step on the state is whole, so one that panicked left it whole.
    fn state(&self) -> MutexGuard<'_, LineState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, wake_up: WakeUp) -> Result<(), QueueError> {
        if self.ready.is_closed() {
            return Err(closed());
        }
        self.state().waiting.push_back(wake_up);
        self.ready.add_permits(1);
        Ok(())
    }

    async fn take(&self) -> Result<WakeUp, QueueError> {
        let permit = self.ready.acquire().await.map_err(|_| closed())?;
        permit.forget();
        let mut state = self.state();
        let wake_up = state.waiting.pop_front().expect("there is a permit for each wake-up in line");
        state.taken += 1;
        Ok(wake_up)
    }

    fn acked(&self) {
        self.state().taken -= 1;
    }

    fn returned(&self, wake_up: WakeUp) {
        let mut state = self.state();
        state.taken -= 1;
        state.waiting.push_front(wake_up);
        drop(state);
        self.ready.add_permits(1);
    }
}

fn closed() -> QueueError {
    QueueError::Unavailable("it is closed".to_owned())
}

struct LocalConsumer {
    line: Arc<Line>,
}

#[async_trait]
impl Consumer for LocalConsumer {
    async fn next(&mut self) -> Result<Box<dyn Delivery>, QueueError> {
        let wake_up = self.line.take().await?;
        Ok(Box::new(LocalDelivery { line: Arc::clone(&self.line), wake_up, acked: false }))
    }
}

struct LocalDelivery {
    line: Arc<Line>,
    wake_up: WakeUp,
    acked: bool,
}

#[async_trait]
impl Delivery for LocalDelivery {
    fn wake_up(&self) -> WakeUp {
        self.wake_up
    }

    async fn ack(mut self: Box<Self>) -> Result<(), QueueError> {
        self.acked = true;
        Ok(())
    }

    async fn give_back(self: Box<Self>) -> Result<(), QueueError> {
        Ok(())
    }
}

impl Drop for LocalDelivery {
    fn drop(&mut self) {
        if self.acked {
            self.line.acked();
        } else {
            self.line.returned(self.wake_up);
        }
    }
}
