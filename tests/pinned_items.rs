//! A notebook of a publisher's that an administrator has scheduled: what it does is what the administrator saw.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use isochrone_testkit::{Server, ServerOptions, eventually_within};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_isochrone");
/// The first test that needs a kernel makes the Python environment.
const WITH_PIP: Duration = Duration::from_mins(5);
const TASKS: &str = "/sharing/rest/community/users/admin/tasks";

fn notebook(source: &str, output: &str) -> String {
    json!({"cells": [{"cell_type": "code", "id": "a", "execution_count": null, "metadata": {}, "source": source,
                      "outputs": [{"output_type": "stream", "name": "stdout", "text": output}]}],
           "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}},
           "nbformat": 4, "nbformat_minor": 5})
    .to_string()
}

/// A server, and a publisher who is signed in there.
struct Fixture {
    _dir: tempfile::TempDir,
    options: ServerOptions,
    server: Server,
    client: reqwest::Client,
    ann: String,
}

impl Fixture {
    async fn new() -> Result<Fixture> {
        let dir = tempfile::tempdir()?;
        let options = ServerOptions::new(BINARY, dir.path().join("data")).shared_python()?;
        let password = "rain on a tin roof";
        let added =
            options.cli(&["user", "add", "ann", "--role", "publisher", "--password-stdin"], password)?;
        ensure!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
        let server = Server::start(&options).await?.sign_in().await?;
        let url = format!("{}/sharing/rest/generateToken", server.url);
        let form = [("username", "ann"), ("password", password), ("f", "json")];
        let client = reqwest::Client::new();
        let given: Value = client.post(url).form(&form).send().await?.json().await?;
        let ann = given["token"].as_str().with_context(|| format!("{given}"))?.to_owned();
        Ok(Fixture { _dir: dir, options, server, client, ann })
    }

    /// Asks for something as ann.
    async fn ann(&self, path: &str, form: &[(&str, &str)]) -> Result<Value> {
        let url = format!("{}/sharing/rest/content/users/ann/{path}", self.server.url);
        let form = [form, &[("f", "json"), ("token", self.ann.as_str())]].concat();
        let answer: Value = self.client.post(url).form(&form).send().await?.json().await?;
        ensure!(answer["success"] == true, "{path}: {answer}");
        Ok(answer)
    }

    /// Puts a notebook into ann's item.
    async fn update(&self, item: &str, data: &str) -> Result<()> {
        self.ann(&format!("items/{item}/update"), &[("text", data)]).await.map(drop)
    }

    /// Runs a task of the administrator's, to its end.
    async fn run(&self, task: &str) -> Result<Value> {
        let asked = self.server.post(&format!("{TASKS}/{task}/run"), &[]).await?;
        let run = asked["runId"].as_str().with_context(|| format!("{asked}"))?.to_owned();
        eventually_within(WITH_PIP, "the run to end", || async {
            let run = self.server.get(&format!("{TASKS}/{task}/runs/{run}"), &[]).await?;
            Ok(run["endTime"].is_i64().then_some(run))
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_publisher_makes_of_it_later_does_not_run_as_the_administrator() -> Result<()> {
    let fixture = Fixture::new().await?;
    let first = notebook("print('first')", "");
    let form = [("title", "chart"), ("type", "Notebook"), ("access", "org"), ("text", &first)];
    let added = fixture.ann("addItem", &form).await?;
    let item = added["id"].as_str().context("an id")?;
    let yearly = [
        ("type", "ExecuteNotebook"),
        ("itemId", item),
        ("minute", "0"),
        ("hour", "0"),
        ("dayOfMonth", "29"),
        ("month", "2"),
        ("dayOfWeek", "?"),
    ];
    let task = fixture.server.create_task(&yearly).await?;
    let show = async || fixture.server.get(&format!("{TASKS}/{task}"), &[]).await;
    let pinned = show().await?;
    assert_eq!((&pinned["itemChanges"], &pinned["pinnedItem"]["by"]), (&json!("pinned"), &json!("ann")));

    let run = fixture.run(&task).await?;
    assert_eq!(run["status"], "succeeded", "{run}");
    assert_eq!(run["item"]["digest"], pinned["pinnedItem"]["digest"], "{run}");
    assert_eq!(run["item"]["owner"], "ann", "{run}");

    // Its outputs and its title are others: it does the same.
    fixture.update(item, &notebook("print('first')", "first\n")).await?;
    fixture.ann(&format!("items/{item}/update"), &[("title", "another")]).await?;
    let saved = fixture.run(&task).await?;
    assert_eq!(saved["status"], "succeeded", "{saved}");
    assert_eq!(saved["item"]["digest"], run["item"]["digest"]);
    ensure!(saved["item"]["modified"].as_i64() > run["item"]["modified"].as_i64(), "{saved}");

    fixture.update(item, &notebook("print('second')", "")).await?;
    for _ in 0..6 {
        let refused = fixture.run(&task).await?;
        assert_eq!(
            (&refused["status"], &refused["reason"]),
            (&json!("submitfailed"), &json!("item_changed")),
            "{refused}"
        );
        let told = refused["result"].as_str().unwrap_or_default();
        ensure!(told.contains("was changed by ann at 20") && told.contains("task accept"), "{refused}");
        ensure!(refused["item"]["digest"] != run["item"]["digest"], "{refused}");
    }
    let shown = show().await?;
    assert_eq!(
        (&shown["taskState"], &shown["consecutiveFailures"]),
        (&json!("active"), &json!(0)),
        "{shown}"
    );

    // Another change of the task agrees to nothing; accepting does.
    fixture.server.post(&format!("{TASKS}/{task}/update"), &[("title", "t"), ("itemId", item)]).await?;
    assert_eq!(fixture.run(&task).await?["reason"], "item_changed");
    let accepted = fixture.options.cli_json(&["task", "accept", &task])?;
    assert_ne!(accepted["pinnedItem"]["digest"], pinned["pinnedItem"]["digest"]);
    let run = fixture.run(&task).await?;
    assert_eq!(run["status"], "succeeded", "{run}");
    let log = format!("{TASKS}/{task}/runs/{}/log", run["runId"].as_str().unwrap_or_default());
    ensure!(fixture.server.get(&log, &[]).await?.to_string().contains("second"));

    fixture.update(item, &notebook("print('third')", "")).await?;
    assert_eq!(fixture.run(&task).await?["reason"], "item_changed");
    let digest = ("digest", pinned["pinnedItem"]["digest"].as_str().unwrap_or_default());
    let stale = fixture.server.post(&format!("{TASKS}/{task}/accept"), &[digest]).await?;
    assert_eq!(stale["error"]["code"], 409, "{stale}");
    assert_eq!(fixture.server.post(&format!("{TASKS}/{task}/accept"), &[]).await?["success"], true);
    assert_eq!(fixture.run(&task).await?["status"], "succeeded");

    fixture.server.post(&format!("{TASKS}/{task}/update"), &[("itemChanges", "follow")]).await?;
    fixture.update(item, &notebook("print('fourth')", "")).await?;
    let followed = fixture.run(&task).await?;
    assert_eq!(followed["status"], "succeeded", "{followed}");
    let by_command =
        fixture.options.cli_json(&["run", "show", followed["runId"].as_str().context("an id")?])?;
    assert_eq!(by_command["item"]["digest"], followed["item"]["digest"]);
    ensure!(fixture.server.terminate().await?);
    Ok(())
}
