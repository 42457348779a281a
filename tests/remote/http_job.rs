//! UpdateInsightsWorkbook against a simulated server that takes jobs over plain HTTP.

use anyhow::Result;
use isochrone_sandbox::{Fault, SimulatedHttpJobs};
use isochrone_testkit::{Server, eventually};

use crate::{Place, Running, begin, outcome, place};

const ITEM: &str = "029b61ca770e428d9468a2a55f40b9fb";

async fn both() -> Result<(SimulatedHttpJobs, Place, Server)> {
    let jobs = SimulatedHttpJobs::start().await?;
    let mut place = place(&[])?;
    let file = place.options.data_dir.with_extension("toml");
    let url = jobs.url();
    std::fs::write(
        &file,
        format!("[http_jobs.UpdateInsightsWorkbook]\nurl = \"{url}\"\ntoken = \"simulated-token\"\n"),
    )?;
    let file = file.to_string_lossy().into_owned();
    place.options = place.options.command(&["--config", &file, "up", "--http", "127.0.0.1:0"]);
    let server = Server::start(&place.options).await?.sign_in().await?;
    Ok((jobs, place, server))
}

fn workbook(parameters: &str) -> [(&str, &str); 3] {
    [("type", "UpdateInsightsWorkbook"), ("itemId", ITEM), ("parameters", parameters)]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workbook_is_updated_with_progress_to_success_and_failure() -> Result<()> {
    let (jobs, _place, server) = both().await?;
    let running = begin(&server, &workbook(r#"{"seconds": 4}"#)).await?;
    let run = running.once("progress", |run| run["progress"]["percent"].as_u64() > Some(0)).await?;
    assert_eq!(run["progress"]["message"], "refreshing", "{run}");
    let run = running.ended().await?;
    assert_eq!((outcome(&run), &run["result"]), (("succeeded", "done"), &r#"{"pages":3}"#.into()), "{run}");
    let order = &jobs.jobs()[0];
    assert_eq!(order["type"], "UpdateInsightsWorkbook");
    assert_eq!(
        (&order["runId"], &order["itemId"], &order["owner"]),
        (&run["runId"], &ITEM.into(), &"admin".into())
    );

    let failed = begin(&server, &workbook(r#"{"fail": true}"#)).await?.ended().await?;
    assert_eq!(
        (outcome(&failed), &failed["result"]),
        (("failed", "execution_error"), &"the workbook has no page".into())
    );
    let at_once = begin(&server, &workbook(r#"{"atOnce": true}"#)).await?.ended().await?;
    assert_eq!((outcome(&at_once), &at_once["result"]), (("succeeded", "done"), &"done at once".into()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_answer_is_lost_makes_one_job() -> Result<()> {
    let (jobs, _place, server) = both().await?;
    jobs.plan_fault("/jobs", 0, 1, Fault::GatewayTimeout);
    jobs.plan_fault("/jobs/", 0, 2, Fault::Http500);
    let run = begin(&server, &workbook("{}")).await?.ended().await?;
    assert_eq!(outcome(&run), ("succeeded", "done"), "{run}");
    assert_eq!((jobs.orders(), jobs.jobs().len()), (2, 1));
    // A server that says when it wants to be asked again is asked no sooner: for the job, and for a look at it.
    jobs.plan_fault("/jobs", 0, 1, Fault::Busy(3));
    jobs.plan_fault("/jobs/", 0, 1, Fault::Busy(3));
    let (asked, looked) = (jobs.times("/jobs").len(), jobs.times("/jobs/").len());
    let run = begin(&server, &workbook("{}")).await?.ended().await?;
    assert_eq!(outcome(&run), ("succeeded", "done"), "{run}");
    crate::assert_no_sooner(&jobs.times("/jobs")[asked..], 3);
    crate::assert_no_sooner(&jobs.times("/jobs/")[looked..], 3);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_ended_with_its_run_and_outlives_its_worker() -> Result<()> {
    let (jobs, place, server) = both().await?;
    let running = begin(&server, &workbook(r#"{"seconds": 60}"#)).await?;
    running.once("the job", |_| jobs.jobs().len() == 1).await?;
    running.cancel().await?;
    assert_eq!(outcome(&running.ended().await?), ("failed", "cancelled"));
    assert_eq!(jobs.ended(), 1);

    let deleted = begin(&server, &workbook(r#"{"seconds": 60}"#)).await?;
    deleted.once("progress", |run| run["progress"]["percent"].is_u64()).await?;
    deleted.delete_task().await?;
    eventually("the job of a deleted task to be ended", async || Ok((jobs.ended() == 2).then_some(())))
        .await?;

    let running = begin(&server, &workbook(r#"{"seconds": 6}"#)).await?;
    running.once("progress", |run| run["progress"]["percent"].as_u64() > Some(0)).await?;
    let names = running.names();
    let server = place.restart(server).await?;
    let running = Running::at(&server, names);
    assert_eq!(outcome(&running.ended().await?), ("succeeded", "done"));
    assert_eq!((jobs.orders(), jobs.jobs().len()), (3, 3), "it was found by its handle");
    Ok(())
}
