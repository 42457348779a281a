//! From createTask to a finished run, as a client sees it: the real binary, a real store, a real kernel.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use isochrone_testkit::{Ledger, Server, ServerOptions, eventually, eventually_within};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_isochrone");
const TASKS: &str = "/sharing/rest/community/users/admin/tasks";
const ITEM: &str = "029b61ca770e428d9468a2a55f40b9fb";
/// The first test that needs a kernel makes the Python environment.
const WITH_PIP: Duration = Duration::from_mins(5);

struct Place {
    _dir: tempfile::TempDir,
    options: ServerOptions,
}

fn place() -> Result<Place> {
    let dir = tempfile::tempdir()?;
    let options = ServerOptions::new(BINARY, dir.path().join("data")).shared_python()?;
    Ok(Place { _dir: dir, options })
}

fn notebook(cells: &[(&str, &[&str])]) -> String {
    let cells: Vec<Value> = cells
        .iter()
        .enumerate()
        .map(|(n, (source, tags))| {
            json!({"cell_type": "code", "id": format!("c{n}"), "execution_count": null, "outputs": [],
                   "metadata": {"tags": tags}, "source": source})
        })
        .collect();
    json!({"cells": cells, "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}},
           "nbformat": 4, "nbformat_minor": 5})
    .to_string()
}

fn add_notebook(options: &ServerOptions, source: &str) -> Result<()> {
    let file = options.data_dir.with_extension("ipynb");
    std::fs::write(&file, source)?;
    let file = file.to_str().context("a path of text")?;
    let added = options.cli(&["item", "add", file, "--id", ITEM, "--title", "Sums"], "")?;
    ensure!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    Ok(())
}

fn minutely<'a>(kind: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut form = vec![
        ("type", kind),
        ("minute", "*/1"),
        ("hour", "*"),
        ("dayOfMonth", "*"),
        ("month", "*"),
        ("dayOfWeek", "?"),
    ];
    form.extend_from_slice(more);
    form
}

async fn runs(server: &Server, task: &str) -> Result<Vec<Value>> {
    let answer = server.get(&format!("{TASKS}/{task}/runs"), &[("num", "100")]).await?;
    Ok(answer["runs"].as_array().with_context(|| format!("no runs: {answer}"))?.clone())
}

fn count(runs: &[Value], status: &str) -> usize {
    runs.iter().filter(|run| run["status"] == status).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notebook_runs_on_schedule_and_its_results_can_be_read() -> Result<()> {
    let place = place()?;
    add_notebook(
        &place.options,
        &notebook(&[("numbers = []", &["parameters"]), ("print('the sum is', sum(numbers))", &[])]),
    )?;
    // A minute takes six seconds: longer than the notebook.
    let options = place.options.clone().clock(10);
    let server = Server::start(&options).await?.sign_in().await?;
    let parameters = r#"{"notebookParameters":{"numbers":[40,2]},"saveInjectedParameters":true}"#;
    let form = minutely(
        "ExecuteNotebook",
        &[
            ("itemId", ITEM),
            ("title", "Sums"),
            ("parameters", parameters),
            ("maxOccurrences", "2"),
            ("overlapPolicy", "queue"),
        ],
    );
    let task = server.create_task(&form).await?;
    let seen = eventually_within(WITH_PIP, "two notebook runs to succeed", || async {
        let runs = runs(&server, &task).await?;
        ensure!(count(&runs, "failed") + count(&runs, "submitfailed") == 0, "{runs:#?}");
        Ok((count(&runs, "succeeded") == 2).then_some(runs))
    })
    .await?;
    let read = server.get(&format!("{TASKS}/{task}"), &[]).await?;
    assert_eq!(read.get("nextStart"), None, "the limit is reached: {read}");

    let run = seen[0]["runId"].as_str().context("a run id")?;
    let log = server.get(&format!("{TASKS}/{task}/runs/{run}/log"), &[]).await?;
    assert!(log.to_string().contains("the sum is 42"), "{log}");
    let executed = server.bytes(&format!("{TASKS}/{task}/runs/{run}/artifacts/Sums.ipynb")).await?;
    let executed: Value = serde_json::from_slice(&executed)?;
    assert!(executed.to_string().contains("the sum is 42"), "{executed}");

    let listed = options.cli_json(&["run", "list", "--task", &task])?;
    let ids = |runs: &Value| runs.as_array().map_or(0, Vec::len);
    assert_eq!(ids(&listed), 2, "the command line and the API agree: {listed}");
    let printed = options.cli(&["run", "logs", run], "")?;
    assert!(String::from_utf8(printed.stdout)?.contains("the sum is 42"));
    ensure!(server.terminate().await?);
    let ledger = Ledger::read(&options.data_dir).await?;
    assert_eq!(ledger.tasks.values().map(|fires| fires.0.len()).sum::<usize>(), 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_a_csv_that_can_be_downloaded() -> Result<()> {
    let place = place()?;
    let server = Server::start(&place.options.clone().clock(60)).await?.sign_in().await?;
    let parameters = r#"{"reportType":"org","reportSubType":"content","title":"Tasks"}"#;
    let form = minutely("ExecuteReport", &[("title", "Every task"), ("parameters", parameters)]);
    let task = server.create_task(&form).await?;
    let run = eventually("a report", || async {
        Ok(runs(&server, &task).await?.into_iter().find(|run| run["status"] == "succeeded"))
    })
    .await?;
    let run_id = run["runId"].as_str().context("a run id")?;
    let full = server.get(&format!("{TASKS}/{task}/runs/{run_id}"), &[]).await?;
    let name = full["artifacts"][0]["name"].as_str().with_context(|| format!("an artifact: {full}"))?;
    let csv = server.bytes(&format!("{TASKS}/{task}/runs/{run_id}/artifacts/{name}")).await?;
    let csv = String::from_utf8(csv)?;
    assert!(csv.starts_with("Title,") && csv.contains("Every task"), "{csv}");
    ensure!(server.terminate().await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_without_a_backend_says_which() -> Result<()> {
    let place = place()?;
    let server = Server::start(&place.options.clone().clock(60)).await?.sign_in().await?;
    for kind in ["ExecuteWorkflowManager", "UpdateInsightsWorkbook"] {
        let form = minutely(kind, &[("itemId", ITEM)]);
        let task = server.create_task(&form).await?;
        let run = eventually("a run that ends", || async {
            Ok(runs(&server, &task).await?.into_iter().find(|run| run["status"] == "submitfailed"))
        })
        .await?;
        let result = run["result"].as_str().unwrap_or_default();
        assert!(result.contains(kind), "{kind}: {run}");
    }
    ensure!(server.terminate().await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_notebook_runs_for_its_owner_alone() -> Result<()> {
    let place = place()?;
    let options = &place.options;
    for name in ["ann", "bob"] {
        let added =
            options.cli(&["user", "add", name, "--role", "publisher", "--password-stdin"], "a good one\n")?;
        ensure!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    }
    let file = options.data_dir.with_extension("ipynb");
    std::fs::write(&file, notebook(&[("print('private')", &[])]))?;
    let file = file.to_str().context("a path of text")?;
    options.cli_json(&["item", "add", file, "--id", ITEM, "--owner", "ann"])?;
    let taken = options.cli(&["item", "add", file, "--id", ITEM, "--owner", "bob"], "")?;
    ensure!(!taken.status.success(), "nobody takes another's item");
    let server = Server::start(options).await?;
    for (owner, status) in [("ann", "succeeded"), ("bob", "submitfailed")] {
        let create = [
            "task",
            "create",
            "--type",
            "ExecuteNotebook",
            "--item",
            ITEM,
            "--owner",
            owner,
            "--minute",
            "0",
            "--hour",
            "0",
            "--day-of-month",
            "29",
            "--month",
            "2",
            "--day-of-week",
            "?",
        ];
        let task = options.cli_json(&create)?;
        let run = options.cli_json(&["task", "run", task["id"].as_str().context("a task id")?])?;
        let run = run["id"].as_str().context("a run id")?;
        let ended = eventually_within(WITH_PIP, "the run to end", || async {
            let run = options.cli_json(&["run", "show", run])?;
            Ok((!run["ended"].is_null()).then_some(run))
        })
        .await?;
        assert_eq!(ended["status"], status, "{owner}: {ended}");
    }
    ensure!(server.terminate().await?);
    Ok(())
}

/// Asks the portal that `NB_AUTH_FILE` names who it is, as `GIS("home")` does.
const WHO_AM_I: &str = r#"
import json, os, ssl, urllib.request
home = json.load(open(os.environ["NB_AUTH_FILE"]))
request = urllib.request.Request(home["privatePortalUrl"] + "/sharing/rest/community/self?f=json")
request.add_header("X-Esri-Authorization", "Bearer " + home["token"])
answer = urllib.request.urlopen(request, context=ssl._create_unverified_context())
print("I am", json.load(answer)["username"], "token", home["token"])
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_notebook_acts_as_its_owner_while_it_runs() -> Result<()> {
    let place = place()?;
    let server = Server::start(&place.options).await?.sign_in().await?;
    add_notebook(&place.options, &notebook(&[(WHO_AM_I, &[])]))?;
    let task = server.create_task(&minutely("ExecuteNotebook", &[("itemId", ITEM)])).await?;
    let asked = server.post(&format!("{TASKS}/{task}/run"), &[]).await?;
    let run = format!("{TASKS}/{task}/runs/{}", asked["runId"].as_str().unwrap_or_default());
    let ended = eventually_within(WITH_PIP, "the run to end", async || {
        let run = server.get(&run, &[]).await?;
        Ok(run["endTime"].is_i64().then_some(run))
    })
    .await?;
    let log = server.get(&format!("{run}/log"), &[]).await?.to_string();
    assert!(ended["status"] == "succeeded" && log.contains("I am admin token"), "{ended}: {log}");
    // The notebook gave it away: it is worth nothing any more.
    let token = log.split("token ").nth(1).and_then(|rest| rest.get(..64)).context("the token")?;
    let url = format!("{}/sharing/rest/community/self?f=json&token={token}", server.url);
    let answer = reqwest::get(url).await?;
    assert!(answer.text().await?.contains("498"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_notebook_is_cancelled() -> Result<()> {
    let place = place()?;
    add_notebook(
        &place.options,
        &notebook(&[("print('begun', flush=True)\nimport time\ntime.sleep(3600)", &[])]),
    )?;
    let server = Server::start(&place.options).await?.sign_in().await?;
    let task = server.create_task(&minutely("ExecuteNotebook", &[("itemId", ITEM)])).await?;
    server.post(&format!("{TASKS}/{task}/disable"), &[]).await?;
    let run = server.post(&format!("{TASKS}/{task}/run"), &[]).await?;
    let run = run["runId"].as_str().with_context(|| format!("run now: {run}"))?;
    let at = format!("{TASKS}/{task}/runs/{run}");
    eventually_within(WITH_PIP, "the notebook to begin", || async {
        let log = server.get(&format!("{at}/log"), &[]).await?;
        Ok(log.to_string().contains("begun").then_some(()))
    })
    .await?;
    server.post(&format!("{at}/cancel"), &[]).await?;
    let ended = eventually("the run to end", || async {
        let run = server.get(&at, &[]).await?;
        Ok((run["status"] != "executing").then_some(run))
    })
    .await?;
    assert_eq!(ended["status"], "failed", "{ended}");
    assert!(ended["result"].as_str().unwrap_or_default().contains("cancelled"), "{ended}");
    ensure!(server.terminate().await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_server_gives_its_run_back_and_the_next_one_ends_it() -> Result<()> {
    let place = place()?;
    // Slow the first time, quick the second.
    let shared = place.options.data_dir.with_extension("shared");
    std::fs::create_dir(&shared)?;
    let marker = shared.join("marker");
    let source = format!(
        "import pathlib, time\nmarker = pathlib.Path({:?})\nif not marker.exists():\n    marker.touch()\n    \
         print('slow', flush=True)\n    time.sleep(3600)\nprint('quick')",
        marker.to_str().context("a path of text")?
    );
    add_notebook(&place.options, &notebook(&[(&source, &[])]))?;
    // Isolated notebooks write to what is listed, and nowhere else.
    let options = place
        .options
        .clone()
        .env("ISOCHRONE__WORKER__DRAIN_SECONDS", 1)
        .env("ISOCHRONE__NOTEBOOK__WRITABLE", format!("[{shared:?}]"));
    let server = Server::start(&options).await?.sign_in().await?;
    let task = server.create_task(&minutely("ExecuteNotebook", &[("itemId", ITEM)])).await?;
    server.post(&format!("{TASKS}/{task}/disable"), &[]).await?;
    let run = server.post(&format!("{TASKS}/{task}/run"), &[]).await?;
    let run = run["runId"].as_str().context("a run id")?.to_owned();
    eventually_within(WITH_PIP, "the notebook to be slow", || async { Ok(marker.exists().then_some(())) })
        .await?;
    ensure!(server.terminate().await?, "the server ends well");
    let given_back = options.cli_json(&["run", "show", &run])?;
    assert_eq!(given_back["status"], "scheduled", "{given_back}");
    let server = Server::start(&options).await?.sign_in().await?;
    let ended = eventually("the second attempt", || async {
        let run = server.get(&format!("{TASKS}/{task}/runs/{run}"), &[]).await?;
        Ok((run["status"] == "succeeded").then_some(run))
    })
    .await?;
    assert_eq!(ended["attempt"], 2, "{ended}");
    ensure!(server.terminate().await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_of_downtime_is_told_minute_by_minute() -> Result<()> {
    let place = place()?;
    // An hour takes six seconds.
    let options = place.options.clone().clock(600).env("ISOCHRONE__WORKER__LEASE_SECONDS", 2);
    let server = Server::start(&options).await?.sign_in().await?;
    let parameters = r#"{"reportType":"org","reportSubType":"users","title":"Users"}"#;
    // Overlaps allowed: the run that the kill cuts short is not what this is about.
    let form = minutely("ExecuteReport", &[("parameters", parameters), ("overlapPolicy", "allow")]);
    let task = server.create_task(&form).await?;
    eventually("a first fire", || async { Ok((!runs(&server, &task).await?.is_empty()).then_some(())) })
        .await?;
    server.kill()?;
    tokio::time::sleep(Duration::from_secs(6)).await;
    let server = Server::start(&options).await?.sign_in().await?;
    eventually("the backlog to be decided", || async {
        let ledger = Ledger::read(&options.data_dir).await?;
        let misfired = ledger.summary().into_iter().filter(|(what, _)| what.starts_with("skipped_misfire"));
        Ok((misfired.map(|(_, count)| count).sum::<usize>() >= 50).then_some(()))
    })
    .await?;
    server.post(&format!("{TASKS}/{task}/disable"), &[]).await?;
    eventually("every run to end", || async {
        let runs = options.cli_json(&["run", "list", "--limit", "100000"])?;
        let open = runs.as_array().context("runs")?.iter();
        Ok((open.filter(|run| run["ended"].is_null()).count() == 0).then_some(()))
    })
    .await?;
    ensure!(server.terminate().await?);
    let ledger = Ledger::read(&options.data_dir).await?;
    ledger.check_every_minute()?;
    let fires = &ledger.tasks.values().next().context("the task's fires")?.0;
    let last_missed =
        fires.iter().rposition(|fire| fire.reason.code() == "skipped_misfire").context("none")?;
    let latest = fires.get(last_missed + 1).context("no fire after the missed ones")?;
    let outcome = latest.outcome.context("no outcome")?.0;
    assert_eq!(outcome.name(), "succeeded", "the latest missed one ran: {:?}", ledger.summary());
    Ok(())
}
