//! A modelled broker: a queue for each type, from which a dead process's messages come back.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use isochrone_domain::{EpochMillis, TaskType};
use isochrone_queue::{Consumer, Delivery, Heartbeats, Queue, QueueError, WakeUp};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep};

use crate::world::{Process, World};

/// How long a publisher waits for a confirm.
const CONFIRM: Duration = Duration::from_secs(5);

pub(crate) struct Broker {
    state: Mutex<State>,
    ready: BTreeMap<TaskType, Semaphore>,
    heartbeat: watch::Sender<EpochMillis>,
}

#[derive(Default)]
struct State {
    waiting: BTreeMap<TaskType, VecDeque<WakeUp>>,
    /// Taken and not acknowledged: by tag, with the process that has it.
    taken: BTreeMap<u64, (String, WakeUp)>,
    tags: u64,
    weather: BrokerWeather,
}

/// What is wrong with the broker at the moment.
#[derive(Clone, Default)]
pub(crate) struct BrokerWeather {
    /// It confirms nothing and delivers nothing.
    pub(crate) away_until: Option<Instant>,
    /// It refuses every message of a type.
    pub(crate) refuses: Option<(TaskType, Instant)>,
    /// Messages are lost, doubled, or confirmed without the publisher's learning it: so many of a thousand each.
    pub(crate) spoils: u32,
    pub(crate) spoils_until: Option<Instant>,
}

impl Broker {
    pub(crate) fn new() -> Broker {
        Broker {
            state: Mutex::default(),
            ready: TaskType::ALL.into_iter().map(|kind| (kind, Semaphore::new(0))).collect(),
            heartbeat: watch::Sender::new(EpochMillis(0)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn change_weather(&self, change: impl FnOnce(&mut BrokerWeather)) {
        change(&mut self.state().weather);
    }

    /// Forgets every message in line, as when a queue is purged.
    pub(crate) fn purge(&self) -> usize {
        let mut lost = 0;
        for queue in self.state().waiting.values_mut() {
            // The permits stay: whoever takes one finds nothing, and waits again.
            lost += queue.len();
            queue.clear();
        }
        lost
    }

    /// A process is gone: what it had not acknowledged is there for others.
    pub(crate) fn connection_lost(&self, process: &str) {
        let mut state = self.state();
        let tags = state.taken.iter().filter(|(_, (name, _))| name == process).map(|(tag, _)| *tag);
        for tag in tags.collect::<Vec<_>>() {
            self.put_back(&mut state, tag);
        }
    }

    fn put(&self, wake_up: WakeUp) {
        self.state().waiting.entry(wake_up.kind).or_default().push_back(wake_up);
        self.ready[&wake_up.kind].add_permits(1);
    }

    fn put_back(&self, state: &mut State, tag: u64) {
        if let Some((_, wake_up)) = state.taken.remove(&tag) {
            state.waiting.entry(wake_up.kind).or_default().push_front(wake_up);
            self.ready[&wake_up.kind].add_permits(1);
        }
    }
}

/// A process's connection to the broker.
pub(crate) struct Port {
    pub(crate) world: Arc<World>,
    pub(crate) process: Arc<Process>,
}

impl Port {
    fn away(&self) -> bool {
        let state = self.world.broker.state();
        state.weather.away_until.is_some_and(|until| until > Instant::now())
    }

    fn publish_one(&self, wake_up: WakeUp) -> Result<(), QueueError> {
        let weather = self.world.broker.state().weather.clone();
        let now = Instant::now();
        if weather.refuses.is_some_and(|(kind, until)| kind == wake_up.kind && until > now) {
            return Err(unavailable("the queue is full"));
        }
        let spoils = if weather.spoils_until.is_some_and(|until| until > now) { weather.spoils } else { 0 };
        let drawn = self.world.chance().u32(0..1_000);
        if drawn < spoils {
            // Lost, and confirmed all the same: a broker without its disk.
            return Ok(());
        }
        self.world.broker.put(wake_up);
        if drawn < spoils * 2 {
            self.world.broker.put(wake_up);
        } else if drawn < spoils * 3 {
            return Err(unavailable("the connection was cut before the confirm"));
        }
        Ok(())
    }
}

#[async_trait]
impl Queue for Port {
    async fn publish(&self, wake_ups: &[WakeUp]) -> Vec<Result<(), QueueError>> {
        self.process.alive().await;
        sleep(Duration::from_millis(1)).await;
        self.process.alive().await;
        if self.away() {
            sleep(CONFIRM).await;
            self.process.alive().await;
            return wake_ups.iter().map(|_| Err(unavailable("no confirm came"))).collect();
        }
        wake_ups.iter().map(|wake_up| self.publish_one(*wake_up)).collect()
    }

    async fn consume(&self, kind: TaskType, _slots: usize) -> Result<Box<dyn Consumer>, QueueError> {
        self.process.alive().await;
        let (world, process) = (Arc::clone(&self.world), Arc::clone(&self.process));
        Ok(Box::new(Taker { port: Port { world, process }, kind }))
    }

    async fn depth(&self, kind: TaskType) -> Result<u64, QueueError> {
        self.process.alive().await;
        if self.away() {
            sleep(CONFIRM).await;
            return Err(unavailable("no answer came"));
        }
        let state = self.world.broker.state();
        let waiting = state.waiting.get(&kind).map_or(0, VecDeque::len);
        let taken = state.taken.values().filter(|(_, wake_up)| wake_up.kind == kind).count();
        Ok((waiting + taken) as u64)
    }

    async fn send_heartbeat(&self, sent: EpochMillis) -> Result<(), QueueError> {
        self.process.alive().await;
        self.world.broker.heartbeat.send_replace(sent);
        Ok(())
    }

    async fn heartbeats(&self) -> Result<Box<dyn Heartbeats>, QueueError> {
        self.process.alive().await;
        Ok(Box::new(Heard(self.world.broker.heartbeat.subscribe())))
    }
}

struct Heard(watch::Receiver<EpochMillis>);

#[async_trait]
impl Heartbeats for Heard {
    async fn next(&mut self) -> Result<EpochMillis, QueueError> {
        self.0.changed().await.map_err(|_| unavailable("it is closed"))?;
        Ok(*self.0.borrow_and_update())
    }
}

struct Taker {
    port: Port,
    kind: TaskType,
}

#[async_trait]
impl Consumer for Taker {
    async fn next(&mut self) -> Result<Box<dyn Delivery>, QueueError> {
        let (world, process) = (&self.port.world, &self.port.process);
        loop {
            let permit = tokio::select! {
                biased;
                () = process.dead.cancelled() => std::future::pending().await,
                permit = world.broker.ready[&self.kind].acquire() => permit,
            };
            let permit = permit.map_err(|_| unavailable("it is closed"))?;
            if self.port.away() {
                drop(permit);
                sleep(Duration::from_secs(1)).await;
                continue;
            }
            permit.forget();
            let mut state = world.broker.state();
            let Some(wake_up) = state.waiting.get_mut(&self.kind).and_then(VecDeque::pop_front) else {
                continue;
            };
            state.tags += 1;
            let tag = state.tags;
            state.taken.insert(tag, (process.name.clone(), wake_up));
            let (world, process) = (Arc::clone(world), Arc::clone(process));
            return Ok(Box::new(Taken { world, process, tag, wake_up }));
        }
    }
}

struct Taken {
    world: Arc<World>,
    process: Arc<Process>,
    tag: u64,
    wake_up: WakeUp,
}

#[async_trait]
impl Delivery for Taken {
    fn wake_up(&self) -> WakeUp {
        self.wake_up
    }

    async fn ack(self: Box<Self>) -> Result<(), QueueError> {
        self.process.alive().await;
        self.world.broker.state().taken.remove(&self.tag);
        Ok(())
    }

    async fn give_back(self: Box<Self>) -> Result<(), QueueError> {
        self.process.alive().await;
        Ok(())
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let broker = &self.world.broker;
        broker.put_back(&mut broker.state(), self.tag);
    }
}

fn unavailable(problem: &str) -> QueueError {
    QueueError::Unavailable(problem.to_owned())
}
