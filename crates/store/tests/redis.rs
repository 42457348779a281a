//! The fleet's store: the conformance suite, and what only it promises.

#![allow(clippy::unwrap_used)] // Tests, and what they share.

mod conformance;
#[path = "redis/faults.rs"]
mod faults;
#[path = "redis/modelled.rs"]
mod modelled;
#[path = "redis/opening.rs"]
mod opening;
#[path = "redis/records.rs"]
mod records;
#[path = "redis/replicas.rs"]
mod replicas;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use conformance::Fresh;
use conformance::upgrade::{Bodies, Stored};
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

/// A server of its own, whose records are read and written beside the store.
struct Bare(RedisServer);

impl Bare {
    async fn open() -> (World, Bare) {
        let server = RedisServer::start().await.unwrap();
        (World(Arc::new(open(&server).await)), Bare(server))
    }

    async fn ask<T: redis::FromRedisValue>(&self, command: &str, words: &[&str]) -> T {
        let client = redis::Client::open(self.0.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        redis::cmd(command).arg(words).query_async(&mut connection).await.unwrap()
    }
}

fn place(of: Stored) -> [String; 2] {
    let shard = |first: u8| format!("isochrone:{{iso:{:02}}}", first & 63);
    let (key, field) = match of {
        Stored::Task(id) => (format!("{}:task:{id}", shard(id.as_bytes()[0])), "b"),
        Stored::Run(id) => (format!("{}:run:{id}", shard(id.as_bytes()[0])), "b"),
        Stored::Ann => ("isochrone:{iso:g}:users".to_owned(), "ann"),
        Stored::Item(id) => (format!("isochrone:{{iso:g}}:item:{id}"), "b"),
        Stored::Grant(hash) => (format!("isochrone:{{iso:g}}:grant:{}", hex::encode(hash.0)), "b"),
    };
    [key, field.to_owned()]
}

impl Bodies for Bare {
    async fn body(&self, of: Stored) -> String {
        let [key, field] = place(of);
        self.ask("HGET", &[&key, &field]).await
    }

    async fn put_body(&self, of: Stored, body: String) {
        let [key, field] = place(of);
        let added: i64 = self.ask("HSET", &[&key, &field, &body]).await;
        assert_eq!(added, 0, "{key} {field}");
    }
}

upgrade_conformance!(Bare::open());

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
