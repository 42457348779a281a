//! Beside a real portal: in front of it, and with tasks that came from it.

mod front;
mod import;
mod pins;
mod tasks;

use anyhow::{Context, Result, ensure};
use isochrone_sandbox::SimulatedPortal;
use isochrone_testkit::ServerOptions;
use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_isochrone");
/// The simulated portal's administrator, `siteadmin`.
const PASSWORD: &str = "site-password";

struct Place {
    /// Gone with the place.
    dir: tempfile::TempDir,
    options: ServerOptions,
}

fn place() -> Result<Place> {
    let dir = tempfile::tempdir()?;
    let options = ServerOptions::new(BINARY, dir.path().join("data")).shared_python()?;
    Ok(Place { dir, options })
}

/// A server that stands in front of the portal there and believes it for so many seconds.
fn in_front_of(url: &str, user: &str, password: &str, believed: u32) -> Result<Place> {
    let Place { dir, options } = place()?;
    let options = options
        .env("ISOCHRONE__PORTAL__URL", url)
        .env("ISOCHRONE__PORTAL__USER", user)
        .env("ISOCHRONE_PORTAL_PASSWORD", password)
        .env("ISOCHRONE__PORTAL__CACHE_SECONDS", believed);
    Ok(Place { dir, options })
}

/// A portal with a publisher, `ann`, and a viewer, `vic`.
async fn simulated() -> Result<SimulatedPortal> {
    let portal = SimulatedPortal::start().await?;
    portal.add_user("ann", "org_publisher", "ann-password");
    portal.add_user("vic", "org_user", "vic-password");
    Ok(portal)
}

/// What `isochrone --output json ARGS` printed, and whether all went well.
fn told(options: &ServerOptions, args: &[&str], stdin: &str) -> Result<(bool, Value, String)> {
    let output = options.cli(&[&["--output", "json"], args].concat(), stdin)?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let answer = serde_json::from_slice(&output.stdout).with_context(|| said.clone())?;
    Ok((output.status.success(), answer, said))
}

fn add_user(options: &ServerOptions, name: &str) -> Result<()> {
    let added =
        options.cli(&["user", "add", name, "--role", "publisher", "--password-stdin"], "a good one\n")?;
    ensure!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    Ok(())
}
