//! GPService: an asynchronous geoprocessing task of a server.

use std::time::Duration;

use async_trait::async_trait;
use isochrone_arcgis::gp::Parameters;
use isochrone_domain::{AttemptEnd, TaskType};
use isochrone_worker::{Attempt, Executor};

use crate::gp_job::GpJobs;
use crate::remote::bad_input;

/// Carries out GPService.
pub struct GpService(GpJobs);

impl GpService {
    /// As jobs of these.
    pub fn new(jobs: GpJobs) -> GpService {
        GpService(jobs)
    }

    async fn carry_out(&self, attempt: &Attempt) -> Result<AttemptEnd, AttemptEnd> {
        let task = attempt.task();
        let parameters = Parameters::read(task.parameters.as_deref().unwrap_or("{}"));
        let parameters = parameters.map_err(|error| bad_input("parameters", &error))?;
        self.0.carry_out(attempt, "taskURL", task.task_url.as_deref().unwrap_or_default(), &parameters).await
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
