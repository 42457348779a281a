//! Stands in for a type whose backend nobody has configured.

use std::time::Duration;

use async_trait::async_trait;
use isochrone_domain::{AttemptEnd, Reason, TaskType};
use isochrone_worker::{Attempt, Executor};

/// Ends each run of its type at once, saying which backend is missing.
#[derive(Clone, Copy, Debug)]
pub struct Unconfigured(TaskType);

impl Unconfigured {
    /// For runs of this type.
    pub fn new(kind: TaskType) -> Unconfigured {
        Unconfigured(kind)
    }

    /// What is missing, for people.
    pub fn sentence(self) -> String {
        let backend = match self.0 {
            TaskType::ExecuteNotebook => "a Python environment or a Notebook Server",
            TaskType::UpdateInsightsWorkbook => "an Insights backend",
            TaskType::ExecuteSceneCook => "a GIS server that hosts the scene service",
            TaskType::ExecuteWorkflowManager => "a Workflow Manager server",
            TaskType::ExecuteReport => "a portal",
            TaskType::GPService => "a GIS server that offers the geoprocessing tool",
            TaskType::RunDataPipeline => "a data pipelines backend",
        };
        format!("{} needs {backend}, and none is configured here.", self.0)
    }
}

#[async_trait]
impl Executor for Unconfigured {
    fn kind(&self) -> TaskType {
        self.0
    }

    fn default_timeout(&self) -> Duration {
        Duration::from_mins(1)
    }

    async fn execute(&self, _attempt: &Attempt) -> AttemptEnd {
        AttemptEnd::SubmitFailed { reason: Reason::BackendNotConfigured, result: self.sentence() }
    }
}
