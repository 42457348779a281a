//! A notebook's network.
//!
//! A guarded notebook has a network namespace with loopback alone. Its first program (`namespace.py`) makes sockets
//! there and hands them to the worker ([`handover`]), which serves them from outside ([`serve`]): an HTTP proxy
//! ([`proxy`]) for clients that know proxies; for others a resolver that gives each name an address of its own
//! ([`names`]), and listeners whose connections tell by their local address where they are meant to lead. Both ask
//! the same [`rules`] and connect in the same way ([`connect`]). What is refused stands in the run's log, with the
//! setting that would admit it ([`refusals`]).

mod connect;
mod destination;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod handover;
mod names;
mod passed_on;
mod proxy;
mod refusals;
mod rules;
mod serve;
mod splice;

use std::fmt;
use std::io;
use std::sync::Arc;

use hyper_util::client::proxy::matcher::Matcher;
use isochrone_domain::LogStream;
use isochrone_worker::Attempt;
use tokio::sync::mpsc;
use tokio_util::sync::DropGuard;

pub use connect::Lookup;
pub use destination::{Destination, NoReach, Reach};
pub(super) use handover::Handover;
pub(super) use passed_on::{
    DEFAULT_INDEX, files, only_pip_finds_packages, own_proxies, package_indexes, package_variables, proxies,
    variables,
};
pub use rules::Rules;

use connect::{Connector, SystemLookup};
use refusals::Refusals;
use serve::Serving;

/// The first program in a notebook's namespace.
pub(super) const NAMESPACE_PROGRAM: &str = include_str!("namespace.py");

/// Names are asked for there: `namespace.py` has a resolver made.
pub(super) const RESOLV_CONF: &str = "nameserver 127.0.0.1\noptions ndots:0 attempts:1\n";
/// Only what is this namespace's own: all other names are the resolver's.
pub(super) const HOSTS: &str = "127.0.0.1 localhost\n::1 localhost\n";

/// Where a notebook's proxy listens, in its own namespace.
const PROXY_ADDRESS: &str = "127.0.0.1";
const PROXY_PORT: u16 = 3128;

/// What a notebook's network is, where it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkTier {
    /// A namespace of its own, with ways out to public and listed addresses.
    Guarded,
    /// A namespace of its own, with loopback alone.
    None,
    /// The machine's, with TCP connections to certain ports only, by Landlock.
    Ports,
    /// The machine's.
    Open,
}

impl fmt::Display for NetworkTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NetworkTier::Guarded => {
                "guarded: public addresses, the portal, and what [egress] servers and [notebook] reach list"
            }
            NetworkTier::None => "none: loopback of its own alone",
            NetworkTier::Ports => {
                "the machine's, but TCP connections go only to ports 80, 443, the portal's, listed and \
                 ephemeral ones"
            }
            NetworkTier::Open => "open: a notebook reaches what this machine reaches",
        })
    }
}

/// The ports that a run's network has to do with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ports {
    /// Where connections may go.
    pub(super) open: Vec<u16>,
    /// Isochrone's own, to which none may go.
    pub(super) own: Vec<u16>,
}

impl Ports {
    /// Where the notebook's proxy listens: none of those that connections are meant for.
    pub(super) fn proxy(&self) -> u16 {
        (PROXY_PORT..u16::MAX).find(|port| !self.open.contains(port)).unwrap_or(PROXY_PORT)
    }
}

/// The network of one run.
pub(super) struct RunNetwork {
    rules: Rules,
    lookup: Arc<dyn Lookup>,
    refusals: Option<Refusals>,
    lines: mpsc::Receiver<String>,
}

impl RunNetwork {
    /// By these rules. `lookup`: what turns names into addresses; none: the machine.
    pub(super) fn new(rules: Rules, lookup: Option<Arc<dyn Lookup>>) -> RunNetwork {
        let (refusals, lines) = Refusals::new();
        let lookup = lookup.unwrap_or_else(|| Arc::new(SystemLookup));
        RunNetwork { rules, lookup, refusals: Some(refusals), lines }
    }

    pub(super) fn ports(&self) -> Ports {
        Ports { open: self.rules.ports(), own: self.rules.own_ports().collect() }
    }

    /// Serves what was made in the run's namespace, until the guard is dropped.
    pub(super) async fn serve(&mut self, handover: Handover) -> io::Result<DropGuard> {
        let sockets = handover.sockets().await?;
        let refusals = self.refusals.take().ok_or_else(|| io::Error::other("a run has one network"))?;
        for missing in &sockets.missing {
            refusals.log(format!("{missing}: clients that know no proxy may not get out"));
        }
        let rules = self.rules.clone();
        let connector = Connector::new(rules, Arc::clone(&self.lookup), Matcher::from_env()).await;
        Ok(Serving::start(connector, refusals, sockets))
    }

    /// Does `work`, and meanwhile passes on what was refused, line by line.
    pub(super) async fn report_during<T>(
        &mut self,
        mut report: impl FnMut(String),
        work: impl Future<Output = T>,
    ) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                Some(line) = self.lines.recv() => report(line),
                done = &mut work => break done,
            }
        }
    }

    /// Does `work`, and logs meanwhile what the network has to say.
    pub(super) async fn log_during<T>(&mut self, attempt: &Attempt, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                Some(line) = self.lines.recv() => attempt.log(LogStream::System, line).await,
                done = &mut work => break done,
            }
        }
    }
}

/// What could not be made in a namespace that was made to see whether it can be.
pub(super) async fn tried(handover: Handover) -> io::Result<Vec<String>> {
    Ok(handover.sockets().await?.missing)
}
