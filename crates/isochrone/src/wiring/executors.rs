//! Which executor carries out which type, and what each works with.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use isochrone_arcgis::SignedIn;
use isochrone_arcgis::reports::Reports;
use isochrone_domain::{Role, TaskType};
use isochrone_executors::drill::Drill;
use isochrone_executors::gp_job::GpJobs;
use isochrone_executors::gp_service::GpService;
use isochrone_executors::http_job::HttpJob;
use isochrone_executors::notebook::{ExecuteNotebook, Homes, Isolator, Notebooks, PythonEnvironment, Tier};
use isochrone_executors::notebook_server::RemoteNotebook;
use isochrone_executors::report::ExecuteReport;
use isochrone_executors::scene_cook::{ExecuteSceneCook, Holds};
use isochrone_executors::workflow_manager::ExecuteWorkflowManager;
use isochrone_executors::{Trust, Unconfigured, WayOut};
use isochrone_store::Store;
use isochrone_worker::Executor;

use super::House;
use super::homes::{OwnHome, PortalHome};
use super::notebooks::{PortalNotebooks, StoredNotebooks};
use super::records::StoreRecords;
use crate::config::Config;

/// An executor for every type that this worker takes; those without a backend here say so.
pub(crate) fn executors(house: &House, config: &Config) -> Result<Vec<Arc<dyn Executor>>> {
    let mut executors = match &config.worker.drill_url {
        Some(url) => TaskType::ALL.map(|kind| Arc::new(Drill::new(kind, url)) as Arc<dyn Executor>).to_vec(),
        None => backends(house, config)?,
    };
    executors.retain(|executor| takes(config, executor.kind()));
    Ok(executors)
}

fn takes(config: &Config, kind: TaskType) -> bool {
    config.worker.types.is_empty() || config.worker.types.contains(&kind)
}

/// Looks at start what isolates notebooks, so that nobody learns it from the first run.
async fn tell_isolation(environment: PythonEnvironment, isolator: Isolator) {
    // Where there is no Python, the first run tells.
    let Ok(python) = environment.at_hand().await else { return };
    match isolator.tier(&python).await {
        Ok(Tier::None) => tracing::warn!("notebooks run without isolation: [notebook] isolation = \"none\""),
        Ok(tier) => tracing::info!(%tier, "notebooks run isolated"),
        Err(error) => return tracing::error!(%error, "notebooks are refused"),
    }
    if let Ok(network) = isolator.network(&python).await {
        tracing::info!(network = %network.tier, "notebooks' network");
    }
    if let Ok(found) = isolator.limits(&python).await {
        if let Some(why) = &found.no_cgroup {
            tracing::warn!(no_cgroup = why, "limits of notebooks: {found}");
        } else {
            tracing::info!("limits of notebooks: {found}");
        }
    }
    prepare_packages(&environment).await;
}

/// Packages take minutes to install: not when the first run waits for them. What fails is tried again by the run that
/// needs it, and the log says why.
async fn prepare_packages(environment: &PythonEnvironment) {
    if environment.has_packages() {
        let mut lines = environment.progress();
        let mut ready = std::pin::pin!(environment.ready());
        loop {
            tokio::select! {
                biased;
                Ok(line) = lines.recv() => tracing::info!(line, "packages of notebooks"),
                made = &mut ready => {
                    match made {
                        Ok(python) => tracing::info!(python = %python.display(), "notebooks have their packages"),
                        Err(error) => tracing::error!(%error, "notebooks are refused until their packages can be installed"),
                    }
                    break;
                }
            }
        }
    }
    environment.remove_unused().await;
}

/// Where notebooks are read.
pub(super) fn notebooks(store: &Arc<dyn Store>, portal: Option<&SignedIn>) -> Arc<dyn Notebooks> {
    match portal {
        Some(portal) => Arc::new(PortalNotebooks(portal.clone())),
        None => Arc::new(StoredNotebooks(Arc::clone(store))),
    }
}

/// How other servers are reached for tasks.
pub(super) fn way_out(store: &Arc<dyn Store>, config: &Config, portal: Option<SignedIn>) -> Result<WayOut> {
    Ok(WayOut::new(config.outbound(portal)?, Arc::new(Administrators(Arc::clone(store)))))
}

fn backends(house: &House, config: &Config) -> Result<Vec<Arc<dyn Executor>>> {
    let portal = house.portal.clone();
    let notebooks = notebooks(&house.store, portal.as_ref());
    let homes: Arc<dyn Homes> = match &portal {
        Some(portal) => Arc::new(PortalHome(portal.clone())),
        None => Arc::new(OwnHome { store: Arc::clone(&house.store), url: Arc::clone(&house.portal_url) }),
    };
    let notebook = ExecuteNotebook::new(
        &house.data_dir,
        house.python.clone(),
        Arc::clone(&notebooks),
        config.notebook.clone(),
    )
    .with_homes(homes)
    .with_servers(config.notebook_servers(), config.own_servers());
    if takes(config, TaskType::ExecuteNotebook) && config.notebook_server.server.is_none() {
        tokio::spawn(tell_isolation(house.python.clone(), notebook.isolator()));
    }
    let report = ExecuteReport::new(
        Arc::new(StoreRecords(Arc::clone(&house.store))),
        portal.clone().map(Reports::new),
    );
    let way_out = house.way_out.clone();
    let jobs = GpJobs::new(way_out.clone());
    let holds = Arc::new(StoreHolds(Arc::clone(&house.store)));
    let cook = ExecuteSceneCook::new(jobs.clone(), holds, config.scene_cook.server.clone());
    let mut executors: Vec<Arc<dyn Executor>> = vec![
        Arc::new(notebook),
        Arc::new(report),
        Arc::new(GpService::new(jobs, way_out.clone())),
        Arc::new(cook),
    ];
    if let Some(server) = &config.workflow_manager.server {
        executors.push(Arc::new(ExecuteWorkflowManager::new(way_out.clone(), server)));
    }
    if let Some(server) = &config.notebook_server.server {
        executors.retain(|executor| executor.kind() != TaskType::ExecuteNotebook);
        executors.push(Arc::new(RemoteNotebook::new(way_out, server).with_notebooks(notebooks)));
    }
    for (kind, jobs) in config.http_jobs()? {
        executors.retain(|executor| executor.kind() != kind);
        executors.push(Arc::new(HttpJob::new(kind, jobs)));
    }
    for kind in TaskType::ALL {
        if executors.iter().all(|executor| executor.kind() != kind) {
            executors.push(Arc::new(Unconfigured::new(kind)));
        }
    }
    Ok(executors)
}

/// The portal's token may do all that an administrator may: only administrators' tasks act with it.
struct Administrators(Arc<dyn Store>);

#[async_trait]
impl Trust for Administrators {
    async fn trusts(&self, owner: &str) -> std::result::Result<bool, String> {
        let user = self.0.user(owner).await.map_err(|error| error.to_string())?;
        Ok(user.is_some_and(|user| user.role == Role::Admin))
    }
}

/// The store knows which run has what.
struct StoreHolds(Arc<dyn Store>);

#[async_trait]
impl Holds for StoreHolds {
    async fn hold(&self, what: &str, holder: &str, length: Duration) -> std::result::Result<bool, String> {
        self.0.hold(what, holder, length).await.map_err(|error| error.to_string())
    }

    async fn let_go(&self, what: &str, holder: &str) {
        if let Err(error) = self.0.let_go(what, holder).await {
            tracing::warn!(what, %error, "a hold could not be given back; it ends by itself");
        }
    }
}
