//! The same types on a fleet: the store in Redis, the queue in RabbitMQ, a worker that is killed.

use anyhow::Result;
use isochrone_sandbox::{SimulatedGpServer, SimulatedHttpJobs, SimulatedWorkflowManager};
use isochrone_testkit::servers::{RabbitServer, RedisServer};
use isochrone_testkit::{Server, ServerOptions};

use crate::{Place, begin, outcome, place};

const ITEM: &str = "029b61ca770e428d9468a2a55f40b9fb";

const NOTEBOOK: &str = r#"{"cells": [{"cell_type": "code", "id": "a", "metadata": {}, "outputs": [],
    "execution_count": null, "source": "import time; time.sleep(4); print('from a cell')"}],
    "metadata": {}, "nbformat": 4, "nbformat_minor": 5}"#;

/// A fleet, and the servers that its tasks go to.
struct Fleet {
    gis: SimulatedGpServer,
    jobs: SimulatedHttpJobs,
    manager: SimulatedWorkflowManager,
    server: Server,
    /// How a worker of all types is started.
    worker: ServerOptions,
    #[expect(dead_code, reason = "they are here to be dropped")]
    parts: (RedisServer, RabbitServer, Place, Place),
}

/// A fleet without a worker yet, whose notebook is this one.
async fn fleet(notebook: &str) -> Result<Fleet> {
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

    let file = portal_place.options.data_dir.with_extension("ipynb");
    std::fs::write(&file, notebook)?;
    let file = file.to_string_lossy();
    let added = scheduler.cli(&["item", "add", &file, "--id", ITEM], "")?;
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    let parts = (redis, rabbit, portal_place, worker_place);
    Ok(Fleet { gis, jobs, manager, server, worker, parts })
}

impl Fleet {
    fn scene(&self, name: &str) -> String {
        format!(r#"{{"service_url": "{}/rest/services/{name}/SceneServer"}}"#, self.gis.url())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_type_runs_and_outlives_its_worker() -> Result<()> {
    let fleet = fleet(NOTEBOOK).await?;
    let Fleet { gis, jobs, manager, server, worker, .. } = &fleet;
    let first = Server::start(worker).await?;
    let (slow, scene) = (gis.task("Slow"), fleet.scene("Slow"));
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
        runs.push(begin(server, &[&form[..], &[("itemId", ITEM)]].concat()).await?);
    }
    for run in [&runs[0], &runs[1], &runs[3]] {
        run.once("progress", |run| run["progress"]["percent"].as_u64() > Some(0)).await?;
    }
    runs[2].once("a step", |run| run["progress"]["message"] == "Step 1").await?;
    runs[4].once("a cell", |run| run["progress"]["message"] == "cell 1 of 1").await?;
    first.kill()?;
    let _second = Server::start(worker).await?;
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

#[tokio::test(flavor = "multi_thread")]
async fn each_type_fails_as_its_server_says() -> Result<()> {
    let fleet = fleet(&NOTEBOOK.replace("print('from a cell')", "1 / 0")).await?;
    let Fleet { gis, server, worker, .. } = &fleet;
    let _worker = Server::start(worker).await?;
    let (broken, overlong, stubborn) = (gis.task("Broken"), gis.task("Overlong"), gis.task("Stubborn"));
    let missing = fleet.scene("Missing");
    let failed = ("failed", "execution_error");
    let expected: [(Vec<(&str, &str)>, _, &str); 8] = [
        (vec![("type", "GPService"), ("taskURL", &broken), ("parameters", "{}")], failed, "ERROR 000732"),
        (
            vec![("type", "GPService"), ("taskURL", &overlong), ("parameters", "{}")],
            ("failed", "timeout"),
            "maximum usage time",
        ),
        (
            vec![
                ("type", "GPService"),
                ("taskURL", &stubborn),
                ("parameters", r#"{"seconds": 60}"#),
                ("timeoutSeconds", "3"),
            ],
            ("failed", "timeout"),
            "longer than its deadline",
        ),
        (vec![("type", "ExecuteSceneCook"), ("parameters", &missing)], failed, "ERROR 001487"),
        (
            vec![
                ("type", "ExecuteWorkflowManager"),
                ("parameters", r#"{"jobTemplateId": "broken", "wait": "closed"}"#),
            ],
            failed,
            "'Step 1' failed",
        ),
        (
            vec![("type", "UpdateInsightsWorkbook"), ("parameters", r#"{"fail": true}"#)],
            failed,
            "the workbook has no page",
        ),
        (vec![("type", "ExecuteNotebook")], failed, "ZeroDivisionError"),
        (
            vec![
                ("type", "ExecuteReport"),
                ("parameters", r#"{"reportType": "org", "reportSubType": "credits", "title": "C"}"#),
            ],
            ("submitfailed", "backend_not_configured"),
            "portal",
        ),
    ];
    for (form, outcome_of, told) in expected {
        let run = begin(server, &[&form[..], &[("itemId", ITEM)]].concat()).await?.ended().await?;
        assert_eq!(outcome(&run), outcome_of, "{run}");
        assert!(run["result"].as_str().is_some_and(|result| result.contains(told)), "{run}");
    }
    Ok(())
}
