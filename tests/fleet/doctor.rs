//! `isochrone doctor` on a fleet.

use anyhow::{Context, Result};
use isochrone_testkit::servers::{RabbitServer, RedisServer};
use isochrone_testkit::{Server, ServerOptions, eventually};
use serde_json::Value;

use crate::BINARY;

/// What the doctor says of one thing: the verdict, what was found, what to do.
fn told(options: &ServerOptions, what: &str) -> Result<(String, String, String)> {
    // It ends with a failure where something is bad.
    let output = options.cli(&["--output", "json", "doctor"], "")?;
    let checks: Value = serde_json::from_slice(&output.stdout)?;
    let check = checks.as_array().into_iter().flatten().find(|check| check["what"] == what);
    let check = check.with_context(|| format!("nothing of {what}: {checks}"))?;
    let text = |name: &str| check[name].as_str().unwrap_or_default().to_owned();
    Ok((text("verdict"), text("found"), text("advice")))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_names_what_a_fleet_lacks() -> Result<()> {
    let (redis, rabbit) = tokio::try_join!(RedisServer::start(), RabbitServer::start())?;
    let dir = tempfile::tempdir()?;
    let options = |name: &str| {
        ServerOptions::new(BINARY, dir.path().join(name))
            .env("ISOCHRONE_REDIS_URL", redis.url())
            .env("ISOCHRONE_AMQP_URL", rabbit.url())
    };
    let scheduler = options("scheduler").command(&["scheduler", "--http", "127.0.0.1:0"]);
    let server = Server::start(&scheduler).await?.sign_in().await?;
    assert_eq!(told(&scheduler, "workers")?.0, "warning", "there is none, and nothing for one to do");
    let hourly = [("minute", "0"), ("hour", "*"), ("dayOfMonth", "*"), ("month", "*"), ("dayOfWeek", "?")];
    let report = r#"{"reportType":"org","reportSubType":"users","title":"U"}"#;
    server.create_task(&[&hourly[..], &[("type", "ExecuteReport"), ("parameters", report)]].concat()).await?;
    let (verdict, found, advice) = told(&scheduler, "workers")?;
    assert!(verdict == "bad" && found.contains("ExecuteReport"), "{found}");
    assert_eq!(advice, "start one: isochrone worker --types ExecuteReport");

    let worker = options("worker").command(&["worker", "--types", "ExecuteReport"]);
    let _worker = Server::start(&worker).await?;
    eventually(
        "the worker to be seen",
        async || Ok((told(&scheduler, "workers")?.0 == "good").then_some(())),
    )
    .await?;
    let (verdict, found, _) = told(&scheduler, "queue")?;
    assert!(verdict == "warning" && found.starts_with("RabbitMQ 3.") && found.contains("guest"), "{found}");
    let (verdict, found, _) = told(&scheduler, "clocks")?;
    assert!(verdict == "good" && found.contains("Redis's clock"), "{found}");
    assert_eq!(told(&scheduler, "store")?.0, "good");
    Ok(())
}
