//! One connection to the broker.
//!
//! lapin's thread waits on the socket for as long as the broker likes: one that accepts and then says
//! nothing would cost a thread with every try. So the socket is kept at hand, and shut down at the end.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::StreamExt;
use lapin::tcp::AsyncTcpStream;
use lapin::uri::AMQPScheme;
use lapin::{Channel, Connection, ConnectionProperties, ErrorKind, Event};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::rabbitmq::address::{Address, wrong};
use crate::{QueueError, Setting};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);

/// The connection's events tell of its end; should one be missed, its state is looked at this often.
const LOOK: Duration = Duration::from_secs(1);

/// AMQP's reply codes that tell which setting is wrong.
const ACCESS_REFUSED: u16 = 403;
const NOT_ALLOWED: u16 = 530;

/// One connection to the broker. Dropped, it is cut.
pub(super) struct Link {
    connection: Connection,
    _cut: CutOnDrop,
    abandoned: Notify,
}

/// What a connection tells while it lives.
pub(super) enum Notice {
    /// The broker takes no publishes, because it is short of memory or disk.
    Blocked(String),
    /// It takes them again.
    Unblocked,
    /// It is of no more use.
    Ended(String),
}

impl Link {
    /// Connects and signs in. `name` is what the broker's own tools show.
    pub(super) async fn open(address: &Address, name: &str) -> Result<Link, QueueError> {
        // Made first, so that a try that is given up is cut as well.
        let cut = CutOnDrop::default();
        let runtime =
            lapin::runtime::default_runtime().map_err(|error| QueueError::Unavailable(error.to_string()))?;
        let (tls, socket) = (address.tls.clone(), Arc::clone(&cut.0));
        let connecting = Connection::connector(
            address.uri.clone(),
            runtime,
            async move |uri, runtime| {
                let (host, port) = (uri.authority.host.as_str(), uri.authority.port);
                let steps = async {
                    let addresses: Vec<_> = tokio::net::lookup_host((host, port)).await?.collect();
                    let stream = AsyncTcpStream::connect(&runtime, addresses).await?;
                    if let AsyncTcpStream::Plain(stream) = &stream {
                        stream.get_ref().set_nodelay(true)?;
                        let second = stream.get_ref().as_fd().try_clone_to_owned()?;
                        socket.get_or_init(|| second.into());
                    }
                    match uri.scheme {
                        AMQPScheme::AMQP => Ok(stream),
                        AMQPScheme::AMQPS => stream.into_tls(host, tls.as_ref()).await,
                    }
                };
                let stream = timeout(CONNECT, steps).await;
                Ok(stream.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?)
            },
            ConnectionProperties::default().with_connection_name(name.into()),
        );
        match timeout(CONNECT + Duration::from_secs(1), connecting).await {
            Ok(Ok(connection)) => Ok(Link { connection, _cut: cut, abandoned: Notify::new() }),
            Ok(Err(error)) => Err(refused(&error, address)),
            Err(_) => Err(unreachable(address, "it takes connections and does not say a word")),
        }
    }

    pub(super) async fn channel(&self) -> lapin::Result<Channel> {
        self.connection.create_channel().await
    }

    /// Nobody will use it any more: something on it was not answered in time.
    pub(super) fn abandon(&self) {
        self.abandoned.notify_one();
    }

    /// Tells what happens to it, up to its end.
    pub(super) async fn watch(&self, mut tell: impl FnMut(Notice)) {
        let status = self.connection.status();
        let mut events = std::pin::pin!(self.connection.events_listener());
        let (mut abandoned, mut cause) = (false, None);
        while status.connected() {
            // While it is blocked, it is the one that learns when the broker has recovered.
            if abandoned && !status.blocked() {
                return tell(Notice::Ended("the broker did not answer in time".to_owned()));
            }
            tokio::select! {
                event = events.next() => match event {
                    Some(Event::ConnectionBlocked(reason)) => tell(Notice::Blocked(reason)),
                    Some(Event::ConnectionUnblocked) => tell(Notice::Unblocked),
                    Some(Event::Error(error)) => cause = Some(error.to_string()),
                    Some(_) => {}
                    None => break,
                },
                () = self.abandoned.notified() => abandoned = true,
                () = sleep(LOOK) => {}
            }
        }
        tell(Notice::Ended(cause.unwrap_or_else(|| "the connection is lost".to_owned())));
    }

    /// Takes leave of the broker, if it listens.
    pub(super) async fn close(&self) {
        let leave = self.connection.close(200, "bye".into());
        if !matches!(timeout(Duration::from_secs(2), leave).await, Ok(Ok(()))) {
            tracing::debug!("the broker did not answer the end of a connection");
        }
    }
}

/// A second handle on a connection's socket, once there is one; the connection is cut with its end.
#[derive(Default)]
struct CutOnDrop(Arc<OnceLock<TcpStream>>);

impl Drop for CutOnDrop {
    fn drop(&mut self) {
        if let Some(socket) = self.0.get() {
            // One that is gone already needs no cut.
            drop(socket.shutdown(Shutdown::Both));
        }
    }
}

/// Why there is no connection, in terms of what the operator can change.
fn refused(error: &lapin::Error, address: &Address) -> QueueError {
    match error.kind() {
        ErrorKind::ProtocolError(said) => {
            let cause = format!("{address} says: {}", said.get_message());
            match said.get_id() {
                ACCESS_REFUSED => wrong(Setting::Credentials, &format!("{cause} (user {})", address.user())),
                NOT_ALLOWED => wrong(Setting::VirtualHost, &cause),
                _ => unreachable(address, said.get_message().as_str()),
            }
        }
        ErrorKind::IOError(error) => {
            let cause = error.to_string();
            if cause.contains("certificate") {
                wrong(Setting::Certificate, &format!("{address} has one that is not trusted: {cause}"))
            } else if cause.contains("corrupt message") {
                wrong(Setting::Url, &format!("{address} does not speak TLS; amqp:// does without"))
            } else {
                unreachable(address, &cause)
            }
        }
        _ => unreachable(address, &error.to_string()),
    }
}

fn unreachable(address: &Address, cause: &str) -> QueueError {
    QueueError::Unreachable { address: address.to_string(), cause: cause.to_owned() }
}
