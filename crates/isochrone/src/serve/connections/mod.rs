//! How connections are served, on every listener: with timeouts, and no more of them than there is room for.

mod connection;
mod limits;
mod registry;
mod service;
mod stream;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::connect_info::Connected;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use axum_server::{AddrListener, Address, Handle, Server};
use isochrone_telemetry::ConnectionLimit;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub(super) use limits::ConnectionLimits;
pub(super) use registry::Registry;
use service::FollowRequests;
use stream::WatchedStream;

/// How long requests may go on when the process ends.
const GRACE: Duration = Duration::from_secs(3);

/// Of a request's head, and of what is read ahead of a body, in bytes.
const BUFFER: usize = 32 << 10;

/// Between two lines that say the same.
const QUIET: i64 = 60;

/// A listener that lets in as many connections as there is room for.
#[derive(Debug)]
pub(super) struct Listener {
    inner: TcpListener,
    registry: Arc<Registry>,
    number: usize,
}

/// Who connects. The type says by which kind of listener.
#[derive(Clone, Copy, Debug)]
struct Peer(SocketAddr);

impl Listener {
    /// Binds to an address. Several listeners may share the room of one registry.
    pub(super) async fn bind(address: SocketAddr, registry: &Arc<Registry>) -> io::Result<Listener> {
        let inner = TcpListener::bind(address).await?;
        Ok(Listener { inner, number: registry.listener(), registry: Arc::clone(registry) })
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    /// Serves until `stopped`, over TLS if there is a certificate.
    pub(super) async fn serve(self, tls: Option<RustlsConfig>, router: Router, stopped: CancellationToken) {
        let handle = Handle::new();
        let ending = handle.clone();
        tokio::spawn(async move {
            stopped.cancelled().await;
            ending.graceful_shutdown(Some(GRACE));
        });
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        let address = self.local_addr();
        let mut server = Server::<Peer>::from_listener(self).http1_only().handle(handle);
        server.http_builder().http1().max_buf_size(BUFFER);
        let served = match tls {
            Some(config) => {
                let tls = RustlsAcceptor::new(config).handshake_timeout(connection::HEAD_TIMEOUT);
                server.acceptor(tls.acceptor(FollowRequests)).serve(service).await
            }
            None => server.acceptor(FollowRequests).serve(service).await,
        };
        if let Err(error) = served {
            tracing::error!(%error, ?address, "a listener failed");
        }
    }
}

impl Address for Peer {
    type Stream = WatchedStream;
    type Listener = Listener;
}

impl AddrListener<WatchedStream, Peer> for Listener {
    async fn bind_to(_: Peer) -> io::Result<Listener> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "a listener is bound before it is served"))
    }

    /// An error is waited for, by whoever asks, before the next try.
    async fn accept_stream(&self) -> io::Result<(WatchedStream, Peer)> {
        loop {
            let accepted = self.inner.accept().await;
            let (stream, peer) = accepted.inspect_err(|error| {
                self.registry.metrics.connection_refused(ConnectionLimit::System);
                // Too many open files, most of all.
                warn_now_and_then(|| tracing::warn!(%error, "a connection could not be accepted"));
            })?;
            let Some(admitted) = self.registry.admit(peer.ip(), self.number, Instant::now()) else {
                let client = peer.ip();
                warn_now_and_then(
                    || tracing::warn!(%client, "a connection was refused: too many are at work"),
                );
                continue;
            };
            // Answers are written at once and whole.
            drop(stream.set_nodelay(true));
            return Ok((WatchedStream::new(stream, admitted), Peer(peer)));
        }
    }

    fn get_local_addr(&self) -> io::Result<Peer> {
        self.local_addr().map(Peer)
    }
}

impl Connected<Peer> for SocketAddr {
    fn connect_info(peer: Peer) -> SocketAddr {
        peer.0
    }
}

/// Strangers must not fill the log.
fn warn_now_and_then(warn: impl FnOnce()) {
    static NEXT: AtomicI64 = AtomicI64::new(0);
    let now = isochrone_store::Clock::SYSTEM.now().0 / 1_000;
    let next = NEXT.load(Ordering::Relaxed);
    if now >= next && NEXT.compare_exchange(next, now + QUIET, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
        warn();
    }
}
