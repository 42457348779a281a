//! Connections to the outside, made for a notebook by the rules.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::{Request, StatusCode, Uri, header};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use url::Host;

use super::destination::Destination;
use super::rules::{Grounds, Rules};

/// How long a connection to the outside may take, its name's resolution included.
const CONNECT_WITHIN: Duration = Duration::from_secs(30);
/// How long the resolution of a name may take.
const RESOLVE_WITHIN: Duration = Duration::from_secs(10);
/// Addresses of a name that are tried.
const ADDRESSES: usize = 4;
/// Names that a notebook can have resolved at a time: each takes a thread.
const LOOKUPS: usize = 8;

/// What a connection's bytes go over.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoConnection {
    /// The rules don't let it through.
    #[error("{0}")]
    Refused(String),
    /// It could not be made.
    #[error("{0}")]
    Failed(String),
}

/// Turns names into addresses.
#[async_trait]
pub trait Lookup: Send + Sync {
    /// The addresses of a name.
    async fn addresses(&self, name: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

/// As the machine does it.
pub(super) struct SystemLookup;

#[async_trait]
impl Lookup for SystemLookup {
    async fn addresses(&self, name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((name, port)).await?.collect())
    }
}

/// Connects for one run.
pub(super) struct Connector {
    rules: Rules,
    lookup: Arc<dyn Lookup>,
    lookups: Semaphore,
    /// The worker's own proxies.
    upstream: Matcher,
    /// Where Isochrone's own servers are.
    own: Vec<SocketAddr>,
}

impl Connector {
    pub(super) async fn new(rules: Rules, lookup: Arc<dyn Lookup>, upstream: Matcher) -> Connector {
        let mut own = Vec::new();
        for server in rules.own() {
            match resolve(&*lookup, server).await {
                Ok(addresses) => own.extend(addresses),
                Err(error) => tracing::debug!(%server, %error, "it has no address now"),
            }
        }
        Connector { rules, lookup, lookups: Semaphore::new(LOOKUPS), upstream, own }
    }

    pub(super) fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Connects there, if the rules let it through. A name is resolved once: what was looked at is connected to.
    pub(super) async fn connect(
        &self,
        to: &Destination,
        scheme: Scheme,
    ) -> Result<Box<dyn Duplex>, NoConnection> {
        let connecting = timeout(CONNECT_WITHIN, self.connected(to, scheme)).await;
        connecting.unwrap_or_else(|_| {
            Err(NoConnection::Failed(format!("{to} can't be reached: it takes too long")))
        })
    }

    async fn connected(&self, to: &Destination, scheme: Scheme) -> Result<Box<dyn Duplex>, NoConnection> {
        let grounds = self.rules.judge(to).map_err(|refused| NoConnection::Refused(refused.to_string()))?;
        let proxy = self.proxy(to, grounds, scheme);
        let found = {
            let _permit = self.lookups.acquire().await;
            resolve(&*self.lookup, to).await
        };
        let found = match (found, &proxy) {
            (Ok(found), _) => found,
            // Where there is a proxy, it may be the only one to know names.
            (Err(_), Some(_)) => Vec::new(),
            (Err(error), None) => {
                return Err(NoConnection::Failed(format!("{to} can't be resolved: {error}")));
            }
        };
        let mut refused = None;
        let mut admitted = Vec::new();
        for address in found {
            match Rules::admits(to, grounds, address, &self.own, is_of_this_machine) {
                Ok(()) => admitted.push(address),
                Err(why) => refused = Some(why),
            }
        }
        if let (true, Some(why)) = (admitted.is_empty(), refused) {
            return Err(NoConnection::Refused(why.to_string()));
        }
        let failed = |error: io::Error| NoConnection::Failed(format!("{to} can't be reached: {error}"));
        if let Some(proxy) = proxy {
            return tunnel(&proxy, to).await.map_err(failed);
        }
        let mut last = io::Error::new(io::ErrorKind::NotFound, "it has no address");
        for address in admitted.into_iter().take(ADDRESSES) {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    drop(stream.set_nodelay(true));
                    return Ok(Box::new(stream));
                }
                Err(error) => last = error,
            }
        }
        Err(failed(last))
    }

    /// The worker's own proxy for this, if it has one. What is listed for any protocol is no matter of a proxy for HTTP.
    fn proxy(&self, to: &Destination, grounds: Grounds, scheme: Scheme) -> Option<Intercept> {
        let is_loopback = to.is_loopback() || to.address().is_some_and(|ip| ip.is_loopback());
        if grounds == Grounds::Reach || is_loopback {
            return None;
        }
        let uri: Uri = format!("{}://{to}/", scheme.name()).parse().ok()?;
        self.upstream.intercept(&uri)
    }
}

/// What is spoken, as far as that is known: proxies are chosen by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    fn name(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}

async fn resolve(lookup: &dyn Lookup, to: &Destination) -> io::Result<Vec<SocketAddr>> {
    match (&to.host, to.address()) {
        (Host::Domain(name), _) => timeout(RESOLVE_WITHIN, lookup.addresses(name, to.port))
            .await
            .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "it takes too long"))),
        (_, Some(ip)) => Ok(vec![(ip, to.port).into()]),
        (_, None) => Ok(Vec::new()),
    }
}

/// Only a machine's own addresses can be bound.
fn is_of_this_machine(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

/// A connection through an HTTP proxy.
async fn tunnel(proxy: &Intercept, to: &Destination) -> io::Result<Box<dyn Duplex>> {
    let uri = proxy.uri();
    if uri.scheme_str() != Some("http") {
        return Err(io::Error::other("the worker's own proxy is no http:// one"));
    }
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(80))).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let authority = to.to_string();
    let mut request = Request::connect(&authority).header(header::HOST, &authority);
    if let Some(authorization) = proxy.basic_auth() {
        request = request.header(header::PROXY_AUTHORIZATION, authorization);
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(io::Error::other)?;
    let driver = tokio::spawn(connection.with_upgrades());
    let answer = sender.send_request(request).await.map_err(io::Error::other)?;
    if answer.status() != StatusCode::OK {
        driver.abort();
        return Err(io::Error::other(format!("the worker's own proxy answers {}", answer.status())));
    }
    let upgraded = hyper::upgrade::on(answer).await.map_err(io::Error::other)?;
    Ok(Box::new(TokioIo::new(upgraded)))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::super::destination::Reach;
    use super::*;

    /// Answers each question for a name with the next of its addresses.
    struct Turns(Mutex<Vec<&'static str>>);

    #[async_trait]
    impl Lookup for Turns {
        async fn addresses(&self, _: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
            match self.0.lock().unwrap().pop() {
                Some(ip) => Ok(vec![SocketAddr::new(ip.parse().unwrap(), port)]),
                None => Err(io::Error::other("no such name")),
            }
        }
    }

    /// Accepts one connection, and sends `answer` after the first line; gives that line.
    async fn server(answer: &'static str) -> (u16, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = [0; 1000];
            let length = stream.read(&mut bytes).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
            text.lines().next().unwrap_or_default().to_owned()
        });
        (port, seen)
    }

    fn reach(listed: String) -> Rules {
        let reach: [Reach; 1] = [listed.parse().unwrap()];
        Rules::default().with_reach(&reach)
    }

    async fn connector(rules: Rules, addresses: &[&'static str], upstream: Matcher) -> Connector {
        let turns = addresses.iter().rev().copied().collect();
        Connector::new(rules, Arc::new(Turns(Mutex::new(turns))), upstream).await
    }

    fn no_proxy() -> Matcher {
        Matcher::builder().build()
    }

    #[tokio::test]
    async fn what_was_looked_at_is_what_is_connected_to() {
        let (port, seen) = server("pong").await;
        let to = Destination::new("db.example.com", port).unwrap();
        // A second look would lead elsewhere.
        let addresses = ["127.0.0.1", "127.0.0.9"];
        let connector = connector(reach(format!("tcp://{to}")), &addresses, no_proxy()).await;
        let mut stream = connector.connect(&to, Scheme::Https).await.unwrap();
        stream.write_all(b"ping\n").await.unwrap();
        assert_eq!(seen.await.unwrap(), "ping");
    }

    #[tokio::test]
    async fn a_name_that_leads_inward_is_refused_with_and_without_a_proxy() {
        let proxied = || Matcher::builder().all("http://127.0.0.1:9").build();
        for inward in ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "fd00::1"] {
            for upstream in [no_proxy(), proxied()] {
                let connector = connector(Rules::default(), &[inward], upstream).await;
                let to = Destination::new("tools.example.com", 443).unwrap();
                match connector.connect(&to, Scheme::Https).await.map(drop) {
                    Err(NoConnection::Refused(why)) => {
                        assert!(why.contains("add tcp://tools.example.com:443"), "{why}");
                    }
                    other => panic!("{inward}: {other:?}"),
                }
            }
        }
    }

    #[tokio::test]
    async fn the_workers_proxy_is_asked_by_name_unless_it_is_excepted() {
        let (proxy, seen) = server("HTTP/1.1 200 Connection established\r\n\r\n").await;
        let upstream = || {
            let url = format!("http://127.0.0.1:{proxy}");
            Matcher::builder().http(&*url).https(&*url).no("direct.example.com").build()
        };
        // No name that this machine could resolve.
        let proxied = connector(Rules::default(), &[], upstream()).await;
        let to = Destination::new("tools.example.com", 443).unwrap();
        proxied.connect(&to, Scheme::Https).await.unwrap();
        assert_eq!(seen.await.unwrap(), "CONNECT tools.example.com:443 HTTP/1.1");

        let (port, seen) = server("pong").await;
        let to = Destination::new("direct.example.com", port).unwrap();
        let servers = [format!("http://{to}")];
        let rules = Rules::default().with_servers(servers.iter().map(String::as_str));
        let direct = connector(rules, &["127.0.0.1"], upstream()).await;
        let mut stream = direct.connect(&to, Scheme::Http).await.unwrap();
        stream.write_all(b"ping\n").await.unwrap();
        assert_eq!(seen.await.unwrap(), "ping");

        let (port, seen) = server("pong").await;
        let to = Destination::new("db.example.com", port).unwrap();
        let listed = connector(reach(format!("tcp://{to}")), &["127.0.0.1"], upstream()).await;
        let mut stream = listed.connect(&to, Scheme::Https).await.unwrap();
        stream.write_all(b"startup\n").await.unwrap();
        assert_eq!(seen.await.unwrap(), "startup");
    }
}
