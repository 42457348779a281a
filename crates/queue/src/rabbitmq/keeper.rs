//! Keeps one connection to the broker alive: a lost one is made anew, for ever.

use std::sync::Arc;

use isochrone_telemetry::Metrics;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::QueueError;
use crate::rabbitmq::address::Address;
use crate::rabbitmq::backoff::Backoff;
use crate::rabbitmq::link::{Link, Notice};

/// What the connection is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    Publishing,
    Consuming,
}

impl Purpose {
    fn name(self) -> &'static str {
        match self {
            Purpose::Publishing => "publishing",
            Purpose::Consuming => "consuming",
        }
    }
}

/// The state of the connection.
#[derive(Clone)]
pub(super) enum State {
    /// It can be used.
    Up(Arc<Link>),
    /// It lives, and the broker takes no publishes for this reason.
    Blocked(Arc<Link>, String),
    /// There is none, for this reason.
    Down(String),
}

impl State {
    pub(super) fn reason(&self) -> Option<QueueError> {
        match self {
            State::Up(_) => None,
            State::Blocked(_, reason) => {
                Some(QueueError::Unavailable(format!("the broker takes no messages: {reason}")))
            }
            State::Down(cause) => Some(QueueError::Unavailable(cause.clone())),
        }
    }
}

/// Keeps one connection to the broker alive.
pub(super) struct Keeper {
    state: watch::Sender<State>,
    address: Address,
    name: String,
    purpose: Purpose,
    metrics: Metrics,
}

impl Keeper {
    /// A keeper without a connection; [`Keeper::keep`] makes it.
    pub(super) fn new(address: Address, name: &str, purpose: Purpose, metrics: Metrics) -> Keeper {
        let name = format!("{name} {}", purpose.name());
        Keeper {
            state: watch::Sender::new(State::Down("not connected yet".to_owned())),
            address,
            name,
            purpose,
            metrics,
        }
    }

    /// One try to connect.
    pub(super) async fn open(&self) -> Result<Arc<Link>, QueueError> {
        Ok(Arc::new(Link::open(&self.address, &self.name).await?))
    }

    /// Keeps a connection until `closed`, beginning with `first` if there is one already: that one can be
    /// used as soon as this returns.
    pub(super) fn keep(
        self: Arc<Self>,
        first: Option<Arc<Link>>,
        closed: CancellationToken,
    ) -> impl Future<Output = ()> + Send {
        if let Some(link) = &first {
            self.state.send_replace(State::Up(Arc::clone(link)));
        }
        async move {
            closed.run_until_cancelled(self.keep_for_ever(first)).await;
            let last = self.state.send_replace(State::Down("it is closed".to_owned()));
            if let State::Up(link) | State::Blocked(link, _) = last {
                link.close().await;
            }
        }
    }

    async fn keep_for_ever(&self, mut first: Option<Arc<Link>>) {
        let mut backoff = Backoff::new();
        let mut lost = false;
        loop {
            let link = match first.take() {
                Some(link) => Ok(link),
                None => self.open().await,
            };
            match link {
                Ok(link) => {
                    if lost {
                        self.metrics.broker_reconnected();
                        tracing::info!(broker = %self.address, purpose = self.purpose.name(), "the broker is back");
                    }
                    self.state.send_replace(State::Up(Arc::clone(&link)));
                    let since = Instant::now();
                    link.watch(|notice| self.heard(&link, notice)).await;
                    backoff.worked(since.elapsed());
                }
                Err(error) => {
                    if !lost {
                        tracing::warn!(broker = %self.address, purpose = self.purpose.name(), %error, "the broker is away");
                    }
                    tracing::debug!(broker = %self.address, %error, "no connection to the broker");
                    self.state.send_replace(State::Down(error.to_string()));
                }
            }
            lost = true;
            tokio::time::sleep(backoff.failed()).await;
        }
    }

    fn heard(&self, link: &Arc<Link>, notice: Notice) {
        let (broker, purpose) = (&self.address, self.purpose.name());
        match notice {
            Notice::Blocked(reason) => {
                tracing::warn!(%broker, %reason, "the broker takes no messages");
                self.state.send_replace(State::Blocked(Arc::clone(link), reason));
            }
            Notice::Unblocked => {
                tracing::info!(%broker, "the broker takes messages again");
                self.state.send_replace(State::Up(Arc::clone(link)));
            }
            Notice::Ended(cause) => {
                tracing::warn!(%broker, purpose, %cause, "the connection to the broker is lost");
                self.state.send_replace(State::Down(cause));
            }
        }
    }

    pub(super) fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// The connection, if it can be used now.
    pub(super) fn usable(&self) -> Result<Arc<Link>, QueueError> {
        let state = self.state.borrow();
        match &*state {
            State::Up(link) => Ok(Arc::clone(link)),
            other => Err(other.reason().expect("only Up has no reason")),
        }
    }

    /// The connection, once there is one.
    pub(super) async fn link(&self) -> Arc<Link> {
        let mut changes = self.state.subscribe();
        loop {
            if let State::Up(link) | State::Blocked(link, _) = &*changes.borrow_and_update() {
                return Arc::clone(link);
            }
            // The sender lives as long as `self`.
            drop(changes.changed().await);
        }
    }

    /// Waits until the connection can't be used, and answers why.
    pub(super) async fn unusable(&self) -> QueueError {
        let mut changes = self.state.subscribe();
        loop {
            if let Some(reason) = changes.borrow_and_update().reason() {
                return reason;
            }
            drop(changes.changed().await);
        }
    }
}
