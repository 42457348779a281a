//! The fleet's store: Redis, alone, behind sentinels or as a cluster.
//!
//! Tasks are spread over 64 shards by their id's first byte, and all that belongs to a task is in its
//! shard. A write is one script (`commit.lua`) within a shard: it checks that what was read is still so,
//! and then writes. All rules are in Rust.

mod accounts;
mod address;
mod audit;
mod batch;
mod chain;
mod check;
mod claims;
mod commit;
mod deletion;
mod durability;
mod error;
mod fires;
mod fleet;
mod gather;
mod holds;
mod installation;
mod items;
mod keys;
mod leases;
mod line;
mod link;
mod lists;
mod logs;
#[cfg(feature = "simulation")]
pub mod model;
mod outbox;
mod records;
mod replication;
mod retention;
mod runs;
mod secrets;
mod servers;
mod tasks;
mod wishes;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use isochrone_domain::EpochMillis;

use crate::chain::AuditKey;
use crate::clock::machine_ms;
use crate::deferrals::Deferrals;
use crate::{Clock, Result, StoreError};
use address::Address;
use batch::{Answers, Batch};
use chain::Ends;
use claims::Claims;
use durability::Durability;
use gather::Gather;
use keys::{Keys, Shard};
use link::Link;
use servers::Servers;

/// Clocks that differ by more than this are worth a warning.
const TOLERATED_MS: i64 = 1_000;

/// An answer that took longer says little about the clocks.
const PROMPT_MS: i64 = 500;

/// How a store in Redis is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// How its clock goes.
    pub clock: Clock,
    /// What its keys begin with: letters, digits, `-`, `_`, `.` and `:`. Installations on one server have
    /// different ones.
    pub prefix: String,
    /// The authorities that TLS trusts, in PEM form; none: the system's.
    pub ca_file: Option<PathBuf>,
    /// Go on, with a warning, where Redis may lose what it acknowledged.
    pub allow_weak_durability: bool,
    /// With what the audit log's digests are made.
    pub audit_key: Arc<AuditKey>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            clock: Clock::SYSTEM,
            prefix: "isochrone".to_owned(),
            ca_file: None,
            allow_weak_durability: false,
            audit_key: Arc::default(),
        }
    }
}

/// The fleet's store.
pub struct RedisStore {
    clock: Clock,
    /// Milliseconds that Redis's clock is ahead of this machine's.
    ahead_ms: AtomicI64,
    clocks_differ: AtomicBool,
    keys: Keys,
    /// For reads, and for what need not outlive a server: renewals, progress, logs.
    link: Arc<Link>,
    /// For what must outlive a server. Another connection: it waits for replicas, and reads need not.
    commits: Arc<Link>,
    gather: Gather,
    gather_unreplicated: Gather,
    durability: Arc<Durability>,
    allow_weak_durability: bool,
    watching: Option<Watching>,
    claims: Claims,
    audit_key: Arc<AuditKey>,
    chain_ends: Ends,
    deferrals: Deferrals,
}

/// The look at the servers that is taken again and again; it ends with the store.
struct Watching(tokio::task::JoinHandle<()>);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl RedisStore {
    /// Connects to Redis and checks that it keeps what it acknowledges.
    ///
    /// `url` is one of
    /// - `redis://[[user]:password@]host[:port][/database]`: one server,
    /// - `redis+cluster://[[user]:password@]host:port,host:port`: a cluster, by some of its nodes,
    /// - `redis+sentinel://[[user]:password@]host:port,host:port/service`: the master that sentinels name;
    ///
    /// with `rediss` instead of `redis` the connections use TLS. [`StoreError::Config`]: it can't be used
    /// as it is set up; the text says what to change.
    pub async fn open(url: &str, options: Options) -> Result<RedisStore> {
        check_prefix(&options.prefix)?;
        let certificates = address::certificates(options.ca_file.as_deref())?;
        let address = Address::parse(url)?;
        if address.is_encrypted() {
            address::choose_cryptography();
        }
        let login = address.login();
        let commits = Arc::new(Link::open(address.clone(), certificates.clone()).await?);
        let link = Link::open(address, certificates.clone()).await?;
        let servers = Servers { link: Arc::clone(&commits), login: login.map(|login| (login, certificates)) };
        let mut store = RedisStore::on(link, commits, &servers, options).await?;
        let watching = servers.watch(Arc::downgrade(&store.durability), store.allow_weak_durability);
        store.watching = Some(Watching(tokio::spawn(watching)));
        Ok(store)
    }

    /// Uses what two connections lead to, if it keeps what it acknowledges.
    async fn on(link: Link, commits: Arc<Link>, servers: &Servers, options: Options) -> Result<RedisStore> {
        let (link, durability) = (Arc::new(link), Arc::new(Durability::new()));
        let store = RedisStore {
            clock: options.clock,
            ahead_ms: AtomicI64::new(0),
            clocks_differ: AtomicBool::new(false),
            keys: Keys::new(&options.prefix),
            gather: Gather::start(Arc::clone(&commits), Some(Arc::clone(&durability))),
            gather_unreplicated: Gather::start(Arc::clone(&link), None),
            link,
            commits,
            durability,
            allow_weak_durability: options.allow_weak_durability,
            watching: None,
            claims: Claims::default(),
            audit_key: options.audit_key,
            chain_ends: Ends::new(),
            deferrals: Deferrals::default(),
        };
        store.check(servers, options.allow_weak_durability).await?;
        Ok(store)
    }

    /// How many milliseconds Redis's clock is ahead of this machine's (behind, if negative), as the last
    /// answers had it.
    pub fn clock_ahead_ms(&self) -> i64 {
        self.ahead_ms.load(Ordering::Relaxed)
    }

    /// Sends commands together.
    async fn ask(&self, batch: Batch) -> Result<Answers> {
        let sent_ms = machine_ms();
        let values = self.link.values(batch).await?;
        Ok(Answers::new(values, sent_ms, machine_ms() - sent_ms))
    }

    /// What the clock shows at the shard's server.
    async fn now_at(&self, shard: Shard) -> Result<EpochMillis> {
        let mut batch = Batch::default();
        batch.add_time(shard);
        self.ask(batch).await?.now(self)
    }

    /// Learns how far this machine's clock is off.
    fn compare_clocks(&self, real_ms: i64, sent_ms: i64, took_ms: i64) {
        if !(0..PROMPT_MS).contains(&took_ms) {
            return;
        }
        let ahead_ms = real_ms - sent_ms - took_ms / 2;
        self.ahead_ms.store(ahead_ms, Ordering::Relaxed);
        let differ = ahead_ms.abs() > TOLERATED_MS;
        if self.clocks_differ.swap(differ, Ordering::Relaxed) != differ && differ {
            tracing::warn!(ahead_ms, "Redis's clock differs from this machine's; Redis's decides");
        }
    }

    /// The clock as this machine can follow it.
    fn followed_clock(&self) -> Clock {
        self.clock.ahead(self.clock_ahead_ms())
    }

    /// How long a lease of this length is given at most.
    fn capped(&self, lease: Duration) -> Duration {
        lease.min(self.clock.of_real(crate::LONGEST_LEASE))
    }
}

/// Braces would decide a key's slot.
fn check_prefix(prefix: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    if prefix.is_empty() || !prefix.chars().all(allowed) {
        return Err(StoreError::Config("a key prefix has letters, digits, '-', '_', '.' and ':'".to_owned()));
    }
    Ok(())
}
