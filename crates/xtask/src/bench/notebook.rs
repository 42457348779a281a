//! Executing notebooks on a real server, from the request to the end of the run, beside nbclient alone in the same
//! Python environment.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use isochrone_testkit::{Server, ServerOptions, shared_python};
use serde_json::{Value, json};

/// So often, of which the quickest counts.
const TIMES: usize = 3;

/// How long the first run may take, which builds the environment, and any other.
const PATIENCE: Duration = Duration::from_mins(10);

/// Between two looks at a run.
const LOOK: Duration = Duration::from_millis(20);

const TASKS: &str = "/sharing/rest/community/users/admin/tasks";

const ALONE: &str = "
import sys, nbformat
from nbclient import NotebookClient
NotebookClient(nbformat.read(sys.argv[1], as_version=4), timeout=None, kernel_name='python3').execute()
";

pub(crate) async fn measure(options: ServerOptions) -> Result<()> {
    let options = options.shared_python()?.env("ISOCHRONE__NOTEBOOK__OUTPUT_MIB", 64);
    let server = Server::start(&options).await?.sign_in().await?;
    let folder = tempfile::tempdir()?;
    let write = |name: &str, content: &str| -> Result<PathBuf> {
        let path = folder.path().join(name);
        std::fs::write(&path, content)?;
        Ok(path)
    };
    let small: Vec<String> = (0..2_000).map(|number| format!("x = {number}\nx")).collect();
    let large = crate::root().join("crates/executors/tests/notebook/cases/many_bigout.ipynb");
    let first = write("first.ipynb", &notebook(&["1".to_owned()]))?;
    on_the_server(&server, &add(&server, &options, &first).await?).await?;
    let python = python()?;
    for (name, file) in [
        ("one small cell", first),
        ("2,000 small cells", write("small.ipynb", &notebook(&small))?),
        ("300 cells beside 15 MB", large),
    ] {
        let task = add(&server, &options, &file).await?;
        let (mut alone, mut here) = (f64::MAX, f64::MAX);
        for _ in 0..TIMES {
            alone = alone.min(with_nbclient(&python, &file)?);
            here = here.min(on_the_server(&server, &task).await?);
        }
        println!("{name}: nbclient alone {alone:.2} s, Isochrone {here:.2} s, {:.2} times", here / alone);
    }
    server.terminate().await?;
    Ok(())
}

fn notebook(sources: &[String]) -> String {
    let cell = |source| json!({"cell_type": "code", "metadata": {}, "source": source, "outputs": [], "execution_count": null});
    let cells: Vec<Value> = sources.iter().map(cell).collect();
    let kernel = json!({"name": "python3", "display_name": "Python 3", "language": "python"});
    json!({"nbformat": 4, "nbformat_minor": 4, "metadata": {"kernelspec": kernel}, "cells": cells})
        .to_string()
}

/// A task that executes this notebook and is never due.
async fn add(server: &Server, options: &ServerOptions, file: &Path) -> Result<String> {
    let file = file.to_str().context("a path of text")?;
    let added = options.cli_json(&["item", "add", file, "--title", "Measured"])?;
    let item = added["id"].as_str().with_context(|| format!("an item: {added}"))?.to_owned();
    let mut form: Vec<(&str, &str)> = super::idle::yearly("Measured").to_vec();
    form.retain(|(name, _)| !["type", "parameters"].contains(name));
    form.extend([("type", "ExecuteNotebook"), ("itemId", &item)]);
    server.create_task(&form).await
}

/// Seconds from the request to the end of the run.
async fn on_the_server(server: &Server, task: &str) -> Result<f64> {
    let began = Instant::now();
    let run = server.post(&format!("{TASKS}/{task}/run"), &[]).await?;
    let run = run["runId"].as_str().with_context(|| format!("run now: {run}"))?.to_owned();
    let url = format!("{TASKS}/{task}/runs/{run}");
    loop {
        let run = server.get(&url, &[]).await?;
        if run["endTime"].is_i64() {
            ensure!(run["status"] == "succeeded", "{run}");
            return Ok(began.elapsed().as_secs_f64());
        }
        ensure!(began.elapsed() < PATIENCE, "it does not end: {run}");
        tokio::time::sleep(LOOK).await;
    }
}

fn with_nbclient(python: &Path, file: &Path) -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let began = Instant::now();
    let status = Command::new(python)
        .args(["-c", ALONE])
        .arg(file)
        .env("IPYTHONDIR", folder.path())
        .current_dir(folder.path())
        .status()?;
    ensure!(status.success(), "nbclient: {status}");
    Ok(began.elapsed().as_secs_f64())
}

/// That of the environment without further packages, which was used last.
fn python() -> Result<PathBuf> {
    let mut found: Vec<(std::time::SystemTime, PathBuf)> = Vec::new();
    for entry in std::fs::read_dir(shared_python())?.flatten() {
        let Ok(text) = std::fs::read(entry.path().join("environment.json")) else { continue };
        let manifest: Value = serde_json::from_slice(&text)?;
        if manifest["requirements"] == json!([]) {
            found.push((entry.path().join("lock").metadata()?.modified()?, entry.path()));
        }
    }
    let (_, folder) = found.into_iter().max().context("no environment was built")?;
    Ok(folder.join("env/bin/python"))
}
