//! ExecuteWorkflowManager against a simulated Workflow Manager server.

use anyhow::Result;
use isochrone_sandbox::{Fault, Intervention, SimulatedWorkflowManager};
use isochrone_testkit::Server;
use serde_json::Value;

use crate::{Place, Running, begin, outcome, place};

const ITEM: &str = "029b61ca770e428d9468a2a55f40b9fb";

async fn both() -> Result<(SimulatedWorkflowManager, Place, Server)> {
    let manager = SimulatedWorkflowManager::start().await?;
    let mut place = place(&[])?;
    place.options = place.options.env("ISOCHRONE__WORKFLOW_MANAGER__SERVER", manager.url());
    let server = Server::start(&place.options).await?.sign_in().await?;
    Ok((manager, place, server))
}

fn workflow(parameters: &str) -> [(&str, &str); 3] {
    [("type", "ExecuteWorkflowManager"), ("itemId", ITEM), ("parameters", parameters)]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_made_and_followed_as_far_as_the_task_says() -> Result<()> {
    let (manager, _place, server) = both().await?;
    for (wait, least) in [("created", 0), ("step", 1), ("closed", 2)] {
        // Steps that have not heard that they are to run are told again.
        manager.heal();
        manager.plan_fault("/action", 0, 1, Fault::Http500);
        let parameters = format!(r#"{{"jobTemplateId": "two-steps", "wait": "{wait}", "priority": "High"}}"#);
        let began = std::time::Instant::now();
        let run = begin(&server, &workflow(&parameters)).await?.ended().await?;
        assert_eq!(outcome(&run), ("succeeded", "done"), "{wait}: {run}");
        assert!(began.elapsed().as_secs() >= least, "{wait}: a step takes a second");
        let result: Value = serde_json::from_str(run["result"].as_str().unwrap_or_default())?;
        let id = result["jobIds"][0].as_str().unwrap_or_default();
        assert_eq!(id.replace('-', ""), run["runId"].as_str().unwrap_or_default(), "the id is the run's");
        assert_eq!(manager.jobs()[id]["priority"], "High");
    }
    assert_eq!(manager.made(), 3);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_a_person_or_fails_is_told() -> Result<()> {
    let (manager, _place, server) = both().await?;
    for (parameters, expected, told) in [
        (
            r#"{"jobTemplateId": "question", "wait": "closed"}"#,
            ("failed", "execution_error"),
            "needs a person",
        ),
        (r#"{"jobTemplateId": "broken", "wait": "step"}"#, ("failed", "execution_error"), "'Step 1' failed"),
        (r#"{"jobTemplateId": "missing"}"#, ("submitfailed", "bad_input"), "template does not exist"),
        (r#"{"wait": "closed"}"#, ("submitfailed", "bad_input"), "jobTemplateId"),
    ] {
        let run = begin(&server, &workflow(parameters)).await?.ended().await?;
        assert_eq!(outcome(&run), expected, "{run}");
        assert!(run["result"].as_str().is_some_and(|result| result.contains(told)), "{run}");
    }
    assert_eq!(manager.made(), 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_do_to_the_job_meanwhile_ends_the_run() -> Result<()> {
    let (manager, _place, server) = both().await?;
    for (intervention, expected, told) in [
        (Intervention::Hold, ("failed", "execution_error"), "'Step 1' is held"),
        (Intervention::Stop, ("failed", "cancelled"), "'Step 1' was stopped"),
        // Closed is what was waited for, whoever did it.
        (Intervention::Close, ("succeeded", "done"), "jobIds"),
    ] {
        let running = begin(&server, &workflow(r#"{"jobTemplateId": "endless", "wait": "closed"}"#)).await?;
        running.once("it to run", |run| run["progress"]["message"] == "Step 1").await?;
        manager.intervene(intervention);
        let run = running.ended().await?;
        assert_eq!(outcome(&run), expected, "{intervention:?}: {run}");
        assert!(run["result"].as_str().is_some_and(|result| result.contains(told)), "{run}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_one_job_whatever_happens() -> Result<()> {
    let (manager, place, server) = both().await?;
    manager.plan_fault("jobTemplates", 0, 1, Fault::GatewayTimeout);
    let running = begin(&server, &workflow(r#"{"jobTemplateId": "endless", "wait": "closed"}"#)).await?;
    running.once("the job", |_| manager.made() == 1).await?;
    running.once("it to run", |run| run["progress"]["message"] == "Step 1").await?;
    let names = running.names();
    let server = place.restart(server).await?;
    let running = Running::at(&server, names);
    // Before anybody goes on with it: the next attempt is there to tell the job.
    running.cancel().await?;
    assert_eq!(outcome(&running.ended().await?), ("failed", "cancelled"));
    assert_eq!((manager.made(), manager.stopped()), (1, 1));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_step_is_one_step_whatever_becomes_of_the_worker() -> Result<()> {
    let (manager, place, server) = both().await?;
    let running = begin(&server, &workflow(r#"{"jobTemplateId": "two-steps", "wait": "step"}"#)).await?;
    running.once("the step to run", |_| manager.steps_started() == 1).await?;
    let names = running.names();
    // The step ends before anybody looks again.
    let server = place.restart(server).await?;
    let running = Running::at(&server, names);
    let run = running.ended().await?;
    assert_eq!(outcome(&run), ("succeeded", "done"), "{run}");
    assert_eq!((&run["attempt"], manager.made(), manager.steps_started()), (&2.into(), 1, 1));
    Ok(())
}
