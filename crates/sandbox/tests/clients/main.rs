//! Geoprocessing clients that were written for ArcGIS, unchanged, against the simulated GIS server: it is not only
//! we who take it for one.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use isochrone_sandbox::{SimulatedGpServer, SimulatedPortal};
use isochrone_testkit::{NodeClient, PythonClient};

/// Beside this file.
fn here(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

#[tokio::test(flavor = "multi_thread")]
async fn arcgis_rest_request_4_10_2() -> Result<()> {
    let client = NodeClient::install("arcgis-rest-request", &["@esri/arcgis-rest-request@4.10.2"])?;
    passes_every_check("arcgis_rest_request.mjs", |script, environment| client.run(script, environment)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn arcgis_for_python_2_4_4() -> Result<()> {
    // The tests of the API have the same client, by the same path.
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("a folder above")?;
    let wanted = crates.join("isochrone/../../tests/clients/arcgis-2.4.4.txt").display().to_string();
    let client = PythonClient::install("arcgis-2.4.4", &[&["-r", &wanted]])?;
    passes_every_check("arcgis_client.py", |script, environment| client.run(script, environment)).await
}

async fn passes_every_check(
    script: &str,
    run: impl FnOnce(&Path, &[(&str, &str)]) -> Result<String>,
) -> Result<()> {
    let portal = SimulatedPortal::start().await?;
    portal.add_user("ann", "org_publisher", "ann-password");
    let (open, secured) = (SimulatedGpServer::start().await?, SimulatedGpServer::start().await?);
    secured.federate(&portal);
    let (services, guarded) = (format!("{}/rest/services", open.url()), format!("{}/rest/services", secured.url()));
    let (url, token) = (portal.url(), portal.token("ann", None));
    let environment = [
        ("SERVICES_URL", &*services),
        ("SECURED_SERVICES_URL", &guarded),
        ("PORTAL_URL", &url),
        ("PORTAL_TOKEN", &token),
    ];
    let told = run(&here(script), &environment)?;
    // It ends with an error at the first check that does not pass.
    let text = std::fs::read_to_string(here(script))?;
    let (_, listed) = text.split_once("CHECKS = [\n").context("the list of checks")?;
    let (listed, _) = listed.split_once("\n]").context("the end of the list of checks")?;
    let passed = told.lines().filter(|line| line.starts_with("ok ")).count();
    ensure!(passed > 0 && passed == listed.lines().count(), "{passed} checks passed: {told}");
    let submissions = open.submissions();
    let cancelled: Vec<&str> =
        submissions.iter().filter(|one| one.cancelled).map(|one| one.task.as_str()).collect();
    ensure!(cancelled == ["Slow"], "what was cancelled: {cancelled:?}");
    ensure!(secured.submissions().len() == 1, "one job with a token: {:?}", secured.submissions());
    Ok(())
}
