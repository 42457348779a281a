//! Where the parameters are declared that tasks give: in notebooks, and at geoprocessing servers.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use isochrone_arcgis::SignedIn;
use isochrone_domain::{DeclaredParameters, TaskType, notebook_parameters};
use isochrone_executors::WayOut;
use isochrone_executors::gp_service::GpService;
use isochrone_executors::notebook::Notebooks;
use isochrone_scheduler::{ParameterSource, Program};
use isochrone_store::Store;

use super::executors::notebooks;
use super::reach::{knows_servers, sent_elsewhere};
use crate::config::Config;

/// What is asked for them.
pub(super) struct Declared {
    notebooks: Arc<dyn Notebooks>,
    /// None: this process does not know which servers may be asked.
    way_out: Option<WayOut>,
    /// Types that other programs carry out, whose parameters only those know.
    sent_elsewhere: BTreeSet<TaskType>,
}

impl Declared {
    pub(super) fn new(
        store: &Arc<dyn Store>,
        config: &Config,
        portal: Option<&SignedIn>,
        way_out: &WayOut,
    ) -> Declared {
        Declared {
            notebooks: notebooks(store, portal),
            way_out: knows_servers(config).then(|| way_out.clone()),
            sent_elsewhere: sent_elsewhere(config),
        }
    }
}

#[async_trait]
impl ParameterSource for Declared {
    async fn declared(&self, program: Program<'_>) -> Result<Option<DeclaredParameters>, String> {
        if self.sent_elsewhere.contains(&program.kind) {
            return Ok(None);
        }
        match (program.kind, program.item, program.task_url) {
            (TaskType::ExecuteNotebook, Some(item), _) => {
                let content = self.notebooks.content(item, program.owner).await;
                let (_, data) = content
                    .map_err(|error| error.to_string())?
                    .ok_or_else(|| format!("there is no item {item} that the task's owner may read"))?;
                let declared = notebook_parameters(&data);
                declared.map(Some).ok_or_else(|| format!("the item {item} is no notebook that can be read"))
            }
            (TaskType::GPService, _, Some(url)) => {
                let way_out = self.way_out.as_ref();
                let way_out = way_out.ok_or("only workers know here which servers may be asked")?;
                GpService::declared(way_out, program.owner, url).await.map(Some)
            }
            _ => Ok(None),
        }
    }
}
