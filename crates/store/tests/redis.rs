//! The fleet's store: the conformance suite, and what only it promises.

#![allow(clippy::unwrap_used)] // Tests, and what they share.

mod conformance;
#[path = "redis/faults.rs"]
mod faults;
#[path = "redis/opening.rs"]
mod opening;
#[path = "redis/records.rs"]
mod records;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use conformance::Fresh;
use conformance::world::World;
use isochrone_store::redis::{Options, RedisStore};
use isochrone_store::{Clock, Store, StoreError};
use isochrone_testkit::{RedisCluster, RedisServer};
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

/// The same suite on a cluster of three servers.
mod cluster {
    use super::*;

    static CLUSTER: OnceCell<RedisCluster> = OnceCell::const_new();

    pub(super) struct ThreeServers;

    impl Fresh for ThreeServers {
        async fn store(&self, clock: Clock) -> Arc<dyn Store> {
            let cluster = CLUSTER.get_or_init(async || RedisCluster::start().await.unwrap()).await;
            let options = Options { clock, ..own_keys() };
            Arc::new(RedisStore::open(&cluster_url(cluster), options).await.unwrap())
        }
    }

    store_conformance!(ThreeServers);
}

fn cluster_url(cluster: &RedisCluster) -> String {
    format!("redis+cluster://{}", hosts(&cluster.urls()))
}

/// `host:port,host:port` of plain URLs.
fn hosts(urls: &[String]) -> String {
    let host = |url: &String| url.trim_start_matches("redis://").trim_end_matches('/').to_owned();
    urls.iter().map(host).collect::<Vec<_>>().join(",")
}

async fn open(server: &RedisServer) -> RedisStore {
    RedisStore::open(&server.url(), Options::default()).await.unwrap()
}

/// The error of an opening that must not succeed.
async fn refusal(url: &str, options: Options) -> StoreError {
    match RedisStore::open(url, options).await {
        Ok(_) => panic!("it was opened"),
        Err(error) => error,
    }
}

/// Asks until the store answers: it finds its server again by itself.
async fn until_it_answers(world: &World) -> Duration {
    let start = Instant::now();
    loop {
        match world.now().await {
            Ok(_) => return start.elapsed(),
            Err(error) => assert!(start.elapsed() < Duration::from_secs(40), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
