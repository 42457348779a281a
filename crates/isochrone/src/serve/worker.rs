//! The worker, as the configuration has it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use isochrone_domain::TaskType;
use isochrone_store::Store;
use isochrone_worker::{Worker, WorkerConfig, WorkerParts};

use crate::config::Config;
use crate::wiring::{self, House, Line};

/// How many notebooks a worker executes at once.
pub(crate) fn notebook_slots(config: &Config) -> usize {
    match config.worker.notebook_slots {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        slots => slots,
    }
}

pub(super) fn worker(house: &House, config: &Config, line: &Line, name: &str) -> Result<Arc<Worker>> {
    let mut worker_config = WorkerConfig::new(name);
    worker_config.slots = config.worker.slots;
    worker_config.slots_of.insert(TaskType::ExecuteNotebook, notebook_slots(config));
    worker_config.drain_grace = Duration::from_secs(config.worker.drain_seconds);
    worker_config.lease = Duration::from_secs(config.worker.lease_seconds.into());
    worker_config.renew_every = worker_config.lease / 3;
    worker_config.longest_suspension = Duration::from_secs(config.worker.suspend_max_seconds.into());
    let wake = house.wake.clone();
    let parts = WorkerParts {
        store: Arc::clone(&house.clocks) as Arc<dyn Store>,
        queue: line.queue(),
        artifacts: Arc::clone(&house.artifacts),
        items: Arc::clone(&house.items),
        metrics: house.metrics.clone(),
        on_finished: Box::new(move || wake.wake()),
    };
    Ok(Worker::new(parts, wiring::executors(house, config)?, worker_config))
}
