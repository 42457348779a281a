//! ExecuteNotebook at a simulated ArcGIS Notebook Server, which really executes the notebook.

use anyhow::Result;
use isochrone_executors::notebook::{Config, PythonEnvironment};
use isochrone_sandbox::{Fault, SimulatedNotebookServer, SimulatedPortal};
use isochrone_testkit::Server;
use serde_json::{Value, json};

use crate::{Place, Running, begin, beside_portal, outcome, place};

const ITEM: &str = "029b61ca770e428d9468a2a55f40b9fb";

struct All {
    portal: SimulatedPortal,
    notebooks: SimulatedNotebookServer,
    place: Place,
    server: Server,
}

/// A house that stands in front of a portal with a Notebook Server.
async fn all() -> Result<All> {
    let All { portal, notebooks, place, server } = nobody_signed_in().await?;
    Ok(All { portal, notebooks, place, server: server.sign_in().await? })
}

async fn nobody_signed_in() -> Result<All> {
    let portal = SimulatedPortal::start().await?;
    let mut place = place(&[])?;
    place.options = beside_portal(place.options, &portal).shared_python()?;
    let environment = PythonEnvironment::new(place.options.data_dir.join("python"), &Config::default());
    let notebooks = SimulatedNotebookServer::start(&portal, environment.ready().await?).await?;
    place.options = place.options.env("ISOCHRONE__NOTEBOOK_SERVER__SERVER", notebooks.url());
    let server = Server::start(&place.options).await?;
    Ok(All { portal, notebooks, place, server })
}

fn notebook(source: &str) -> Vec<u8> {
    let cell = |source: &str, tags: Value| json!({"cell_type": "code", "id": "a", "metadata": {"tags": tags}, "source": source, "outputs": [], "execution_count": null});
    let cells = [cell("n = 1", json!(["parameters"])), cell(source, json!([]))];
    json!({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).to_string().into_bytes()
}

fn task(parameters: &str) -> [(&str, &str); 3] {
    [("type", "ExecuteNotebook"), ("itemId", ITEM), ("parameters", parameters)]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_item_is_executed_there_and_becomes_what_was_executed() -> Result<()> {
    let All { portal, notebooks, place: _place, server } = all().await?;
    portal.add_item(ITEM, "admin", "private", &[], &notebook("import time; time.sleep(3); print(n * 2)"));
    let running = begin(&server, &task(r#"{"notebookParameters": {"n": 21}}"#)).await?;
    let run = running.once("progress", |run| run["progress"]["message"] == "processing").await?;
    assert_eq!(run["status"], "executing");
    let run = running.ended().await?;
    assert_eq!(outcome(&run), ("succeeded", "done"), "{run}");
    assert!(running.log().await?.contains("Executing the notebook."));
    let executed = String::from_utf8(portal.item_data(ITEM).unwrap_or_default())?;
    assert!(executed.contains("42") && !executed.contains("n = 21"), "{executed}");
    assert_eq!(notebooks.runs(), [run["runId"].as_str().unwrap_or_default()]);

    portal.add_item(ITEM, "admin", "private", &[], &notebook("raise ValueError(f'no {n}')"));
    let run = begin(&server, &task("{}")).await?.ended().await?;
    assert_eq!(outcome(&run), ("failed", "execution_error"), "{run}");
    assert_eq!(run["result"], "ValueError: no 1");
    portal.remove_item(ITEM);
    let run = begin(&server, &task("{}")).await?.ended().await?;
    assert_eq!(outcome(&run), ("submitfailed", "bad_input"), "{run}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notebook_that_does_not_know_the_parameters_any_more_is_not_executed_there() -> Result<()> {
    let All { portal, notebooks, place: _place, server } = all().await?;
    portal.add_item(ITEM, "admin", "private", &[], &notebook("print(n)"));
    let task = task(r#"{"notebookParameters": {"n": 21}}"#);
    let running = begin(&server, &task).await?;
    assert_eq!(outcome(&running.ended().await?), ("succeeded", "done"));
    let changed = String::from_utf8(notebook("print(m)"))?.replace("n = 1", "m = 1");
    portal.add_item(ITEM, "admin", "private", &[], changed.as_bytes());
    let asked = server.post(&format!("{}/admin/tasks/{}/run", crate::USERS, running.task), &[]).await?;
    let run = asked["runId"].as_str().unwrap_or_default().to_owned();
    let run = Running::at(&server, (running.task.clone(), run)).ended().await?;
    assert_eq!(outcome(&run), ("submitfailed", "bad_input"), "{run}");
    assert!(
        run["result"].as_str().is_some_and(|told| told.contains("'n', which is not declared; there are m")),
        "{run}"
    );
    assert_eq!(notebooks.runs().len(), 1, "nothing was begun");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_is_changed_as_its_job_begins_ends_the_run_and_the_job() -> Result<()> {
    let All { portal, notebooks, place: _place, server } = all().await?;
    portal.add_user("ann", "org_publisher", "ann-password");
    portal.add_item(ITEM, "ann", "org", &[], &notebook("import time; time.sleep(60)"));
    // After the look at the item, and before the server has answered.
    notebooks.plan_fault("executeNotebook", 0, 1, Fault::Slow(std::time::Duration::from_secs(4)));
    let running = begin(&server, &task("{}")).await?;
    running.once("it to be looked at", |run| run["item"]["digest"].is_string()).await?;
    portal.add_item(ITEM, "ann", "org", &[], &notebook("import time; time.sleep(61)"));
    let run = running.ended().await?;
    assert_eq!(outcome(&run), ("failed", "item_changed"), "{run}");
    assert!(run["result"].as_str().is_some_and(|result| result.contains("while its job began")), "{run}");
    assert!(running.log().await?.contains("was changed by ann"));
    // Its job was told to end.
    assert_eq!((notebooks.runs().len(), notebooks.cancelled()), (1, 1));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_one_job_whatever_happens() -> Result<()> {
    let All { portal, notebooks, place, server } = all().await?;
    portal.add_item(ITEM, "admin", "private", &[], &notebook("import time; time.sleep(8)"));
    // The answer is lost: the job is found by its run, though it may be begun once only.
    notebooks.plan_fault("executeNotebook", 0, 1, Fault::GatewayTimeout);
    notebooks.plan_fault("/system/jobs/", 1, 1, Fault::Http500);
    let form = [&task("{}")[..], &[("crashPolicy", "atMostOnce")]].concat();
    let running = begin(&server, &form).await?;
    running.once("it to execute", |run| run["progress"]["message"] == "processing").await?;
    let names = running.names();
    let server = place.restart(server).await?;
    let running = Running::at(&server, names);
    assert_eq!(outcome(&running.ended().await?), ("succeeded", "done"));
    assert!(running.log().await?.contains("goes on with the job"));
    assert_eq!(notebooks.runs().len(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_reaches_the_job_and_a_job_may_vanish() -> Result<()> {
    let All { portal, notebooks, place: _place, server } = all().await?;
    portal.add_item(ITEM, "admin", "private", &[], &notebook("import time; time.sleep(60)"));
    let running = begin(&server, &task("{}")).await?;
    running.once("it to execute", |run| run["progress"]["message"] == "processing").await?;
    running.cancel().await?;
    assert_eq!(outcome(&running.ended().await?), ("failed", "cancelled"));
    assert_eq!(notebooks.cancelled(), 1);
    let running = begin(&server, &task("{}")).await?;
    running.once("it to execute", |run| run["progress"]["message"] == "processing").await?;
    notebooks.forget_jobs();
    assert_eq!(outcome(&running.ended().await?), ("failed", "submission_unknown"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_no_administrator_executes_nothing_with_the_portals_token() -> Result<()> {
    let All { portal, notebooks, place: _place, server } = nobody_signed_in().await?;
    portal.add_user("ann", "org_publisher", "ann-password");
    portal.add_item(ITEM, "ann", "private", &[], &notebook("1"));
    let token = portal.token("ann", None);
    let cron = [("minute", "0"), ("hour", "0"), ("dayOfMonth", "29"), ("month", "2"), ("dayOfWeek", "?")];
    let form = [&cron[..], &task("{}"), &[("token", token.as_str())]].concat();
    let tasks = format!("{}/ann/tasks", crate::USERS);
    let made = server.post(&format!("{}/ann/createTask", crate::USERS), &form).await?;
    let task = format!("{tasks}/{}", made["taskId"].as_str().unwrap_or_default());
    server.post(&format!("{task}/run"), &[("token", &token)]).await?;
    let run = isochrone_testkit::eventually_within(crate::LONG, "the run to end", async || {
        let runs = server.get(&format!("{task}/runs"), &[("token", &token)]).await?;
        Ok(runs["runs"][0]["endTime"].is_i64().then(|| runs["runs"][0].clone()))
    })
    .await?;
    assert_eq!(outcome(&run), ("submitfailed", "not_allowed"), "{run}");
    assert!(notebooks.runs().is_empty());
    Ok(())
}
