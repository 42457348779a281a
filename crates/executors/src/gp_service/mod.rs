//! GPService: an asynchronous geoprocessing task of a server; its URL says in which dialect.

mod process;

use std::time::Duration;

use async_trait::async_trait;
use isochrone_arcgis::gp::{GpTask, Parameters};
use isochrone_arcgis::ogc::Process;
use isochrone_domain::{
    AttemptEnd, DeclaredParameters, TaskType, geoprocessing_parameters, process_parameters,
};
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

    /// What the task or the process at the URL declares, asked as a task of this owner would be carried out.
    ///
    /// # Errors
    /// For people: why that is not known.
    pub async fn declared(way_out: &WayOut, owner: &str, url: &str) -> Result<DeclaredParameters, String> {
        let outbound = way_out.of(owner).await.map_err(|_| "its owner can't be read".to_owned())?;
        let declared = if Process::is_named_by(url) {
            let described = async { Process::new(outbound, url)?.description().await };
            let description = described.await.map_err(|error| error.to_string())?;
            description.as_ref().and_then(process_parameters)
        } else {
            let described = async { GpTask::new(outbound, url)?.description().await };
            geoprocessing_parameters(&described.await.map_err(|error| error.to_string())?.text)
        };
        declared.ok_or_else(|| "its server does not describe its parameters".to_owned())
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
