//! Which executor carries out which type, and what each works with.

use std::sync::Arc;

use isochrone_domain::TaskType;
use isochrone_executors::Unconfigured;
use isochrone_executors::drill::Drill;
use isochrone_executors::notebook::{ExecuteNotebook, Notebooks};
use isochrone_executors::report::ExecuteReport;
use isochrone_worker::Executor;

use super::House;
use super::notebooks::{PortalNotebooks, StoredNotebooks};
use super::records::StoreRecords;
use crate::config::Config;

/// An executor for every type that this worker takes; those without a backend here say so.
pub(crate) fn executors(house: &House, config: &Config) -> Vec<Arc<dyn Executor>> {
    let mut executors = match &config.worker.drill_url {
        Some(url) => TaskType::ALL.map(|kind| Arc::new(Drill::new(kind, url)) as Arc<dyn Executor>).to_vec(),
        None => backends(house, config),
    };
    let types = &config.worker.types;
    executors.retain(|executor| types.is_empty() || types.contains(&executor.kind()));
    executors
}

fn backends(house: &House, config: &Config) -> Vec<Arc<dyn Executor>> {
    let notebooks: Arc<dyn Notebooks> = match &house.arcgis {
        Some(portal) => Arc::new(PortalNotebooks(portal.clone())),
        None => Arc::new(StoredNotebooks(Arc::clone(&house.store))),
    };
    let notebook =
        ExecuteNotebook::new(&house.data_dir, house.python.clone(), notebooks, config.notebook.clone());
    let report = ExecuteReport::new(Arc::new(StoreRecords(Arc::clone(&house.store))));
    let mut executors: Vec<Arc<dyn Executor>> = vec![Arc::new(notebook), Arc::new(report)];
    for kind in TaskType::ALL {
        if executors.iter().all(|executor| executor.kind() != kind) {
            executors.push(Arc::new(Unconfigured::new(kind)));
        }
    }
    executors
}
