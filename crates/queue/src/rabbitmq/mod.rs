//! The line in RabbitMQ: a quorum queue a task type.
//!
//! Two connections, one to publish and one to consume, so that a broker short of memory, which stops its
//! publishers, does not stop its consumers. Both are made anew for ever, each consumer subscribes anew
//! for ever, and a publish that was not confirmed in time is an error: its caller publishes again.

mod address;
mod backoff;
mod consumer;
mod dead;
mod greeting;
mod heartbeat;
mod keeper;
mod link;
mod mender;
mod message;
mod publisher;
mod shelf;
mod topology;

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use message::read_anything;

pub use greeting::{Greeting, greeting};

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use isochrone_domain::{EpochMillis, RunId, TaskType};
use isochrone_telemetry::Metrics;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::rabbitmq::address::Address;
use crate::rabbitmq::consumer::{Place, RabbitConsumer, Status};
use crate::rabbitmq::dead::DeadLetters;
use crate::rabbitmq::heartbeat::RabbitHeartbeats;
use crate::rabbitmq::keeper::{Keeper, Purpose, State};
use crate::rabbitmq::link::Link;
use crate::rabbitmq::mender::Mender;
use crate::rabbitmq::publisher::{Outgoing, Publisher};
use crate::rabbitmq::topology::{Line, declare, ready};
use crate::{Consumer, Heartbeats, Queue, QueueError, WakeUp};

/// How a queue in RabbitMQ behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// Names the process in the broker's own tools.
    pub name: String,
    /// A PEM file of certificates that are trusted beside the system's, for `amqps://`.
    pub ca_file: Option<PathBuf>,
    /// How long a publish waits for the broker's confirms.
    pub publish_timeout: Duration,
    /// Whether a broker that does not answer yet is waited for in the background, instead of an error.
    pub may_be_away: bool,
    /// Where it counts what happens.
    pub metrics: Metrics,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            name: "isochrone".to_owned(),
            ca_file: None,
            publish_timeout: Duration::from_secs(10),
            may_be_away: false,
            metrics: Metrics::new(),
        }
    }
}

/// How the line is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// A publish can succeed.
    pub publishing: bool,
    /// The broker takes no publishes, because it is short of memory or disk.
    pub blocked: bool,
    /// Whether each consumer of this process is subscribed, or rests because its worker has no free slot.
    pub consumers: Vec<(TaskType, bool)>,
    /// Messages that were no wake-ups, since the start.
    pub dead_lettered: u64,
    /// Why something is not as it should be.
    pub cause: Option<String>,
}

/// The line in RabbitMQ. Dropped or closed, its consumers and connections end.
pub struct RabbitQueue {
    publishing: Arc<Keeper>,
    publisher: Arc<Publisher>,
    mender: Arc<Mender>,
    consuming: Arc<Keeper>,
    /// Its connection is made with the first consumer.
    consuming_begun: AtomicBool,
    dead_letters: Arc<DeadLetters>,
    held: HashMap<TaskType, Arc<AtomicU64>>,
    consumers: Mutex<Vec<Weak<Status>>>,
    answer_within: Duration,
    metrics: Metrics,
    tasks: TaskTracker,
    closed: CancellationToken,
}

impl RabbitQueue {
    /// Connects to the broker at `url`, `amqp://user:password@host:port/vhost` or `amqps://...`.
    ///
    /// Fails at once, and says which setting is wrong, if the broker refuses, and if it can't be reached but where it
    /// [may be away](Options::may_be_away); later losses are mended in the background.
    pub async fn connect(url: &str, options: Options) -> Result<RabbitQueue, QueueError> {
        let address = Address::parse(url, options.ca_file.as_deref())?;
        let keeper =
            |purpose| Arc::new(Keeper::new(address.clone(), &options.name, purpose, options.metrics.clone()));
        let (publishing, consuming) = (keeper(Purpose::Publishing), keeper(Purpose::Consuming));
        let mender = Arc::new(Mender::new(Arc::clone(&publishing)));
        let (tasks, closed) = (TaskTracker::new(), CancellationToken::new());
        let first = match first_link(&publishing, options.publish_timeout).await {
            Ok(link) => Some(link),
            Err(error @ QueueError::Setting { .. }) => return Err(error),
            Err(error) if !options.may_be_away => return Err(error),
            Err(error) => {
                tracing::warn!(%error, "the broker is awaited");
                let (mender, closed) = (Arc::clone(&mender), closed.clone());
                tasks.spawn(async move { closed.run_until_cancelled(mender.declare_once_connected()).await });
                None
            }
        };
        let publisher = Publisher::new(Arc::clone(&publishing), Arc::clone(&mender), options.publish_timeout);
        let publisher = Arc::new(publisher);
        tasks.spawn(Arc::clone(&publishing).keep(first, closed.clone()));
        Ok(RabbitQueue {
            dead_letters: Arc::new(DeadLetters::new(Arc::clone(&publisher), options.metrics.clone())),
            publishing,
            publisher,
            mender,
            consuming,
            consuming_begun: AtomicBool::new(false),
            held: TaskType::ALL.into_iter().map(|kind| (kind, Arc::default())).collect(),
            consumers: Mutex::default(),
            answer_within: options.publish_timeout,
            metrics: options.metrics,
            tasks,
            closed,
        })
    }

    /// How the line is doing, without asking the broker.
    pub fn health(&self) -> Health {
        let publishing = self.publishing.state();
        let consuming = self.consuming_begun.load(Ordering::Relaxed).then(|| self.consuming.state());
        let connected = matches!(consuming, Some(State::Up(_) | State::Blocked(..)));
        let cause = [Some(&publishing), consuming.as_ref()].into_iter().flatten().find_map(State::reason);
        let mut consumers = self.consumers.lock().unwrap_or_else(PoisonError::into_inner);
        consumers.retain(|consumer| consumer.strong_count() > 0);
        let consumers = consumers.iter().filter_map(Weak::upgrade);
        Health {
            publishing: matches!(publishing, State::Up(_)),
            blocked: matches!(publishing, State::Blocked(..)),
            consumers: consumers
                .map(|consumer| (consumer.kind, connected && consumer.serving.load(Ordering::Relaxed)))
                .collect(),
            dead_lettered: self.dead_letters.count(),
            cause: cause.map(|error| error.to_string()),
        }
    }

    /// Ends it: consumers give back what they hold and learn of the end, and the broker is told goodbye.
    pub async fn close(&self) {
        self.closed.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn begin_consuming(&self) -> Result<(), QueueError> {
        if self.closed.is_cancelled() {
            return Err(QueueError::Unavailable("it is closed".to_owned()));
        }
        if !self.consuming_begun.swap(true, Ordering::Relaxed) {
            self.tasks.spawn(Arc::clone(&self.consuming).keep(None, self.closed.clone()));
        }
        Ok(())
    }

    fn held(&self, kind: TaskType) -> &Arc<AtomicU64> {
        self.held.get(&kind).expect("there is a count for each type")
    }
}

impl Drop for RabbitQueue {
    fn drop(&mut self) {
        self.closed.cancel();
    }
}

#[async_trait]
impl Queue for RabbitQueue {
    async fn publish(&self, wake_ups: &[WakeUp]) -> Vec<Result<(), QueueError>> {
        let messages = wake_ups.iter().map(|wake_up| Outgoing {
            line: Line::Runs(wake_up.kind),
            id: wake_up.run.to_string(),
            properties: message::properties(*wake_up),
            body: message::body(*wake_up),
        });
        self.publisher.send(messages.collect()).await
    }

    async fn consume(&self, kind: TaskType, slots: usize) -> Result<Box<dyn Consumer>, QueueError> {
        self.begin_consuming()?;
        let status = Arc::new(Status { kind, serving: AtomicBool::new(false) });
        self.consumers.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&status));
        let place = Place {
            kind,
            keeper: Arc::clone(&self.consuming),
            dead_letters: Arc::clone(&self.dead_letters),
            held: Arc::clone(self.held(kind)),
            status,
            metrics: self.metrics.clone(),
            tasks: self.tasks.clone(),
        };
        Ok(Box::new(RabbitConsumer::start(place, slots, &self.closed)))
    }

    async fn depth(&self, kind: TaskType) -> Result<u64, QueueError> {
        let link = self.publishing.usable()?;
        let line = Line::Runs(kind);
        let Ok(ready) = timeout(self.answer_within, ready(&link, line)).await else {
            link.abandon();
            return Err(QueueError::Unavailable("the broker did not tell its depth in time".to_owned()));
        };
        let ready = ready.map_err(unavailable)?.unwrap_or_else(|| {
            self.mender.mend([line]);
            0
        });
        Ok(ready + self.held(kind).load(Ordering::Relaxed))
    }

    async fn send_heartbeat(&self, sent: EpochMillis) -> Result<(), QueueError> {
        let message = Outgoing {
            line: Line::Heartbeat,
            id: RunId::random().to_string(),
            properties: heartbeat::properties(),
            body: message::heartbeat(sent),
        };
        self.publisher.send(vec![message]).await.pop().unwrap_or(Ok(()))
    }

    async fn heartbeats(&self) -> Result<Box<dyn Heartbeats>, QueueError> {
        self.begin_consuming()?;
        Ok(Box::new(RabbitHeartbeats::new(Arc::clone(&self.consuming), self.closed.clone())))
    }
}

/// One try to connect, and to declare the queues.
async fn first_link(publishing: &Keeper, within: Duration) -> Result<Arc<Link>, QueueError> {
    let link = publishing.open().await?;
    let declared = timeout(within, declare(&link, Line::all())).await;
    declared
        .map_err(|_| QueueError::Unavailable("the broker did not declare the queues in time".to_owned()))?
        .map_err(unavailable)?;
    Ok(link)
}

fn unavailable(error: lapin::Error) -> QueueError {
    QueueError::Unavailable(error.to_string())
}
