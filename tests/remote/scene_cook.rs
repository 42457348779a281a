//! ExecuteSceneCook against a simulated GIS server.

use anyhow::Result;
use isochrone_sandbox::SimulatedGpServer;
use isochrone_testkit::Server;
use serde_json::Value;

use crate::{begin, outcome, place};

const ITEM: &str = "029b61ca770e428d9468a2a55f40b9fb";

fn cook(parameters: &str) -> [(&str, &str); 3] {
    [("type", "ExecuteSceneCook"), ("itemId", ITEM), ("parameters", parameters)]
}

fn of_service(gis: &SimulatedGpServer, name: &str) -> String {
    format!(r#"{{"service_url": "{}/rest/services/Hosted/{name}/SceneServer"}}"#, gis.url())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_services_own_server_cooks_it() -> Result<()> {
    let gis = SimulatedGpServer::start().await?;
    let place = place(&[&gis.url()])?;
    let server = Server::start(&place.options).await?.sign_in().await?;
    let run = begin(&server, &cook(&of_service(&gis, "City"))).await?.ended().await?;
    assert_eq!(outcome(&run), ("succeeded", "done"), "{run}");
    let result: Value = serde_json::from_str(run["result"].as_str().unwrap_or_default())?;
    assert!(
        result["outputs"]["out_service_url"].as_str().is_some_and(|url| url.ends_with("/City/SceneServer"))
    );
    let sent = &gis.submissions()[0].parameters;
    let understood =
        [("num_of_caching_service_instances", "2"), ("layer", "{}"), ("update_mode", "RECREATE_ALL_NODES")];
    for (name, value) in understood {
        assert_eq!(sent[name], value);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_seen_cooking_and_what_fails_is_told() -> Result<()> {
    let gis = SimulatedGpServer::start().await?;
    let place = place(&[&gis.url()])?;
    let server = Server::start(&place.options).await?.sign_in().await?;
    let slow = begin(&server, &cook(&of_service(&gis, "Slow"))).await?;
    let run = slow.once("progress", |run| run["progress"]["percent"].as_u64() > Some(0)).await?;
    assert_eq!(run["progress"]["message"], "working", "{run}");
    assert!(slow.log().await?.contains("This is a simulation"), "the job's own lines");
    assert_eq!(outcome(&slow.ended().await?), ("succeeded", "done"));
    let missing = begin(&server, &cook(&of_service(&gis, "Missing"))).await?.ended().await?;
    assert_eq!(outcome(&missing), ("failed", "execution_error"), "{missing}");
    assert!(missing["result"].as_str().is_some_and(|result| result.contains("ERROR 001487")), "{missing}");
    let cancelled = begin(&server, &cook(&of_service(&gis, "Slow"))).await?;
    cancelled.once("progress", |run| run["progress"]["percent"].is_u64()).await?;
    cancelled.cancel().await?;
    assert_eq!(outcome(&cancelled.ended().await?), ("failed", "cancelled"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_cooked_once_at_a_time() -> Result<()> {
    let gis = SimulatedGpServer::start().await?;
    let place = place(&[&gis.url()])?;
    let server = Server::start(&place.options).await?.sign_in().await?;
    let (city, same) = (of_service(&gis, "City"), of_service(&gis, "CITY"));
    let mut runs = Vec::new();
    for parameters in [&city, &same, &city] {
        runs.push(begin(&server, &cook(parameters)).await?);
    }
    for run in &runs {
        assert_eq!(outcome(&run.ended().await?), ("succeeded", "done"));
    }
    assert_eq!((gis.submissions().len(), gis.most_cooks_at_once()), (3, 1));
    let mut waited = 0;
    for run in &runs {
        waited += usize::from(run.log().await?.contains("another run cooks this service"));
    }
    assert_eq!(waited, 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_server_may_cook_and_wrong_parameters_are_no_task() -> Result<()> {
    let gis = SimulatedGpServer::start().await?;
    let place = place(&[&gis.url()])?;
    let options = place.options.clone().env("ISOCHRONE__SCENE_COOK__SERVER", gis.url());
    let server = Server::start(&options).await?.sign_in().await?;
    let elsewhere = r#"{"service_url": "https://tiles.example.com/x/rest/services/Hosted/City/SceneServer"}"#;
    let run = begin(&server, &cook(elsewhere)).await?.ended().await?;
    assert_eq!(outcome(&run), ("succeeded", "done"), "{run}");
    for (wrong, named) in [
        (r#"{"layer": "{}"}"#, "service_url"),
        (r#"{"service_url": "https://x/rest/services/City/FeatureServer"}"#, "service_url"),
        (
            r#"{"service_url": "https://x/rest/services/City/SceneServer", "update_mode": "ALL"}"#,
            "update_mode",
        ),
    ] {
        let refused =
            begin(&server, &cook(wrong)).await.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(refused.contains("'parameters'") && refused.contains(named), "{refused}");
    }
    Ok(())
}
