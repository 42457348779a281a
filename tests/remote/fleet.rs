//! The same types on a fleet: the store in Redis, the queue in RabbitMQ, a worker that is killed.

use anyhow::Result;
use isochrone_sandbox::{SimulatedGpServer, SimulatedHttpJobs, SimulatedWorkflowManager};
use isochrone_testkit::servers::{RabbitServer, RedisServer};
use isochrone_testkit::{Server, ServerOptions};

use crate::{begin, outcome, place};

const ITEM: &str = "029b61ca770e428d9468a2a55f40b9fb";

#[tokio::test(flavor = "multi_thread")]
async fn each_remote_type_runs_and_outlives_its_worker() -> Result<()> {
    let (redis, rabbit) = tokio::try_join!(RedisServer::start(), RabbitServer::start())?;
    let gis = SimulatedGpServer::start().await?;
    let (jobs, manager) = (SimulatedHttpJobs::start().await?, SimulatedWorkflowManager::start().await?);
    let (portal_place, worker_place) = (place(&[])?, place(&[&gis.url()])?);
    let file = worker_place.options.data_dir.with_extension("toml");
    let url = jobs.url();
    let text = format!("[http_jobs.UpdateInsightsWorkbook]\nurl = \"{url}\"\ntoken = \"simulated-token\"\n");
    std::fs::write(&file, text)?;
    let in_fleet = |options: &ServerOptions| {
        options.clone().env("ISOCHRONE_REDIS_URL", redis.url()).env("ISOCHRONE_AMQP_URL", rabbit.url())
    };
    let file = file.to_string_lossy().into_owned();
    let worker = in_fleet(&worker_place.options)
        .env("ISOCHRONE__WORKFLOW_MANAGER__SERVER", manager.url())
        .command(&["--config", &file, "worker"]);
    let scheduler = in_fleet(&portal_place.options).command(&["scheduler", "--http", "127.0.0.1:0"]);
    let server = Server::start(&scheduler).await?.sign_in().await?;
    let first = Server::start(&worker).await?;

    let (slow, scene) =
        (gis.task("Slow"), format!(r#"{{"service_url": "{}/rest/services/City/SceneServer"}}"#, gis.url()));
    let forms: [Vec<(&str, &str)>; 4] = [
        vec![("type", "GPService"), ("taskURL", &slow), ("parameters", r#"{"seconds": 8}"#)],
        vec![("type", "ExecuteSceneCook"), ("parameters", &scene)],
        vec![
            ("type", "ExecuteWorkflowManager"),
            ("parameters", r#"{"jobTemplateId": "two-steps", "wait": "closed"}"#),
        ],
        vec![("type", "UpdateInsightsWorkbook"), ("parameters", r#"{"seconds": 8}"#)],
    ];
    let mut runs = Vec::new();
    for form in forms {
        runs.push(begin(&server, &[&form[..], &[("itemId", ITEM)]].concat()).await?);
    }
    for run in [&runs[0], &runs[3]] {
        run.once("progress", |run| run["progress"]["percent"].as_u64() > Some(0)).await?;
    }
    first.kill()?;
    let _second = Server::start(&worker).await?;
    for run in &runs {
        let run = run.ended().await?;
        assert_eq!(outcome(&run), ("succeeded", "done"), "{run}");
    }
    assert_eq!(
        (gis.submissions().len(), manager.made(), jobs.jobs().len()),
        (2, 1, 1),
        "each was begun once"
    );
    Ok(())
}
