//! Which servers tasks may name: those that their runs may reach.

use std::collections::BTreeSet;

use anyhow::Result;
use isochrone_arcgis::Egress;
use isochrone_domain::{Problem, SceneCook, Task, TaskType};
use isochrone_executors::scene_cook::cooking_task;
use isochrone_scheduler::Reach;

use crate::config::Config;

/// `[egress]`, for each type whose runs send requests to what the task names.
pub(super) struct EgressRule {
    egress: Egress,
    /// The server that cooks every scene, so that the service's own is not asked.
    scene_cook_server: Option<String>,
    /// Types whose runs ask none but a server of the operator's.
    sent_elsewhere: BTreeSet<TaskType>,
}

impl EgressRule {
    /// None: this process does not know the rule. In a fleet each process has settings of its own, and where a portal
    /// has none of `[egress]` it is the workers' to refuse a run.
    pub(super) fn new(config: &Config) -> Result<Option<EgressRule>> {
        let egress = config.egress()?;
        if !knows_servers(config) {
            return Ok(None);
        }
        let sent_elsewhere = sent_elsewhere(config);
        let scene_cook_server = config.scene_cook.server.clone();
        Ok(Some(EgressRule { egress, scene_cook_server, sent_elsewhere }))
    }
}

/// Whether this process knows which servers tasks may name.
pub(super) fn knows_servers(config: &Config) -> bool {
    config.redis.url.is_none() || config.egress.open || !config.egress.servers.is_empty()
}

/// The types whose runs ask none but a server of the operator's.
pub(super) fn sent_elsewhere(config: &Config) -> BTreeSet<TaskType> {
    match &config.worker.drill_url {
        Some(_) => TaskType::ALL.into_iter().collect(),
        None => config.http_jobs.keys().copied().collect(),
    }
}

impl Reach for EgressRule {
    fn check(&self, task: &Task) -> Result<(), Problem> {
        if self.sent_elsewhere.contains(&task.kind) {
            return Ok(());
        }
        if let Some(url) = &task.task_url {
            self.egress
                .admit(url)
                .map_err(|error| Problem::new("taskURL", format!("is not allowed: {error}")))?;
        }
        if task.kind == TaskType::ExecuteSceneCook && self.scene_cook_server.is_none() {
            let cook = SceneCook::read(task.parameters.as_deref().unwrap_or("{}"))?;
            let admitted = self.egress.admit(cook.service_url());
            admitted.and_then(|_| self.egress.admit(&cooking_task(cook.server_root()))).map_err(|error| {
                Problem::new("parameters", format!("has 'service_url', which is not allowed: {error}"))
            })?;
        }
        Ok(())
    }
}
