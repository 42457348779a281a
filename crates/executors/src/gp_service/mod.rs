//! GPService: an asynchronous geoprocessing task of a server; its URL says in which dialect.

mod process;

use std::time::Duration;

use async_trait::async_trait;
use isochrone_arcgis::gp::Parameters;
use isochrone_arcgis::ogc::Process;
use isochrone_domain::{AttemptEnd, TaskType};
use isochrone_worker::{Attempt, Executor};

use crate::gp_job::GpJobs;
use crate::remote::bad_input;
use crate::way_out::WayOut;

/// Carries out GPService.
pub struct GpService {
    jobs: GpJobs,
    way_out: WayOut,
}

impl GpService {
    /// As ArcGIS's `jobs`, or as jobs of OGC API - Processes.
    pub fn new(jobs: GpJobs, way_out: WayOut) -> GpService {
        GpService { jobs, way_out }
    }

    async fn carry_out(&self, attempt: &Attempt) -> Result<AttemptEnd, AttemptEnd> {
        let task = attempt.task();
        let url = task.task_url.as_deref().unwrap_or_default();
        if Process::is_named_by(url) {
            let longest =
                task.policies.timeout_ms.map_or_else(|| self.default_timeout(), Duration::from_millis);
            return Box::pin(process::carry_out(&self.way_out, attempt, url, longest)).await;
        }
        let parameters = Parameters::read(task.parameters.as_deref().unwrap_or("{}"));
        let parameters = parameters.map_err(|error| bad_input("parameters", &error))?;
        self.jobs.carry_out(attempt, "taskURL", url, &parameters).await
    }
}

#[async_trait]
impl Executor for GpService {
    fn kind(&self) -> TaskType {
        TaskType::GPService
    }

    fn default_timeout(&self) -> Duration {
        Duration::from_hours(24)
    }

    async fn execute(&self, attempt: &Attempt) -> AttemptEnd {
        self.carry_out(attempt).await.unwrap_or_else(|end| end)
    }
}
