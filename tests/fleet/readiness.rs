//! `/readyz` says whether a process can do what its roles are for, and what it lacks.

use std::net::SocketAddr;

use anyhow::Result;
use isochrone_testkit::servers::{RabbitServer, RedisServer};
use isochrone_testkit::{Server, ServerOptions, eventually};
use reqwest::StatusCode;

use crate::BINARY;

/// A process that has begun while the broker was away, and where it is probed.
async fn start(options: &ServerOptions, name: &str, command: &[&str]) -> Result<(Server, SocketAddr)> {
    let admin = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let data_dir = options.data_dir.with_file_name(name);
    let options = ServerOptions { data_dir, ..options.clone() }.env("ISOCHRONE__ADMIN__LISTEN", admin);
    Ok((Server::start(&options.command(command)).await?, admin))
}

async fn until(admin: SocketAddr, status: StatusCode, line: &str) -> Result<()> {
    eventually(&format!("/readyz to answer {status} with {line:?}"), async || {
        let answer = reqwest::get(format!("http://{admin}/readyz")).await?;
        let as_expected = answer.status() == status;
        let text = answer.text().await?;
        Ok((as_expected && text.lines().any(|found| found.starts_with(line))).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_rabbitmq_a_portal_is_ready_and_makes_tasks_and_the_others_say_what_they_lack() -> Result<()>
{
    let (redis, mut rabbit) = tokio::try_join!(RedisServer::start(), RabbitServer::start())?;
    let dir = tempfile::tempdir()?;
    let options = ServerOptions::new(BINARY, dir.path().join("any"))
        .env("ISOCHRONE_REDIS_URL", redis.url())
        .env("ISOCHRONE_AMQP_URL", rabbit.url());
    rabbit.kill()?;
    let (portal, portal_admin) = start(&options, "portal", &["portal", "--http", "127.0.0.1:0"]).await?;
    let (_scheduler, scheduler_admin) = start(&options, "scheduler", &["scheduler"]).await?;
    until(portal_admin, StatusCode::OK, "queue: ").await?;
    until(scheduler_admin, StatusCode::SERVICE_UNAVAILABLE, "queue: ").await?;
    let portal = portal.sign_in().await?;
    let report = r#"{"reportType":"org","reportSubType":"users","title":"U"}"#;
    let hourly = [("minute", "0"), ("hour", "*"), ("dayOfMonth", "*"), ("month", "*"), ("dayOfWeek", "?")];
    portal.create_task(&[&hourly[..], &[("type", "ExecuteReport"), ("parameters", report)]].concat()).await?;
    rabbit.restart().await?;
    until(scheduler_admin, StatusCode::OK, "queue: ok").await?;
    until(portal_admin, StatusCode::OK, "queue: ok").await?;

    // What a running process would refuse at its start, it says while it runs.
    redis.command("CONFIG SET appendfsync everysec").await?;
    until(
        portal_admin,
        StatusCode::SERVICE_UNAVAILABLE,
        "durability: Redis may lose what it acknowledged: `appendfsync`",
    )
    .await?;
    redis.command("CONFIG SET appendfsync always").await?;
    until(portal_admin, StatusCode::OK, "store: ok").await
}
