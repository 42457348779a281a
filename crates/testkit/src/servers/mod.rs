//! Real servers on free ports, each with a directory of its own, gone with the test process.

pub mod amqp;
mod dir;
mod ports;
mod process;
mod prometheus;
mod pygeoapi;
mod rabbit;
mod rabbit_cluster;
mod redis;
mod redis_cluster;
mod redis_sentinel;

pub use prometheus::PrometheusServer;
pub use pygeoapi::{Jobs, PygeoapiServer};
pub use rabbit::RabbitServer;
pub use rabbit_cluster::RabbitCluster;
pub use redis::RedisServer;
pub use redis_cluster::RedisCluster;
pub use redis_sentinel::RedisSentinel;

pub(crate) use ports::free_port;

/// The Debian packages that must be installed before the servers here can start.
pub fn missing() -> Vec<&'static str> {
    let programs =
        [("redis-server", redis::server_binary().err()), ("rabbitmq-server", rabbit::scripts().err())];
    programs.into_iter().filter(|(_, missing)| missing.is_some()).map(|(package, _)| package).collect()
}
