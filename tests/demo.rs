//! What people try first: the demo, and the simulated ArcGIS of `isochrone sandbox`.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use isochrone_testkit::{Server, ServerOptions, eventually_within};

const BINARY: &str = env!("CARGO_BIN_EXE_isochrone");
/// The sample notebook, whose id the sandbox prints.
const NOTEBOOK: &str = "69736f6368726f6e652d64656d6f2d31";
/// The first test that needs a kernel makes the Python environment.
const WITH_PIP: Duration = Duration::from_mins(5);

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_runs_a_task_of_each_type() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let options = ServerOptions::new(BINARY, dir.path().join("data")).shared_python()?;
    let options = options.command(&["up", "--demo", "--http", "127.0.0.1:0"]);
    // The second one finds the tasks of the first, and other servers.
    for start in 1..=2 {
        let server = Server::start(&options).await?.sign_in().await?;
        let succeeded = eventually_within(WITH_PIP, "a run of each type", async || {
            let list = server
                .get("/sharing/rest/community/users/admin/tasks", &[("num", "100"), ("start", "1")])
                .await?;
            let tasks = list["tasks"].as_array().cloned().unwrap_or_default();
            let mut succeeded = BTreeSet::new();
            for task in &tasks {
                let id = task["id"].as_str().context("an id")?;
                let runs = format!("/sharing/rest/community/users/admin/tasks/{id}/runs");
                let runs = server.get(&runs, &[]).await?;
                let runs = runs["runs"].as_array().cloned().unwrap_or_default();
                let good = |run: &&serde_json::Value| run["status"] == "succeeded";
                let enough = if task["type"] == "ExecuteNotebook" { start } else { 1 };
                if runs.iter().filter(good).count() >= enough {
                    succeeded.insert(task["type"].as_str().unwrap_or_default().to_owned());
                }
            }
            Ok((succeeded.len() == 6).then_some(tasks.len()))
        })
        .await?;
        assert_eq!(succeeded, 6, "start {start}");
        server.kill()?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sandbox_is_a_portal_to_stand_in_front_of() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let options = ServerOptions::new(BINARY, dir.path().join("data")).shared_python()?;
    let file = dir.path().join("sandbox.toml");
    let mut sandbox = Command::new(BINARY)
        .arg("--data-dir")
        .arg(&options.data_dir)
        .args(["sandbox", "--write"])
        .arg(&file)
        .stdout(Stdio::null())
        .spawn()?;
    let ran = beside(&options, &file).await;
    sandbox.kill()?;
    sandbox.wait()?;
    ran
}

async fn beside(options: &ServerOptions, file: &std::path::Path) -> Result<()> {
    eventually_within(WITH_PIP, "the sandbox", async || Ok(file.exists().then_some(()))).await?;
    let name = file.to_str().context("a path of text")?;
    let options = options.clone().command(&["--config", name, "up", "--http", "127.0.0.1:0"]);
    let server = Server::start(&options).await?;
    let form = [
        ("username", "siteadmin"),
        ("password", "site-password"),
        ("client", "requestip"),
        ("expiration", "60"),
    ];
    let signed_in = server.post("/sharing/rest/generateToken", &form).await?;
    let token = signed_in["token"].as_str().with_context(|| format!("{signed_in}"))?;
    let users = "/sharing/rest/community/users/siteadmin";
    let form = [
        ("type", "ExecuteNotebook"),
        ("itemId", NOTEBOOK),
        ("minute", "0"),
        ("hour", "0"),
        ("dayOfMonth", "29"),
        ("month", "2"),
        ("dayOfWeek", "?"),
        ("token", token),
    ];
    let made = server.post(&format!("{users}/createTask"), &form).await?;
    let task = format!("{users}/tasks/{}", made["taskId"].as_str().with_context(|| format!("{made}"))?);
    server.post(&format!("{task}/run"), &[("token", token)]).await?;
    let run = eventually_within(WITH_PIP, "the run to end", async || {
        let runs = server.get(&format!("{task}/runs"), &[("token", token)]).await?;
        Ok(runs["runs"][0]["endTime"].is_i64().then(|| runs["runs"][0].clone()))
    })
    .await?;
    ensure!(run["status"] == "succeeded", "{run}");
    ensure!(run["result"].as_str().is_some_and(|result| result.contains("notebookServer")), "{run}");
    Ok(())
}
