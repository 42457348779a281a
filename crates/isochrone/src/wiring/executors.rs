//! Which executor carries out which type, and what each works with.

use std::sync::Arc;

use async_trait::async_trait;
use isochrone_domain::{ItemId, TaskType};
use isochrone_executors::Unconfigured;
use isochrone_executors::drill::Drill;
use isochrone_executors::notebook::{ExecuteNotebook, Notebooks};
use isochrone_executors::report::ExecuteReport;
use isochrone_store::Store;
use isochrone_worker::Executor;

use super::House;
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
    let notebooks = Arc::new(StoredNotebooks(Arc::clone(&house.store)));
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

/// Notebooks are items of the store.
struct StoredNotebooks(Arc<dyn Store>);

#[async_trait]
impl Notebooks for StoredNotebooks {
    async fn content(&self, id: ItemId, reader: &str) -> Result<Option<Vec<u8>>, String> {
        let unreadable = |error: isochrone_store::StoreError| error.to_string();
        let Some(item) = self.0.item(id).await.map_err(unreadable)? else {
            return Ok(None);
        };
        let reader = self.0.user(reader).await.map_err(unreadable)?;
        if !reader.is_some_and(|user| item.readable_by(&user)) {
            return Ok(None);
        }
        self.0.item_data(id).await.map_err(unreadable)
    }
}
