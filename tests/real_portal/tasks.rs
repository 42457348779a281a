//! Tasks as their owners make them.

use anyhow::{Context, Result};
use isochrone_testkit::{Server, eventually_within};
use serde_json::{Value, json};
use std::time::Duration;

/// The first test that needs a kernel makes the Python environment.
const WITH_PIP: Duration = Duration::from_mins(5);

/// A notebook of one cell.
pub(crate) fn notebook(source: &str) -> String {
    json!({"cells": [{"cell_type": "code", "id": "c0", "execution_count": null, "outputs": [], "metadata": {},
                      "source": source}],
           "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}},
           "nbformat": 4, "nbformat_minor": 5})
    .to_string()
}

/// What createTask answers to a daily one.
pub(crate) async fn create(
    server: &Server,
    owner: &str,
    token: &str,
    more: &[(&str, &str)],
) -> Result<Value> {
    let cron = [("minute", "0"), ("hour", "3"), ("dayOfMonth", "*"), ("month", "*"), ("dayOfWeek", "?")];
    let form = [&cron[..], &[("token", token)], more].concat();
    server.post(&format!("/portal/sharing/rest/community/users/{owner}/tasks/createTask"), &form).await
}

/// Runs a notebook of the owner's once; gives the ended run.
pub(crate) async fn run_notebook(server: &Server, owner: &str, token: &str, item: &str) -> Result<Value> {
    let made = create(server, owner, token, &[("type", "ExecuteNotebook"), ("itemId", item)]).await?;
    let task = made["taskId"].as_str().with_context(|| format!("createTask answered {made}"))?;
    run_task(server, &format!("/sharing/rest/community/users/{owner}/tasks/{task}"), token).await
}

/// Runs a task once; gives the ended run.
pub(crate) async fn run_task(server: &Server, task: &str, token: &str) -> Result<Value> {
    let asked = server.post(&format!("{task}/run"), &[("token", token)]).await?;
    let run = asked["runId"].as_str().with_context(|| format!("{asked}"))?;
    eventually_within(WITH_PIP, "the notebook's run to end", async || {
        let run = server.get(&format!("{task}/runs/{run}"), &[("token", token)]).await?;
        Ok(run["endTime"].is_i64().then_some(run))
    })
    .await
}
