//! The simulated ArcGIS beside which types run that another server carries out.

use std::path::PathBuf;

use anyhow::Result;
use isochrone_domain::TaskType;
use isochrone_sandbox::{
    SimulatedGpServer, SimulatedHttpJobs, SimulatedNotebookServer, SimulatedPortal, SimulatedWorkflowManager,
};

use crate::config::Config;

/// Servers of a simulated ArcGIS. Dropped, they are gone.
pub(crate) struct Simulated {
    pub(crate) gis: SimulatedGpServer,
    workflows: SimulatedWorkflowManager,
    insights: SimulatedHttpJobs,
}

/// The same with a portal and its Notebook Server.
pub(crate) struct Enterprise {
    pub(crate) servers: Simulated,
    pub(crate) portal: SimulatedPortal,
    notebooks: SimulatedNotebookServer,
}

impl Simulated {
    pub(crate) async fn start() -> Result<Simulated> {
        Ok(Simulated {
            gis: SimulatedGpServer::start().await?,
            workflows: SimulatedWorkflowManager::start().await?,
            insights: SimulatedHttpJobs::start().await?,
        })
    }

    /// Lets the types that nothing else carries out go there.
    pub(crate) fn furnish(&self, config: &mut Config) {
        config.egress.servers.push(self.gis.url());
        config.workflow_manager.server.get_or_insert_with(|| self.workflows.url());
        config.add_http_jobs(TaskType::UpdateInsightsWorkbook, self.insights.url(), SimulatedHttpJobs::TOKEN);
    }
}

impl Enterprise {
    /// `python`: one that has nbclient and ipykernel.
    pub(crate) async fn start(python: PathBuf) -> Result<Enterprise> {
        let (servers, portal) = (Simulated::start().await?, SimulatedPortal::start().await?);
        servers.gis.federate(&portal);
        let notebooks = SimulatedNotebookServer::start(&portal, python).await?;
        Ok(Enterprise { servers, portal, notebooks })
    }

    /// What Isochrone is configured with to stand in front of it.
    pub(crate) fn toml(&self) -> String {
        let Enterprise { servers: Simulated { gis, workflows, insights }, portal, notebooks } = self;
        format!(
            "# A simulated ArcGIS, as long as `isochrone sandbox` runs.\n\
             [portal]\nurl = \"{portal}\"\nuser = \"{user}\"\npassword = \"{password}\"\n\n\
             [egress]\nservers = [\"{gis}\"]\n\n\
             [notebook_server]\nserver = \"{notebooks}\"\n\n\
             [workflow_manager]\nserver = \"{workflows}\"\n\n\
             [http_jobs.UpdateInsightsWorkbook]\nurl = \"{insights}\"\ntoken = \"{token}\"\n",
            portal = portal.url(),
            user = SimulatedPortal::ADMIN,
            password = SimulatedPortal::PASSWORD,
            gis = gis.url(),
            notebooks = notebooks.url(),
            workflows = workflows.url(),
            insights = insights.url(),
            token = SimulatedHttpJobs::TOKEN,
        )
    }
}
