//! The same types on a fleet: the store in Redis, the queue in RabbitMQ, a worker that is killed.

use anyhow::Result;
use isochrone_sandbox::{SimulatedGpServer, SimulatedHttpJobs, SimulatedWorkflowManager};
use isochrone_testkit::servers::{RabbitServer, RedisServer};
use isochrone_testkit::{Server, ServerOptions};

use crate::{begin, outcome, place};

const ITEM: &str = "029b61ca770e428d9468a2a55f40b9fb";

const NOTEBOOK: &str = r#"{"cells": [{"cell_type": "code", "id": "a", "metadata": {}, "outputs": [],
    "execution_count": null, "source": "import time; time.sleep(4); print('from a cell')"}],
    "metadata": {}, "nbformat": 4, "nbformat_minor": 5}"#;

#[tokio::test(flavor = "multi_thread")]
async fn each_type_runs_and_outlives_its_worker() -> Result<()> {
    let (redis, rabbit) = tokio::try_join!(RedisServer::start(), RabbitServer::start())?;
    let gis = SimulatedGpServer::start().await?;
    let (jobs, manager) = (SimulatedHttpJobs::start().await?, SimulatedWorkflowManager::start().await?);
    let (portal_place, worker_place) = (place(&[])?, place(&[&gis.url()])?);
    let artifacts = worker_place.options.data_dir.with_extension("artifacts");
    let file = worker_place.options.data_dir.with_extension("toml");
    let url = jobs.url();
    let text = format!("[http_jobs.UpdateInsightsWorkbook]\nurl = \"{url}\"\ntoken = \"simulated-token\"\n");
    std::fs::write(&file, text)?;
    let in_fleet = |options: &ServerOptions| {
        options
            .clone()
            .env("ISOCHRONE_REDIS_URL", redis.url())
            .env("ISOCHRONE_AMQP_URL", rabbit.url())
            .env("ISOCHRONE__ARTIFACTS__DIR", artifacts.display())
    };
    let file = file.to_string_lossy().into_owned();
    let worker = in_fleet(&worker_place.options)
        .shared_python()?
        .env("ISOCHRONE__WORKFLOW_MANAGER__SERVER", manager.url())
        .command(&["--config", &file, "worker"]);
    let scheduler = in_fleet(&portal_place.options).command(&["scheduler", "--http", "127.0.0.1:0"]);
    let server = Server::start(&scheduler).await?.sign_in().await?;
    let first = Server::start(&worker).await?;

    let (slow, scene) =
        (gis.task("Slow"), format!(r#"{{"service_url": "{}/rest/services/City/SceneServer"}}"#, gis.url()));
    let file = portal_place.options.data_dir.with_extension("ipynb");
    std::fs::write(&file, NOTEBOOK)?;
    let file = file.to_string_lossy();
    let added = scheduler.cli(&["item", "add", &file, "--id", ITEM], "")?;
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    let forms: [Vec<(&str, &str)>; 6] = [
        vec![("type", "GPService"), ("taskURL", &slow), ("parameters", r#"{"seconds": 8}"#)],
        vec![("type", "ExecuteSceneCook"), ("parameters", &scene)],
        vec![
            ("type", "ExecuteWorkflowManager"),
            ("parameters", r#"{"jobTemplateId": "two-steps", "wait": "closed"}"#),
        ],
        vec![("type", "UpdateInsightsWorkbook"), ("parameters", r#"{"seconds": 8}"#)],
        vec![("type", "ExecuteNotebook")],
        vec![
            ("type", "ExecuteReport"),
            ("parameters", r#"{"reportType": "org", "reportSubType": "users", "title": "U"}"#),
        ],
    ];
    let mut runs = Vec::new();
    for form in forms {
        runs.push(begin(&server, &[&form[..], &[("itemId", ITEM)]].concat()).await?);
    }
    for run in [&runs[0], &runs[3]] {
        run.once("progress", |run| run["progress"]["percent"].as_u64() > Some(0)).await?;
    }
    runs[4].once("a cell", |run| run["progress"]["message"] == "cell 1 of 1").await?;
    first.kill()?;
    let _second = Server::start(&worker).await?;
    for run in &runs {
        let run = run.ended().await?;
        assert_eq!(outcome(&run), ("succeeded", "done"), "{run}");
    }
    assert!(runs[4].log().await?.contains("from a cell"), "the second attempt's lines");
    assert_eq!(
        (gis.submissions().len(), manager.made(), jobs.jobs().len()),
        (2, 1, 1),
        "each was begun once"
    );
    Ok(())
}
