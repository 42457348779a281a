//! GPService against a simulated GIS server.

use std::time::Duration;

use anyhow::{Context, Result};
use isochrone_sandbox::{Fault, SimulatedGpServer, SimulatedPortal};
use isochrone_testkit::{Server, eventually};
use serde_json::{Value, json};

use crate::{Place, Running, begin, outcome, place};

const BUFFER: &str = r#"{
    "Input_Features": {"geometryType": "esriGeometryPolyline", "features": [
        {"geometry": {"x": 0, "y": 0}, "attributes": {"id": 1}},
        {"geometry": {"paths": [[[0, 0], [1000, 0]], [[5000, 0], [6000, 50], [7000, 0]]]}, "attributes": {"id": 2}},
        {"geometry": {"x": 8000, "y": 0}, "attributes": {"id": 3}}]},
    "Distance": {"distance": 0.5, "units": "esriKilometers"}}"#;

async fn both() -> Result<(SimulatedGpServer, Place, Server)> {
    let gis = SimulatedGpServer::start().await?;
    let place = place(&[&gis.url()])?;
    let server = Server::start(&place.options).await?.sign_in().await?;
    Ok((gis, place, server))
}

fn gp<'a>(url: &'a str, parameters: &'a str) -> Vec<(&'a str, &'a str)> {
    // The web tool's item; the URL counts.
    let item = "029b61ca770e428d9468a2a55f40b9fb";
    vec![("type", "GPService"), ("itemId", item), ("taskURL", url), ("parameters", parameters)]
}

#[tokio::test(flavor = "multi_thread")]
async fn features_are_buffered_and_the_result_is_kept() -> Result<()> {
    let (gis, _place, server) = both().await?;
    let running = begin(&server, &gp(&gis.task("Buffer"), BUFFER)).await?;
    let run = running.ended().await?;
    assert_eq!(outcome(&run), ("succeeded", "done"), "{run}");
    let result: Value = serde_json::from_str(run["result"].as_str().unwrap_or_default())?;
    assert_eq!((&result["jobId"], &result["warnings"]), (&json!(gis.submissions()[0].job), &json!(1)));
    // So many corners are long: they are an artifact.
    let name = result["outputs"]["Output_Features"]["artifact"].as_str();
    let name = name.with_context(|| format!("{result}"))?;
    let features = server.bytes(&format!("{}/artifacts/{name}", running.path())).await?;
    let features: Value = serde_json::from_slice(&features)?;
    assert_eq!(features["features"][1]["attributes"]["id"], 2);
    let ring = features["features"][0]["geometry"]["rings"][0].as_array().cloned().unwrap_or_default();
    assert!(ring.len() > 8);
    for at in &ring {
        let away = at[0].as_f64().unwrap_or(0.0).hypot(at[1].as_f64().unwrap_or(0.0));
        assert!((away - 500.0).abs() < 1.0, "{at}");
    }
    let log = running.log().await?;
    assert!(log.contains("submitted") && log.contains("This is a simulation"), "{log}");
    let sent = &gis.submissions()[0].parameters;
    assert_eq!(sent["Distance"], r#"{"distance": 0.5, "units": "esriKilometers"}"#, "to the letter");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_and_messages_are_seen_while_it_runs() -> Result<()> {
    let (gis, _place, server) = both().await?;
    let running = begin(&server, &gp(&gis.task("Slow"), r#"{"seconds": 4}"#)).await?;
    let run = running.once("progress", |run| run["progress"]["percent"].as_u64() > Some(0)).await?;
    assert_eq!(run["progress"]["message"], "working", "{run}");
    assert!(running.log().await?.contains("Start Time"));
    assert_eq!(outcome(&running.ended().await?), ("succeeded", "done"));
    let silent = begin(&server, &gp(&gis.task("Silent"), "{}")).await?;
    assert_eq!(outcome(&silent.ended().await?), ("succeeded", "done"), "a tool need not have results");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_and_what_is_refused_is_told() -> Result<()> {
    let (gis, _place, server) = both().await?;
    let (broken, instant, missing) = (gis.task("Broken"), gis.task("Instant"), gis.task("Missing"));
    let overlong = gis.task("Overlong");
    let no_task = format!("{}/rest/services/Tools/GPServer", gis.url());
    let cases = [
        (broken.as_str(), "{}", "failed", "execution_error", "ERROR 000732"),
        (&instant, "{}", "submitfailed", "bad_input", "synchronous"),
        (&missing, "{}", "submitfailed", "bad_input", "Task not found"),
        (&no_task, "{}", "submitfailed", "bad_input", "GPServer/<task>"),
        (&broken, r#"{"token": "mine"}"#, "submitfailed", "bad_input", "'parameters'"),
        (&overlong, "{}", "failed", "timeout", "maximum usage time"),
    ];
    for (url, parameters, status, reason, told) in cases {
        let run = begin(&server, &gp(url, parameters)).await?.ended().await?;
        assert_eq!(outcome(&run), (status, reason), "{run}");
        assert!(run["result"].as_str().unwrap_or_default().contains(told), "{run}");
    }
    let elsewhere = "http://127.0.0.1:1/rest/services/X/GPServer/X";
    let refused = begin(&server, &gp(elsewhere, "{}")).await.err().context("it is not even made")?;
    assert!(refused.to_string().contains("egress.servers"), "{refused}");
    assert_eq!(gis.submissions().len(), 2, "the others were not submitted");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_is_new_and_results_that_are_late_change_nothing() -> Result<()> {
    let (gis, _place, server) = both().await?;
    for task in ["Novel", "Late"] {
        let run = begin(&server, &gp(&gis.task(task), r#"{"seconds": 2}"#)).await?.ended().await?;
        assert_eq!(outcome(&run), ("succeeded", "done"), "{task}: {run}");
        let result: Value = serde_json::from_str(run["result"].as_str().unwrap_or_default())?;
        assert_eq!(result["outputs"], json!({"slept": 2.0}), "{task}");
    }
    let novel = begin(&server, &gp(&gis.task("Novel"), r#"{"seconds": 60}"#)).await?;
    novel.once("progress", |run| run["progress"]["message"] == "working").await?;
    novel.cancel().await?;
    assert_eq!(outcome(&novel.ended().await?), ("failed", "cancelled"));
    assert!(gis.submissions().last().is_some_and(|last| last.cancelled));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_reaches_the_job() -> Result<()> {
    let (gis, _place, server) = both().await?;
    // A job can't be cancelled while it is only submitted: it is asked again.
    gis.set_queue(Duration::from_secs(3), Duration::ZERO);
    let early = begin(&server, &gp(&gis.task("Slow"), r#"{"seconds": 60}"#)).await?;
    early.once("the job", |_| !gis.submissions().is_empty()).await?;
    early.cancel().await?;
    assert_eq!(outcome(&early.ended().await?), ("failed", "cancelled"));
    assert!(gis.submissions()[0].cancelled && gis.asked("/cancel") > 1);
    gis.set_queue(Duration::ZERO, Duration::ZERO);
    let deleted = begin(&server, &gp(&gis.task("Slow"), r#"{"seconds": 60}"#)).await?;
    deleted.once("progress", |run| run["progress"]["message"].is_string()).await?;
    deleted.delete_task().await?;
    eventually("the job of a deleted task to be cancelled", async || {
        Ok(gis.submissions()[1].cancelled.then_some(()))
    })
    .await?;
    let stubborn = begin(&server, &gp(&gis.task("Stubborn"), r#"{"seconds": 60}"#)).await?;
    stubborn.once("the job", |_| gis.submissions().len() == 3).await?;
    stubborn.cancel().await?;
    assert_eq!(outcome(&stubborn.ended().await?), ("failed", "cancelled"));
    let log = stubborn.log().await?;
    assert!(log.contains("its job still runs"), "{log}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_outlives_its_worker_and_is_found_again() -> Result<()> {
    let (gis, place, server) = both().await?;
    let url = gis.task("Slow");
    let form = [gp(&url, r#"{"seconds": 6}"#), vec![("crashPolicy", "atMostOnce")]].concat();
    let running = begin(&server, &form).await?;
    running.once("the job to execute", |run| run["progress"]["percent"].as_u64() > Some(0)).await?;
    let names = running.names();
    let server = place.restart(server).await?;
    let running = Running::at(&server, names);
    let run = running.ended().await?;
    assert_eq!(outcome(&run), ("succeeded", "done"), "{run}");
    assert_eq!(gis.submissions().len(), 1);
    assert!(running.log().await?.contains("goes on with the job"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_submits_twice_who_must_not() -> Result<()> {
    for (policy, submissions, expected) in
        [("atMostOnce", 1, ("failed", "submission_unknown")), ("atLeastOnce", 2, ("succeeded", "done"))]
    {
        let (gis, _place, server) = both().await?;
        gis.plan_fault("submitJob", 0, 1, Fault::GatewayTimeout);
        let url = gis.task("Buffer");
        let form = [gp(&url, BUFFER), vec![("crashPolicy", policy)]].concat();
        let run = begin(&server, &form).await?.ended().await?;
        assert_eq!(outcome(&run), expected, "{run}");
        assert_eq!(gis.submissions().len(), submissions, "{policy}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_between_two_looks_changes_nothing() -> Result<()> {
    let (gis, _place, server) = both().await?;
    for fault in
        [Fault::Http500, Fault::ErrorInBody, Fault::Page, Fault::Cut, Fault::Slow(Duration::from_secs(2))]
    {
        gis.plan_fault("/jobs/", 0, 1, fault);
        let submitted = gis.submissions().len();
        let run = begin(&server, &gp(&gis.task("Slow"), r#"{"seconds": 1}"#)).await?.ended().await?;
        assert_eq!(outcome(&run), ("succeeded", "done"), "{fault:?}: {run}");
        assert_eq!(gis.submissions().len(), submitted + 1, "{fault:?}");
    }
    // A server that says when it wants to be asked again is asked no sooner.
    gis.plan_fault("/jobs/", 0, 1, Fault::Busy(4));
    let asked = gis.asked("/jobs/");
    let running = begin(&server, &gp(&gis.task("Slow"), r#"{"seconds": 1}"#)).await?;
    assert_eq!(outcome(&running.ended().await?), ("succeeded", "done"));
    let looks = &gis.times("/jobs/")[asked..];
    crate::assert_no_sooner(looks, 4);
    assert_eq!(looks.len(), 3, "the first look, the one after the pause, and its result");
    let forgotten = begin(&server, &gp(&gis.task("Slow"), r#"{"seconds": 30}"#)).await?;
    forgotten.once("the job to execute", |run| run["progress"]["percent"].as_u64() > Some(0)).await?;
    gis.forget_jobs();
    assert_eq!(outcome(&forgotten.ended().await?), ("failed", "submission_unknown"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_portals_token_goes_with_administrators_tasks_alone() -> Result<()> {
    let portal = SimulatedPortal::start().await?;
    portal.add_user("ann", "org_publisher", "ann-password");
    let gis = SimulatedGpServer::start().await?;
    gis.federate(&portal);
    let place = place(&[&gis.url()])?;
    let options = place
        .options
        .clone()
        .env("ISOCHRONE__PORTAL__URL", portal.url())
        .env("ISOCHRONE__PORTAL__USER", "siteadmin")
        .env("ISOCHRONE_PORTAL_PASSWORD", "site-password");
    let server = Server::start(&options).await?;
    let cron = [("minute", "0"), ("hour", "0"), ("dayOfMonth", "29"), ("month", "2"), ("dayOfWeek", "?")];
    let expected = [("siteadmin", "succeeded", "done"), ("ann", "submitfailed", "not_allowed")];
    for (owner, status, reason) in expected {
        let token = portal.token(owner, None);
        let tasks = format!("{}/{owner}/tasks", crate::USERS);
        let url = gis.task("Slow");
        let form = [&cron[..], &gp(&url, r#"{"seconds": 3}"#), &[("token", token.as_str())]].concat();
        let made = server.post(&format!("{tasks}/createTask"), &form).await?;
        let task = format!("{tasks}/{}", made["taskId"].as_str().unwrap_or_default());
        server.post(&format!("{task}/run"), &[("token", &token)]).await?;
        // Tokens are taken back in mid-job: a new one is fetched.
        let run = isochrone_testkit::eventually_within(crate::LONG, "the run to end", async || {
            let runs = server.get(&format!("{task}/runs"), &[("token", &portal.token(owner, None))]).await?;
            Ok(runs["runs"][0]["endTime"].is_i64().then(|| runs["runs"][0].clone()))
        });
        let rotated = async {
            if owner == "siteadmin" {
                isochrone_testkit::eventually_within(crate::LONG, "the job", async || {
                    Ok((!gis.submissions().is_empty()).then_some(()))
                })
                .await?;
                portal.rotate_tokens();
            }
            anyhow::Ok(())
        };
        let (run, rotated) = tokio::join!(run, rotated);
        rotated?;
        let run = run?;
        assert_eq!(outcome(&run), (status, reason), "{run}");
    }
    assert_eq!(gis.submissions().len(), 1);
    Ok(())
}
