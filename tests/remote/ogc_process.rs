//! GPService in the dialect of OGC API - Processes, against a real pygeoapi; what that can't be asked for, against a
//! simulated server.

use anyhow::Result;
use isochrone_sandbox::{Fault, SimulatedProcesses};
use isochrone_testkit::Server;
use isochrone_testkit::eventually_within;
use isochrone_testkit::servers::{Jobs, PygeoapiServer};
use serde_json::Value;

use crate::{LONG, Place, Running, begin, outcome, place};

async fn both() -> Result<(PygeoapiServer, Place, Server)> {
    with(Jobs::Kept).await
}

async fn with(jobs: Jobs) -> Result<(PygeoapiServer, Place, Server)> {
    let pygeoapi = PygeoapiServer::start_with(jobs).await?;
    let place = place(&[&pygeoapi.url()])?;
    let server = Server::start(&place.options).await?.sign_in().await?;
    Ok((pygeoapi, place, server))
}

fn process<'a>(url: &'a str, parameters: &'a str) -> Vec<(&'a str, &'a str)> {
    let item = "029b61ca770e428d9468a2a55f40b9fb";
    vec![("type", "GPService"), ("itemId", item), ("taskURL", url), ("parameters", parameters)]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_runs_to_success_and_to_failure() -> Result<()> {
    let (pygeoapi, _place, server) = both().await?;
    let (hello, slow, missing) =
        (pygeoapi.process("hello-world"), pygeoapi.process("slow"), pygeoapi.process("missing"));
    let run = begin(&server, &process(&hello, r#"{"name": "Isochrone"}"#)).await?.ended().await?;
    assert_eq!(outcome(&run), ("succeeded", "done"), "{run}");
    let result: Value = serde_json::from_str(run["result"].as_str().unwrap_or_default())?;
    assert!(result["outputs"]["value"].as_str().is_some_and(|text| text.contains("Isochrone")), "{result}");

    let running = begin(&server, &process(&slow, r#"{"inputs": {"seconds": 3}}"#)).await?;
    running.once("it to run", |run| run["progress"]["percent"].is_u64()).await?;
    let run = running.ended().await?;
    assert!(outcome(&run) == ("succeeded", "done") && running.log().await?.contains("submitted"), "{run}");
    for (url, parameters, expected, told) in [
        (&slow, r#"{"seconds": -1}"#, ("failed", "execution_error"), "backwards"),
        (&missing, "{}", ("submitfailed", "bad_input"), "the server took no job"),
    ] {
        let run = begin(&server, &process(url, parameters)).await?.ended().await?;
        assert_eq!(outcome(&run), expected, "{run}");
        assert!(run["result"].as_str().is_some_and(|result| result.contains(told)), "{run}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_clients_wait_executes_once() -> Result<()> {
    for (jobs, id) in [(Jobs::None, "slow"), (Jobs::Kept, "waiting")] {
        let (pygeoapi, _place, server) = with(jobs).await?;
        let url = pygeoapi.process("hello-world");
        let hello = begin(&server, &process(&url, r#"{"name": "Isochrone"}"#)).await?.ended().await?;
        assert_eq!(outcome(&hello), ("succeeded", "done"), "{hello}");
        assert!(hello["result"].as_str().is_some_and(|result| result.contains("Hello Isochrone")), "{hello}");
        let url = pygeoapi.process(id);
        for (parameters, expected, told) in [
            (r#"{"seconds": 3}"#, ("succeeded", "done"), "\"took\""),
            (r#"{"seconds": -1}"#, ("failed", "execution_error"), "backwards"),
        ] {
            let before = pygeoapi.executions();
            let run = begin(&server, &process(&url, parameters)).await?.ended().await?;
            assert_eq!(outcome(&run), expected, "{jobs:?}: {run}");
            assert!(run["result"].as_str().is_some_and(|result| result.contains(told)), "{jobs:?}: {run}");
            assert_eq!(pygeoapi.executions() - before, 1, "{jobs:?}: {run}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_while_it_waits_does_not_begin_it_twice() -> Result<()> {
    let (pygeoapi, place, server) = with(Jobs::None).await?;
    let slow = pygeoapi.process("slow");
    let form = [process(&slow, r#"{"seconds": 20}"#), vec![("crashPolicy", "atMostOnce")]].concat();
    let running = begin(&server, &form).await?;
    eventually_within(LONG, "an execution", async || Ok((pygeoapi.executions() == 1).then_some(()))).await?;
    let names = running.names();
    let server = place.restart(server).await?;
    let run = Running::at(&server, names).ended().await?;
    assert_eq!(outcome(&run), ("failed", "submission_unknown"), "{run}");
    assert_eq!(pygeoapi.executions(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn inputs_are_checked_against_the_servers_description() -> Result<()> {
    let (pygeoapi, _place, server) = both().await?;
    let (hello, slow) = (pygeoapi.process("hello-world"), pygeoapi.process("slow"));
    let cron = [("minute", "0"), ("hour", "0"), ("dayOfMonth", "29"), ("month", "2"), ("dayOfWeek", "?")];
    for (url, parameters, words) in [
        (&hello, r#"{"nmae": "x"}"#, "have 'nmae', which is not declared; there are name, message"),
        (&hello, r#"{"message": "x"}"#, "have no 'name', which is required"),
        (&hello, r#"{"inputs": {"name": ["x"]}}"#, "expected string"),
        (&slow, r#"{"seconds": "few"}"#, "expected number"),
    ] {
        let form = [&cron[..], &process(url, parameters)].concat();
        let refused = server.post("/sharing/rest/community/users/admin/createTask", &form).await?;
        anyhow::ensure!(refused["error"].to_string().contains(words), "{parameters}: {refused}");
    }
    let wrong = [process(&hello, r#"{"nmae": "x"}"#), vec![("allowUnknownParameters", "true")]].concat();
    let running = begin(&server, &wrong).await?;
    running.ended().await?;
    assert!(running.log().await?.contains("warning: 'parameters' have 'nmae'"), "what is allowed is said");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_outlives_its_worker_and_ends_with_its_run() -> Result<()> {
    let (pygeoapi, place, server) = both().await?;
    let slow = pygeoapi.process("slow");
    let running = begin(&server, &process(&slow, r#"{"seconds": 8}"#)).await?;
    running.once("it to run", |run| run["progress"]["percent"].is_u64()).await?;
    let names = running.names();
    let server = place.restart(server).await?;
    let running = Running::at(&server, names);
    assert_eq!(outcome(&running.ended().await?), ("succeeded", "done"));
    assert_eq!(pygeoapi.jobs().await?.len(), 1);

    let running = begin(&server, &process(&slow, r#"{"seconds": 60}"#)).await?;
    running.once("it to run", |run| run["progress"]["percent"].is_u64()).await?;
    running.cancel().await?;
    assert_eq!(outcome(&running.ended().await?), ("failed", "cancelled"));
    assert_eq!(pygeoapi.jobs().await?.len(), 1, "the second is dismissed");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_away_is_asked_again() -> Result<()> {
    let (mut pygeoapi, _place, server) = both().await?;
    let slow = pygeoapi.process("slow");
    let form = [process(&slow, r#"{"seconds": 2}"#), vec![("timeoutSeconds", "20")]].concat();
    let running = begin(&server, &form).await?;
    running.once("it to run", |run| run["progress"]["percent"].is_u64()).await?;
    // It forgets the work and goes on saying that it runs: the run's own deadline ends that.
    pygeoapi.restart().await?;
    assert_eq!(outcome(&running.ended().await?), ("failed", "timeout"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_between_two_looks_changes_nothing() -> Result<()> {
    let processes = SimulatedProcesses::start().await?;
    let place = place(&[&processes.url()])?;
    let server = Server::start(&place.options).await?.sign_in().await?;
    let slow = processes.process("slow");
    for fault in [Fault::Http500, Fault::Page, Fault::Cut, Fault::Reset, Fault::GatewayTimeout] {
        processes.plan_fault("/jobs/", 0, 1, fault);
        let run = begin(&server, &process(&slow, r#"{"seconds": 1}"#)).await?.ended().await?;
        assert_eq!(outcome(&run), ("succeeded", "done"), "{fault:?}: {run}");
    }
    assert_eq!(processes.begun(), 5, "one job a run");
    processes.plan_fault("/jobs/", 0, 1, Fault::Busy(4));
    let asked = processes.times("/jobs/").len();
    let run = begin(&server, &process(&slow, r#"{"seconds": 1}"#)).await?.ended().await?;
    assert_eq!(outcome(&run), ("succeeded", "done"), "{run}");
    crate::assert_no_sooner(&processes.times("/jobs/")[asked..], 4);
    for (policy, begun, expected) in
        [("atMostOnce", 1, ("failed", "submission_unknown")), ("atLeastOnce", 2, ("succeeded", "done"))]
    {
        let before = processes.begun();
        processes.plan_fault("/execution", 0, 1, Fault::GatewayTimeout);
        let form = [process(&slow, r#"{"seconds": 1}"#), vec![("crashPolicy", policy)]].concat();
        let run = begin(&server, &form).await?.ended().await?;
        assert_eq!(outcome(&run), expected, "{run}");
        assert_eq!(processes.begun() - before, begun, "{policy}");
    }
    Ok(())
}
