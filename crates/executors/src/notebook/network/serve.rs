//! Serves a notebook's network namespace from outside: accepts what was made inside, and connects by the rules.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::connect::{Connector, NoConnection, Scheme};
use super::destination::Destination;
use super::handover::Sockets;
use super::names::{Names, is_of_a_name};
use super::proxy;
use super::refusals::Refusals;
use super::splice::splice;

/// Connections of a notebook at a time, where this process may have files enough; others wait.
const CONNECTIONS: usize = 128;
/// How long a connection may rest. A database's answer can take a while.
pub(super) const IDLE: Duration = Duration::from_hours(1);
/// How long to wait where this process has no more files for connections.
const PAUSE: Duration = Duration::from_millis(100);

/// What the tasks of one run share.
pub(super) struct Serving {
    pub(super) connector: Connector,
    pub(super) names: Names,
    pub(super) refusals: Refusals,
    permits: Arc<Semaphore>,
    ended: CancellationToken,
}

impl Serving {
    /// Serves these sockets until the guard is dropped; then all that it does ends.
    pub(super) fn start(connector: Connector, refusals: Refusals, sockets: Sockets) -> DropGuard {
        let ended = CancellationToken::new();
        let serving = Arc::new(Serving {
            connector,
            names: Names::default(),
            refusals,
            permits: Arc::new(Semaphore::new(CONNECTIONS.min(shared_connections() / 4))),
            ended: ended.clone(),
        });
        let Sockets { proxy, names, names_tcp, refused, ports, .. } = sockets;
        serving.spawn(accept(Arc::clone(&serving), proxy, ListenerKind::Proxy));
        if let Some(socket) = names {
            let serving_names = Arc::clone(&serving);
            serving.spawn(async move { serving_names.names.serve(socket).await });
        }
        if let Some(listener) = names_tcp {
            serving.spawn(accept(Arc::clone(&serving), listener, ListenerKind::Names));
        }
        if let Some(packets) = refused {
            let serving = Arc::clone(&serving);
            serving.clone().spawn(async move {
                let Serving { refusals, names, connector, .. } = &*serving;
                refusals.watch(packets, names, connector.rules()).await;
            });
        }
        for listener in ports {
            serving.spawn(accept(Arc::clone(&serving), listener, ListenerKind::Anything));
        }
        ended.drop_guard()
    }

    /// Ends with the run at the latest.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(self.ended.clone().run_until_cancelled_owned(task));
    }

    /// Where a host leads that the notebook names: an address may be a name's.
    pub(super) fn destination(&self, host: &str, port: u16) -> Option<Destination> {
        let to = Destination::new(host, port)?;
        match to.address().and_then(|ip| self.names.name(ip)) {
            Some(name) => Destination::new(&name, port),
            None => Some(to),
        }
    }

    /// A connection whose local address says where it leads.
    async fn pass_through(&self, inside: TcpStream) {
        let Ok(local) = inside.local_addr() else { return };
        let Some(to) = self.meant(local) else { return };
        let scheme = if to.port == 80 { Scheme::Http } else { Scheme::Https };
        match self.connector.connect(&to, scheme).await {
            Ok(outside) => drop(splice(inside, outside, IDLE).await),
            Err(NoConnection::Refused(why) | NoConnection::Failed(why)) => self.refusals.log(why),
        }
    }

    fn meant(&self, local: SocketAddr) -> Option<Destination> {
        match self.names.name(local.ip()) {
            Some(name) => Destination::new(&name, local.port()),
            None if is_of_a_name(local) => None,
            None => Some(Destination::of_address(local.ip(), local.port())),
        }
    }
}

/// Of all notebooks together: two files each, a quarter of those that this process may have.
fn shared() -> &'static Semaphore {
    static SHARED: OnceLock<Semaphore> = OnceLock::new();
    SHARED.get_or_init(|| Semaphore::new(shared_connections()))
}

fn shared_connections() -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(files / 8).unwrap_or(usize::MAX).clamp(32, 32 * CONNECTIONS)
}

/// What a listener is for.
#[derive(Clone, Copy)]
enum ListenerKind {
    Proxy,
    Names,
    Anything,
}

async fn accept(serving: Arc<Serving>, listener: TcpListener, kind: ListenerKind) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "a notebook's connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        drop(stream.set_nodelay(true));
        let Ok(permit) = Arc::clone(&serving.permits).acquire_owned().await else { return };
        let Ok(shared) = shared().acquire().await else { return };
        let of_connection = Arc::clone(&serving);
        serving.spawn(async move {
            match kind {
                ListenerKind::Proxy => proxy::serve(&of_connection, stream).await,
                ListenerKind::Names => of_connection.names.serve_connection(stream).await,
                ListenerKind::Anything => of_connection.pass_through(stream).await,
            }
            drop((permit, shared));
        });
    }
}
