//! Geoprocessing clients that were written for ArcGIS, unchanged, against the simulated GIS server: it is not only
//! we who take it for one.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use isochrone_sandbox::{Fault, SimulatedGpServer, SimulatedPortal};
use isochrone_testkit::{NodeClient, PythonClient};

/// Beside this file.
fn here(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

#[tokio::test(flavor = "multi_thread")]
async fn arcgis_rest_request_4_10_2() -> Result<()> {
    let client = NodeClient::install("arcgis-rest-request", &["@esri/arcgis-rest-request@4.10.2"])?;
    let place = Place::open().await?;
    for fault in [Fault::ErrorInBody, Fault::InvalidToken, Fault::Http500, Fault::Page, Fault::Cut] {
        place.troubled.plan_fault("/jobs/", 0, 1, fault);
    }
    place.passes_every_check("arcgis_rest_request.mjs", |script, told| client.run(script, told))?;
    ensure!(place.troubled.submissions().len() == 1);
    ensure!(place.cancelled() == ["Slow", "Stubborn"], "{:?}", place.cancelled());
    // Its identity manager has fetched one token for all requests to the strict server.
    ensure!((place.portal.exchanges(), place.strict.submissions().len()) == (1, 1));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn arcgis_for_python_2_4_4() -> Result<()> {
    // The tests of the API have the same client.
    let wanted = here("../../../../tests/clients/arcgis-2.4.4.txt").display().to_string();
    let client = PythonClient::install("arcgis-2.4.4", &[&["-r", &wanted]])?;
    let place = Place::open().await?;
    place.troubled.plan_fault("/submitJob", 0, 1, Fault::GatewayTimeout);
    place.troubled.plan_fault("/jobs/", 1, 1, Fault::Http500);
    place.passes_every_check("arcgis_client.py", |script, told| client.run(script, told))?;
    // It sends again what was answered with 504, and does not know that the server had begun a job.
    ensure!(place.troubled.submissions().len() == 2);
    ensure!(place.cancelled() == ["Slow"], "{:?}", place.cancelled());
    Ok(())
}

/// What a client talks to.
struct Place {
    portal: SimulatedPortal,
    open: SimulatedGpServer,
    /// Wants the portal's tokens.
    secured: SimulatedGpServer,
    /// Wants tokens that were made for it.
    strict: SimulatedGpServer,
    /// Answers wrongly now and then.
    troubled: SimulatedGpServer,
}

impl Place {
    async fn open() -> Result<Place> {
        let portal = SimulatedPortal::start().await?;
        portal.add_user("ann", "org_publisher", "ann-password");
        let (open, secured, strict, troubled) = (
            SimulatedGpServer::start().await?,
            SimulatedGpServer::start().await?,
            SimulatedGpServer::start().await?,
            SimulatedGpServer::start().await?,
        );
        secured.federate(&portal);
        strict.federate_strictly(&portal);
        Ok(Place { portal, open, secured, strict, troubled })
    }

    /// The tasks of the jobs that were cancelled.
    fn cancelled(&self) -> Vec<String> {
        let cancelled = self.open.submissions().into_iter().filter(|submission| submission.cancelled);
        cancelled.map(|submission| submission.task).collect()
    }

    fn passes_every_check(
        &self,
        script: &str,
        run: impl FnOnce(&Path, &[(&str, &str)]) -> Result<String>,
    ) -> Result<()> {
        let services = |server: &SimulatedGpServer| format!("{}/rest/services", server.url());
        let (open, secured) = (services(&self.open), services(&self.secured));
        let (strict, troubled) = (services(&self.strict), services(&self.troubled));
        let (portal, token) = (self.portal.url(), self.portal.token("ann", None));
        let environment = [
            ("SERVICES_URL", &*open),
            ("SECURED_SERVICES_URL", &secured),
            ("STRICT_SERVICES_URL", &strict),
            ("TROUBLED_SERVICES_URL", &troubled),
            ("PORTAL_URL", &portal),
            ("PORTAL_TOKEN", &token),
        ];
        let told = run(&here(script), &environment)?;
        // It ends with an error at the first check that does not pass.
        let text = std::fs::read_to_string(here(script))?;
        let (_, listed) = text.split_once("CHECKS = [\n").context("the list of checks")?;
        let (listed, _) = listed.split_once("\n]").context("the end of the list of checks")?;
        let passed = told.lines().filter(|line| line.starts_with("ok ")).count();
        ensure!(passed > 0 && passed == listed.lines().count(), "{passed} checks passed: {told}");
        let tokens = self.secured.submissions();
        ensure!(tokens.len() == 1, "one job was begun with a token: {tokens:?}");
        Ok(())
    }
}
