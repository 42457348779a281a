//! Servers that send what is no answer, to a worker that is full of their jobs.

use std::time::Duration;

use anyhow::Result;
use isochrone_sandbox::{Fault, SimulatedGpServer, SimulatedPortal};
use isochrone_testkit::{Server, eventually_within, peak_memory};

use crate::{begin, beside_portal, outcome, place};

const ITEM: &str = "029b61ca770e428d9468a2a55f40b9fb";
const JOBS: usize = 40;
/// The promise: a worker stays below it.
const MOST_MIB: u64 = 300;
/// A slow drip ends with its request's minute.
const PATIENT: Duration = Duration::from_mins(4);

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_full_of_jobs_outlives_whatever_their_servers_send() -> Result<()> {
    let (portal, gis) = (SimulatedPortal::start().await?, SimulatedGpServer::start().await?);
    portal.add_item(ITEM, "siteadmin", "private", &[], b"{\"cells\": []}");
    let options = beside_portal(place(&[&gis.url()])?.options, &portal);
    let server = Server::start(&options).await?.sign_in().await?;
    let url = gis.task("Slow");
    let form = [("type", "GPService"), ("taskURL", url.as_str()), ("crashPolicy", "atMostOnce")];
    let form = [&form[..], &[("parameters", r#"{"seconds": 20}"#), ("itemId", ITEM)]].concat();

    // A notebook of 10 GiB, and a job of which nobody knows.
    portal.plan_fault("/data", 0, usize::MAX, Fault::Endless);
    let notebook = begin(&server, &[("type", "ExecuteNotebook"), ("itemId", ITEM)]).await?;
    gis.plan_fault("/submitJob", 0, 1, Fault::Endless);
    let unknown = begin(&server, &form).await?.ended().await?;
    assert_eq!(outcome(&unknown), ("failed", "submission_unknown"), "{unknown}");
    let notebook = notebook.ended().await?;
    assert_eq!(outcome(&notebook), ("submitfailed", "backend_unavailable"), "{notebook}");

    let mut running = Vec::new();
    for _ in 0..JOBS {
        running.push(begin(&server, &form).await?);
    }
    eventually_within(PATIENT, "the jobs", async || Ok((gis.submissions().len() == JOBS).then_some(())))
        .await?;
    // In this order: each look at a job meets the next one.
    let faults = [
        (Fault::Endless, 2 * JOBS),
        (Fault::Nested, JOBS),
        (Fault::SlowDrip, JOBS / 2),
        (Fault::RedirectLoop, JOBS / 2),
        (Fault::Page, JOBS / 4),
        (Fault::Reset, JOBS / 4),
    ];
    for (fault, times) in faults {
        gis.plan_fault("/jobs/", 0, times, fault);
    }
    for one in &running {
        let run = one.ended_within(PATIENT).await?;
        assert_eq!(outcome(&run), ("succeeded", "done"), "{run}");
    }
    assert_eq!(gis.submissions().len(), JOBS, "one a run");
    let peak = peak_memory(server.pid())? >> 20;
    println!("the process with its worker took {peak} MiB at most");
    assert!(peak < MOST_MIB, "{peak} MiB");
    Ok(())
}
