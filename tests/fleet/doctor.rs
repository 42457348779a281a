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
    let (verdict, found, _) = told(&scheduler, "store")?;
    assert!(verdict == "good" && found.contains("one server"), "{found}");

    // The first replica, and what goes with it.
    let _replica = redis.start_replica(&[]).await?;
    let (verdict, found, _) = told(&scheduler, "store")?;
    assert!(verdict == "bad" && found.contains("CONFIG SET min-replicas-to-write 1"), "{found}");
    let allowed = scheduler.clone().env("ISOCHRONE__REDIS__ALLOW_WEAK_DURABILITY", true);
    let (verdict, found, advice) = told(&allowed, "store")?;
    assert!(verdict == "warning" && found.contains("`min-replicas-to-write` is `0`"), "{found}");
    assert!(advice.contains("redis.allow_weak_durability"), "{advice}");
    redis.command("CONFIG SET min-replicas-to-write 1").await?;
    let (verdict, found, _) = told(&scheduler, "store")?;
    assert!(verdict == "good" && found.contains("waits for 1 of the replicas"), "{found}");
    Ok(())
}

/// A worker with an artifacts' folder of this name, in a fleet that is there.
async fn worker(dir: &std::path::Path, fleet: &ServerOptions, name: &str, folder: &str) -> Result<Server> {
    let options = ServerOptions { data_dir: dir.join(name), ..fleet.clone() };
    let options = options.env("ISOCHRONE__ARTIFACTS__DIR", dir.join(folder).display());
    Server::start(&options.command(&["worker"])).await
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_do_not_share_their_artifacts_are_told_of() -> Result<()> {
    let (redis, rabbit) = tokio::try_join!(RedisServer::start(), RabbitServer::start())?;
    let dir = tempfile::tempdir()?;
    let fleet = ServerOptions::new(BINARY, dir.path().join("commands"))
        .env("ISOCHRONE_REDIS_URL", redis.url())
        .env("ISOCHRONE_AMQP_URL", rabbit.url());
    let warns = |name: &str| -> Result<bool> {
        let log = std::fs::read_to_string(dir.path().join(name).with_extension("log"))?;
        Ok(log.contains("another folder than this one (artifacts.dir)"))
    };
    let _first = worker(dir.path(), &fleet, "first", "shared").await?;
    let second = worker(dir.path(), &fleet, "second", "shared").await?;
    let found = eventually("both to be seen", async || {
        let listed = fleet.cli_json(&["fleet"])?;
        Ok((listed.as_array().map(Vec::len) == Some(2)).then_some(listed))
    })
    .await?;
    assert!(found[0]["artifacts"].is_string() && found[0]["artifacts"] == found[1]["artifacts"], "{found}");
    assert_eq!(told(&fleet, "artifacts")?.0, "good");
    assert!(!warns("second")?);
    anyhow::ensure!(second.terminate().await?, "it ends");

    let _third = worker(dir.path(), &fleet, "third", "own").await?;
    assert!(warns("third")?, "it is said when it starts");
    let (verdict, found, advice) = told(&fleet, "artifacts")?;
    assert!(
        verdict == "warning" && found.contains("not all processes") && advice.contains("artifacts.dir"),
        "{found}"
    );
    let listed = fleet.cli(&["fleet"], "")?;
    assert!(String::from_utf8_lossy(&listed.stderr).contains("2 different folders"), "{listed:?}");
    Ok(())
}
