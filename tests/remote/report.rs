//! ExecuteReport against a simulated portal.

use anyhow::Result;
use isochrone_sandbox::{Fault, SimulatedPortal};
use isochrone_testkit::Server;
use serde_json::Value;

use crate::{Place, Running, begin, beside_portal, outcome, place};

async fn both() -> Result<(SimulatedPortal, Place, Server)> {
    let portal = SimulatedPortal::start().await?;
    let mut place = place(&[])?;
    place.options = beside_portal(place.options, &portal);
    let server = Server::start(&place.options).await?.sign_in().await?;
    Ok((portal, place, server))
}

fn report(parameters: &str) -> [(&str, &str); 2] {
    [("type", "ExecuteReport"), ("parameters", parameters)]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_portals_report_is_kept_with_the_run() -> Result<()> {
    let (portal, _place, server) = both().await?;
    let users = begin(&server, &report(r#"{"reportType":"org","reportSubType":"users"}"#)).await?;
    users.once("progress", |run| run["progress"]["message"] == "processing").await?;
    let run = users.ended().await?;
    assert_eq!(outcome(&run), ("succeeded", "done"), "{run}");
    let result: Value = serde_json::from_str(run["result"].as_str().unwrap_or_default())?;
    assert_eq!(result["backend"], "portal");
    let name = result["report"].as_str().unwrap_or_default();
    let csv = server.bytes(&format!("{}/artifacts/{name}", users.path())).await?;
    assert!(String::from_utf8(csv)?.contains("siteadmin,org_admin\r\n"));
    assert!(portal.item_data(result["itemId"].as_str().unwrap_or_default()).is_some(), "it stays there, too");

    // What a server alone can't tell.
    let credits =
        r#"{"reportType":"org","reportSubType":"credits","timeDuration":"weekly","title":"Credits"}"#;
    assert_eq!(outcome(&begin(&server, &report(credits)).await?.ended().await?), ("succeeded", "done"));
    let own = r#"{"reportType":"org","reportSubType":"content","source":"isochrone"}"#;
    let own = begin(&server, &report(own)).await?.ended().await?;
    assert!(own["result"].as_str().is_some_and(|result| result.contains("standalone")), "{own}");
    assert_eq!(portal.reports(), 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_told() -> Result<()> {
    let (portal, _place, server) = both().await?;
    let early = r#"{"reportType":"org","reportSubType":"users","title":"Too early"}"#;
    let wrong = r#"{"reportType":"org","reportSubType":"credits","timeDuration":"daily"}"#;
    for (parameters, expected, told) in [
        (early, ("failed", "execution_error"), "data of this period"),
        (wrong, ("submitfailed", "bad_input"), "timeDuration"),
    ] {
        let run = begin(&server, &report(parameters)).await?.ended().await?;
        assert_eq!(outcome(&run), expected, "{run}");
        assert!(run["result"].as_str().is_some_and(|result| result.contains(told)), "{run}");
    }
    // Whether there is a report is not known, and it may be made once only.
    portal.plan_fault("/report", 0, 1, Fault::GatewayTimeout);
    let users = r#"{"reportType":"org","reportSubType":"users"}"#;
    let once = [&report(users)[..], &[("crashPolicy", "atMostOnce")]].concat();
    let run = begin(&server, &once).await?.ended().await?;
    assert_eq!(outcome(&run), ("failed", "submission_unknown"), "{run}");
    assert_eq!(portal.reports(), 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_outlives_its_worker_and_ends_with_its_run() -> Result<()> {
    let (portal, place, server) = both().await?;
    let users = r#"{"reportType":"org","reportSubType":"users"}"#;
    let running = begin(&server, &report(users)).await?;
    running.once("progress", |run| run["progress"]["message"] == "processing").await?;
    let names = running.names();
    let server = place.restart(server).await?;
    let running = Running::at(&server, names);
    assert_eq!(outcome(&running.ended().await?), ("succeeded", "done"));
    assert!(running.log().await?.contains("goes on with the report"));
    assert_eq!(portal.reports(), 1);

    let running = begin(&server, &report(users)).await?;
    running.once("progress", |run| run["progress"]["message"] == "processing").await?;
    running.cancel().await?;
    assert_eq!(outcome(&running.ended().await?), ("failed", "cancelled"));
    assert_eq!(portal.asked("/delete"), 1);
    Ok(())
}
