//! What is secret of tasks lies sealed in both stores, and is as it was for those who may read it.

use anyhow::{Context, Result, ensure};
use isochrone_testkit::fleet::{Fleet, TASKS, never};
use isochrone_testkit::{Server, ServerOptions};
use serde_json::Value;

use crate::places::{files_with, holds, redis_contents};
use crate::{BINARY, KEY, NEXT_KEY};

const SECRET: &str = "canary-parameter-81c2";
const URL_SECRET: &str = "canary-url-81c2";

fn form() -> Vec<(&'static str, &'static str)> {
    let mut form = never("sealed");
    form.retain(|(name, _)| *name != "parameters");
    form.push((
        "parameters",
        r#"{"reportType":"org","reportSubType":"content","note":"canary-parameter-81c2"}"#,
    ));
    form.push(("taskURL", "https://gis.example.com/server/rest/services/A/GPServer/B?token=canary-url-81c2"));
    form
}

async fn shown(server: &Server, task: &str) -> Result<Value> {
    server.get(&format!("{TASKS}/{task}"), &[]).await
}

fn shows_all(task: &Value) -> bool {
    task["parameters"]["note"] == SECRET
        && task["taskUrl"].as_str().is_some_and(|url| url.ends_with(URL_SECRET))
}

#[tokio::test(flavor = "multi_thread")]
async fn embedded_the_file_holds_no_parameter_and_its_owner_sees_them() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let plain = ServerOptions::new(BINARY, dir.path().join("data"))
        .env("ISOCHRONE__EGRESS__SERVERS", "https://gis.example.com");
    let options = plain.clone().env("ISOCHRONE_SECRETS_KEY", KEY);
    let server = Server::start(&options).await?.sign_in().await?;
    let task = server.create_task(&form()).await?;
    assert!(shows_all(&shown(&server, &task).await?), "{}", shown(&server, &task).await?);
    // Each way of writing a task again: a change, a run that is asked for, its end.
    server.post(&format!("{TASKS}/{task}/update"), &[("title", "Another title")]).await?;
    options.cli_json(&["task", "run", "--wait", &task]).or_else(|error| {
        // How it ends does not matter.
        ensure!(error.to_string().contains("no JSON") || error.to_string().contains("task"), "{error}");
        Ok(Value::Null)
    })?;
    assert!(shows_all(&shown(&server, &task).await?));
    ensure!(server.terminate().await?, "it ends");
    for secret in [SECRET, URL_SECRET] {
        assert_eq!(files_with(dir.path(), secret)?, Vec::<std::path::PathBuf>::new());
    }

    let server = Server::start(&options).await?.sign_in().await?;
    assert!(shows_all(&shown(&server, &task).await?), "after a restart");
    ensure!(server.terminate().await?, "it ends");

    let id = key_id(&options)?;
    for (what, other) in
        [("no key", plain.clone()), ("another key", plain.env("ISOCHRONE_SECRETS_KEY", NEXT_KEY))]
    {
        for command in [&["task", "list"][..], &["up"]] {
            let refused = other.cli(command, "")?;
            let said = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert!(!refused.status.success(), "{what}: {command:?}");
            assert!(said.contains(&id) && said.contains("secrets.key_file"), "{what}: {said}");
        }
    }
    Ok(())
}

/// The id of the key that seals.
fn key_id(options: &ServerOptions) -> Result<String> {
    let status = options.cli_json(&["keys", "status"])?;
    let sealing = status.as_array().context("a list")?.iter().find(|row| row["seals"] == true);
    Ok(sealing.and_then(|row| row["key"].as_str()).context("a key that seals")?.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_fleet_redis_holds_no_parameter_and_its_owner_sees_them() -> Result<()> {
    let mut fleet = Fleet::start(BINARY, 1).await?;
    fleet.env("ISOCHRONE_SECRETS_KEY", KEY);
    let scheduler = fleet.scheduler().await?;
    let _worker = fleet.worker(2).await?;
    let task = scheduler.create_task(&form()).await?;
    scheduler.post(&format!("{TASKS}/{task}/update"), &[("title", "Another title")]).await?;
    fleet.options().cli(&["task", "run", "--wait", &task], "")?;
    assert!(shows_all(&shown(&scheduler, &task).await?));
    let contents = redis_contents(&fleet.redis.url()).await?;
    assert!(contents.iter().any(|(_, bytes)| holds(bytes, "sealed:1:")));
    for (key, bytes) in contents {
        for secret in [SECRET, URL_SECRET] {
            assert!(!holds(&bytes, secret), "{key} holds {secret}");
        }
    }
    let refused = fleet.options().env("ISOCHRONE_SECRETS_KEY", NEXT_KEY).cli(&["task", "list"], "")?;
    assert!(!refused.status.success(), "another key");
    Ok(())
}
