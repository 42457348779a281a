//! `isochrone sandbox`: a simulated ArcGIS, to try Isochrone without one.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use isochrone_executors::notebook::PythonEnvironment;
use isochrone_sandbox::SimulatedPortal;

use crate::config::Loaded;
use crate::demo::simulated::Enterprise;
use crate::demo::{NOTEBOOK, NOTEBOOK_SOURCE, prepare_python};
use crate::wiring::make_private_dir;

/// Runs until Ctrl-C; `file`: where the configuration is written that leads there.
pub(crate) async fn run(loaded: &Loaded, file: &Path) -> Result<ExitCode> {
    let dir = &loaded.config.data_dir;
    make_private_dir(dir)?;
    let python = PythonEnvironment::new(dir.join("python"), &loaded.config.notebook);
    prepare_python(&python).await?;
    let enterprise = Enterprise::start(python.ready().await?).await?;
    let item = NOTEBOOK.to_string();
    enterprise.portal.add_item(&item, SimulatedPortal::ADMIN, "org", &[], NOTEBOOK_SOURCE.as_bytes());
    std::fs::write(file, enterprise.toml()).with_context(|| format!("{}", file.display()))?;
    let (portal, gis) = (enterprise.portal.url(), &enterprise.servers.gis);
    println!("A simulated ArcGIS Enterprise runs until Ctrl-C:");
    println!("  portal    {portal}  ({} / {})", SimulatedPortal::ADMIN, SimulatedPortal::PASSWORD);
    println!("  notebook  {item}");
    println!("  tools     {}, Slow, Stubborn, Broken, Silent", gis.task("Buffer"));
    println!("  scenes    {}/rest/services/Hosted/City/SceneServer", gis.url());
    println!("  workflows two-steps, question, endless, broken (jobTemplateId)");
    println!("\nIn another terminal:\n  isochrone --config {} up", file.display());
    tokio::signal::ctrl_c().await.context("Ctrl-C")?;
    // What it says leads nowhere any more.
    std::fs::remove_file(file).with_context(|| format!("{}", file.display()))?;
    Ok(ExitCode::SUCCESS)
}
