//! Starts a Redis and a RabbitMQ as the tests do, says where they are, and keeps them until it is killed.

use isochrone_testkit::{RabbitServer, RedisServer};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let redis = RedisServer::start().await?;
    println!("redis {} {}", redis.pid(), redis.url());
    let rabbit = RabbitServer::start().await?;
    println!("rabbitmq {} {}", rabbit.pid(), rabbit.url());
    tokio::signal::ctrl_c().await?;
    Ok(())
}
