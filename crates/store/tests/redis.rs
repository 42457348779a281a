//! The fleet's store: the conformance suite, and what only it promises.

#![allow(clippy::unwrap_used)] // Tests, and what they share.

mod conformance;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use conformance::Fresh;
use isochrone_store::redis::{Options, RedisStore};
use isochrone_store::{Clock, Store};
use isochrone_testkit::RedisServer;
use tokio::sync::OnceCell;

/// One server for all tests; it ends with this process.
static SERVER: OnceCell<RedisServer> = OnceCell::const_new();

async fn shared_url() -> String {
    SERVER.get_or_init(async || RedisServer::start().await.unwrap()).await.url()
}

/// Keys that nobody else uses.
fn own_keys() -> Options {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let prefix = format!("test-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    Options { prefix, ..Options::default() }
}

/// Each store has a key prefix of its own.
struct OneServer;

impl Fresh for OneServer {
    async fn store(&self, clock: Clock) -> Arc<dyn Store> {
        let options = Options { clock, ..own_keys() };
        Arc::new(RedisStore::open(&shared_url().await, options).await.unwrap())
    }
}

store_conformance!(OneServer);
