//! A server that was killed while a notebook had set traps for it: the next one is ready at once, and the traps go.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use isochrone_testkit::{Server, ServerOptions, eventually, eventually_within};
use serde_json::json;

const BINARY: &str = env!("CARGO_BIN_EXE_isochrone");
const TASKS: &str = "/sharing/rest/community/users/admin/tasks";
const ITEM: &str = "029b61ca770e428d9468a2a55f40b9fb";
/// The first test that needs a kernel makes the Python environment.
const WITH_PIP: Duration = Duration::from_mins(5);
/// As it is promised, whatever a notebook left.
const READY: Duration = Duration::from_secs(2);
const SECRET: &str = "isochrone-test-canary";

/// Puts what blocks, misleads or takes long in its own folder and, where it can, in the folders around it.
const TRAPS: &str = r#"
import os, time
here = os.getcwd()
for folder in ["..", ".", "../..", "../../.."]:
    for name in ["lock", "output.ipynb", "run-trap", "run-other/lock"]:
        path = f"{folder}/{name}"
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if os.path.lexists(path):
                os.remove(path)
            os.mkfifo(path)
        except OSError:
            pass
    for name, target in [("run-link", "/proc/self"), ("run-secret", SECRET), ("lock.link", SECRET)]:
        try:
            os.symlink(target, f"{folder}/{name}")
        except OSError:
            pass
os.makedirs("many")
for number in range(20_000):
    open(f"many/{number}", "w").close()
with open("sparse", "w") as file:
    file.truncate(1 << 30)
os.makedirs("closed/inner")
for folder in ["closed/inner", "closed", "many", "../home", "../tmp", "..", "."]:
    os.chmod(folder, 0)
print("traps are", "set", flush=True)
time.sleep(1000)
"#;

fn notebook(secret: &Path) -> String {
    let source = TRAPS.replace("SECRET", &format!("{:?}", secret.display().to_string()));
    let cell = json!({"cell_type": "code", "id": "c", "execution_count": null, "outputs": [], "metadata": {},
                      "source": source});
    let metadata = json!({"kernelspec": {"name": "python3", "display_name": "Python 3"}});
    json!({"cells": [cell], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}).to_string()
}

/// What looks like a run's folder.
fn folders(options: &ServerOptions) -> Vec<PathBuf> {
    let found = std::fs::read_dir(options.data_dir.join("tmp")).into_iter().flatten().flatten();
    found
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("run-"))
        .map(|entry| entry.path())
        .collect()
}

async fn killed_and_started_again(isolation: &str) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let options = ServerOptions::new(BINARY, dir.path().join("data"))
        .shared_python()?
        .env("ISOCHRONE__NOTEBOOK__ISOLATION", isolation);
    let secret = dir.path().join("secret");
    std::fs::write(&secret, SECRET)?;
    let file = dir.path().join("traps.ipynb");
    std::fs::write(&file, notebook(&secret))?;
    let file = file.to_str().context("a path of text")?;
    let added = options.cli(&["item", "add", file, "--id", ITEM, "--title", "Traps"], "")?;
    ensure!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));

    let server = Server::start(&options).await?.sign_in().await?;
    let form = [
        ("type", "ExecuteNotebook"),
        ("itemId", ITEM),
        ("minute", "0"),
        ("hour", "0"),
        ("dayOfMonth", "1"),
        ("month", "1"),
        ("dayOfWeek", "?"),
        // It does not begin again.
        ("crashPolicy", "atMostOnce"),
    ];
    let task = server.create_task(&form).await?;
    let run = server.post(&format!("{TASKS}/{task}/run"), &[]).await?;
    let run = run["runId"].as_str().with_context(|| format!("run now: {run}"))?.to_owned();
    let log = format!("{TASKS}/{task}/runs/{run}/log");
    eventually_within(WITH_PIP, "the traps to be set", async || {
        let text = server.get(&log, &[]).await?.to_string();
        Ok(text.contains("traps are set").then_some(()))
    })
    .await?;
    server.kill()?;
    ensure!(!folders(&options).is_empty(), "the dead run's folder is there");

    let server = Server::start(&options).await?;
    ensure!(server.ready_after < READY, "{isolation}: ready after {:?}", server.ready_after);
    eventually_within(Duration::from_mins(1), "the dead run's folder to be removed", async || {
        Ok(folders(&options).is_empty().then_some(()))
    })
    .await?;
    let told = eventually("a line on the sweep", async || {
        let told = std::fs::read_to_string(options.data_dir.with_extension("log"))?;
        Ok(told.contains("folders of dead runs are swept").then_some(told))
    })
    .await?;
    ensure!(!told.contains(SECRET), "{told}");
    ensure!(std::fs::read_to_string(&secret)? == SECRET, "what lies outside stays as it is");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_after_a_kill_is_quick_whatever_an_isolated_notebook_left() -> Result<()> {
    killed_and_started_again("auto").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_after_a_kill_is_quick_whatever_an_unconfined_notebook_left() -> Result<()> {
    killed_and_started_again("none").await
}
