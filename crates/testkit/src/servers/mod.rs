//! Real servers on free ports, each with a directory of its own, gone with the test process.

pub mod amqp;
mod ports;
mod process;
mod rabbit;
mod redis;

pub use rabbit::RabbitServer;
pub use redis::RedisServer;

pub(crate) use ports::free_port;
