//! A TCP proxy that spoils the connections that go through it.

mod connection;
mod door;
mod redis_time;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::{mpsc, watch};

use crate::servers::free_port;

/// A proxy before a server, on a loopback port of its own. It works on a thread of its own: what a call asks
/// for is in force when the call returns. Dropped, it closes everything.
pub struct Proxy {
    address: SocketAddr,
    orders: mpsc::UnboundedSender<Order>,
    faults: Arc<Faults>,
    refuses: AtomicBool,
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Requests.
    ToServer,
    /// Answers.
    ToClient,
}

impl Proxy {
    /// Listens, and carries each connection on to `target`.
    #[expect(clippy::unused_async, reason = "started as the servers are")]
    pub async fn start(target: SocketAddr) -> Result<Proxy> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let (orders, received) = mpsc::unbounded_channel();
        let faults = Arc::new(Faults::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let shared = Arc::clone(&faults);
        std::thread::Builder::new()
            .name("proxy".to_owned())
            .spawn(move || runtime.block_on(door::serve(target, received, shared)))?;
        let proxy = Proxy { address, orders, faults, refuses: AtomicBool::new(false) };
        proxy.listen().context("the proxy's port")?;
        Ok(proxy)
    }

    /// Where it listens; the same for all its life.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections it has closed by [`Proxy::close_after`] and [`Proxy::close_at_answer`].
    pub fn closed(&self) -> u64 {
        self.faults.closed.load(Ordering::Relaxed)
    }

    /// How many connections it has taken so far.
    pub fn accepted(&self) -> u64 {
        self.faults.accepted.load(Ordering::Relaxed)
    }

    /// Resets all connections, and refuses new ones until `heal`.
    pub fn cut(&self) {
        self.refuses.store(true, Ordering::Relaxed);
        self.order(|done| Order::Refuse { done });
    }

    /// Closes all connections in order (FIN); new ones go through.
    pub fn drop_connections(&self) {
        self.order(|done| Order::Drop { done });
    }

    /// Delays each byte by this much, each way.
    pub fn delay(&self, delay: Duration) {
        self.faults.rules.send_modify(|rules| rules.delay = delay);
    }

    /// Swallows every byte, both ways; connections stay open, and new ones open.
    pub fn blackhole(&self) {
        self.faults.rules.send_modify(|rules| {
            rules.to_server = Flow::Swallow;
            rules.to_client = Flow::Swallow;
        });
    }

    /// Swallows the server's answers; requests arrive.
    pub fn half_open(&self) {
        self.faults.rules.send_modify(|rules| rules.to_client = Flow::Swallow);
    }

    /// Lets this many more bytes through in one direction, of all connections together. Then the connection
    /// that brings another byte is closed without it, once. With 0, the next answer (or request) is lost.
    pub fn close_after(&self, direction: Direction, bytes: u64) {
        *self.faults.allowance() = Some(Allowance { direction, bytes });
    }

    /// The connection that next carries `request` to the server is closed at the `answer` that the server
    /// then gives, which is lost, once: the server has done what was asked, and the client does not know.
    /// Each is found only where its bytes come in one piece.
    pub fn close_at_answer(&self, request: &[u8], answer: &[u8]) {
        *self.faults.exchange() = Some(Exchange { request: request.to_vec(), answer: answer.to_vec() });
    }

    /// Lets Redis's answers to `TIME` be off by so many seconds.
    pub fn shift_redis_time(&self, seconds: i64) {
        self.faults.rules.send_modify(|rules| rules.redis_time_ahead = seconds);
    }

    /// Ends every fault. Connections that have lost bytes are reset; the others go on.
    pub fn heal(&self) {
        *self.faults.allowance() = None;
        *self.faults.exchange() = None;
        self.faults.rules.send_modify(|rules| {
            *rules = Rules { heals: rules.heals + 1, ended: rules.ended, ..Rules::default() };
        });
        if self.refuses.swap(false, Ordering::Relaxed) {
            self.listen().expect("the proxy's port is given to nobody else");
        }
    }

    fn listen(&self) -> Result<()> {
        let listener = std::net::TcpListener::bind(self.address)?;
        listener.set_nonblocking(true)?;
        self.order(|done| Order::Listen { listener, done });
        Ok(())
    }

    fn order(&self, order: impl FnOnce(std::sync::mpsc::Sender<()>) -> Order) {
        let (done, wait) = std::sync::mpsc::channel();
        self.orders.send(order(done)).expect("the proxy's thread lives as long as the proxy");
        wait.recv().expect("the proxy's thread carries out each order");
    }
}

/// What the proxy's thread is told to do before the caller goes on.
enum Order {
    Listen { listener: std::net::TcpListener, done: std::sync::mpsc::Sender<()> },
    Refuse { done: std::sync::mpsc::Sender<()> },
    Drop { done: std::sync::mpsc::Sender<()> },
}

/// The faults in force, shared by all connections.
#[derive(Default)]
struct Faults {
    rules: watch::Sender<Rules>,
    allowance: Mutex<Option<Allowance>>,
    exchange: Mutex<Option<Exchange>>,
    accepted: AtomicU64,
    closed: AtomicU64,
}

impl Faults {
    fn allowance(&self) -> std::sync::MutexGuard<'_, Option<Allowance>> {
        self.allowance.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn exchange(&self) -> std::sync::MutexGuard<'_, Option<Exchange>> {
        self.exchange.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request whose answer shall be lost.
struct Exchange {
    request: Vec<u8>,
    answer: Vec<u8>,
}

/// What holds for every byte.
#[derive(Clone, Copy, Default)]
struct Rules {
    delay: Duration,
    to_server: Flow,
    to_client: Flow,
    /// By how many seconds Redis's time is off.
    redis_time_ahead: i64,
    /// How often everything was healed.
    heals: u64,
    /// The connections up to this number are ended, in this way.
    ended: Option<(u64, Ending)>,
}

impl Rules {
    fn flow(&self, direction: Direction) -> Flow {
        match direction {
            Direction::ToServer => self.to_server,
            Direction::ToClient => self.to_client,
        }
    }
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Flow {
    #[default]
    Pass,
    Swallow,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// FIN.
    Close,
    /// RST.
    Reset,
}

/// How many bytes may still go one way.
struct Allowance {
    direction: Direction,
    bytes: u64,
}
