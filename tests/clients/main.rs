//! Clients that were written for ArcGIS, unchanged, against the real server.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use isochrone_testkit::chaos::api;
use isochrone_testkit::{ADMIN_PASSWORD, NodeClient, PythonClient, Server, ServerOptions};

const BINARY: &str = env!("CARGO_BIN_EXE_isochrone");
const NOTEBOOK: &str = "029b61ca770e428d9468a2a55f40b9fb";
const EMPTY_NOTEBOOK: &str = r#"{"cells":[],"metadata":{},"nbformat":4,"nbformat_minor":5}"#;

/// Beside this file.
fn here(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/clients").join(name).display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn arcgis_for_python_2_4_4() -> Result<()> {
    let client = PythonClient::install("arcgis-2.4.4", &[&["-r", &here("arcgis-2.4.4.txt")]])?;
    passes_every_check(&client).await
}

#[tokio::test(flavor = "multi_thread")]
async fn arcgis_for_python_2_3_1() -> Result<()> {
    // Its build asks for all that it names; without that, it is the same code.
    let itself = ["--no-deps", "--no-build-isolation", "arcgis==2.3.1"];
    let client = PythonClient::install("arcgis-2.3.1", &[&["-r", &here("arcgis-2.3.1.txt")], &itself])?;
    passes_every_check(&client).await
}

#[tokio::test(flavor = "multi_thread")]
async fn arcgis_rest_request_4_10_2() -> Result<()> {
    let client = NodeClient::install("arcgis-rest-request", &["@esri/arcgis-rest-request@4.10.2"])?;
    let dir = tempfile::tempdir()?;
    let server = Server::start(&ServerOptions::new(BINARY, dir.path().join("data"))).await?;
    let url = format!("{}/portal", server.url);
    let environment = [("PORTAL_URL", &*url), ("PORTAL_PASSWORD", ADMIN_PASSWORD)];
    let told = client.run(Path::new(&here("arcgis_rest_request.mjs")), &environment)?;
    // It ends with an error at the first check that does not pass.
    ensure!(told.lines().count() == 7 && told.lines().all(|line| line.starts_with("ok ")), "{told}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_as_they_are_described() -> Result<()> {
    println!("{}", api::run(Path::new(BINARY), api::Plan::SMOKE).await?);
    Ok(())
}

async fn passes_every_check(client: &PythonClient) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let options = ServerOptions::new(BINARY, dir.path().join("data"))
        // Its tasks name this server.
        .env("ISOCHRONE__EGRESS__SERVERS", "https://gis.example.com/server")
        .shared_python()?;
    let server = Server::start(&options).await?;
    let file = dir.path().join("empty.ipynb");
    std::fs::write(&file, EMPTY_NOTEBOOK)?;
    let file = file.to_str().context("a path of text")?;
    for (command, input) in [
        (["item", "add", file, "--id", NOTEBOOK, "--owner", "admin"].as_slice(), ""),
        (&["user", "add", "bob", "--role", "publisher", "--password-stdin"], ADMIN_PASSWORD),
    ] {
        let done = options.cli(command, input)?;
        ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
    let made = options.cli_json(&["user", "key", "admin", "--title", "Scripts of the night"])?;
    let key = made["key"].as_str().context("a key")?;
    let url = format!("{}/portal", server.https_url);
    let certificate = options.data_dir.join("tls/cert.pem");
    let environment = [
        ("PORTAL_URL", &*url),
        ("PORTAL_CERTIFICATE", certificate.to_str().context("a path of text")?),
        ("PORTAL_API_KEY", key),
        ("PORTAL_PASSWORD", ADMIN_PASSWORD),
        ("NOTEBOOK_ITEM", NOTEBOOK),
        ("NOTEBOOK_FILE", file),
    ];
    let told = client.run(Path::new(&here("arcgis_client.py")), &environment)?;
    let script = std::fs::read_to_string(here("arcgis_client.py"))?;
    let (_, listed) = script.split_once("CHECKS = [\n").context("the list of checks")?;
    let (listed, _) = listed.split_once("]\n").context("the end of the list of checks")?;
    let listed: Vec<&str> = listed.lines().collect();
    let passed = told.lines().filter(|line| line.starts_with("ok ")).count();
    ensure!(passed > 0 && passed == listed.len(), "{passed} of {} checks passed: {told}", listed.len());
    Ok(())
}
