//! What happens while other servers do the work: a house on the embedded default in front of a simulated ArcGIS, and
//! the count that its servers keep of their own.

pub mod cancels;
pub mod kills;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use isochrone_domain::{ItemId, Run, RunId};
use isochrone_sandbox::{SimulatedGpServer, SimulatedHttpJobs, SimulatedPortal, SimulatedWorkflowManager};
use isochrone_store::sqlite::SqliteStore;
use isochrone_store::{Clock, Page, RunFilter, RunStore};
use serde_json::json;
use tempfile::TempDir;

use crate::{ADMIN_PASSWORD, Server, ServerOptions};

const USERS: &str = "/sharing/rest/community/users/admin";
const NOTEBOOK: ItemId = ItemId::from_bytes(*b"chaos-notebook-1");
/// A list of runs is read in parts of so many.
const PART: u64 = 500;

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    GpService,
    SceneCook,
    Workflow,
    Insights,
    Report,
    Notebook,
}

impl Kind {
    /// Those whose work another server does.
    const REMOTE: [Kind; 5] =
        [Kind::GpService, Kind::SceneCook, Kind::Workflow, Kind::Insights, Kind::Report];
    const ALL: [Kind; 6] =
        [Kind::GpService, Kind::SceneCook, Kind::Workflow, Kind::Insights, Kind::Report, Kind::Notebook];
}

/// A run that was begun; its task has this tag, by which the servers know it.
#[derive(Clone, Debug)]
struct Begun {
    kind: Kind,
    tag: String,
    task: String,
    run: RunId,
}

/// What the servers have seen of a run.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// Jobs that were begun for it.
    jobs: usize,
    /// Of these, jobs that were told to end.
    told: usize,
}

/// The house and its servers.
struct House {
    options: ServerOptions,
    portal: SimulatedPortal,
    gis: SimulatedGpServer,
    workflows: SimulatedWorkflowManager,
    insights: SimulatedHttpJobs,
    dir: TempDir,
}

impl House {
    async fn new(binary: &Path) -> Result<House> {
        let dir = tempfile::tempdir()?;
        let (portal, gis) = (SimulatedPortal::start().await?, SimulatedGpServer::start().await?);
        let (workflows, insights) =
            (SimulatedWorkflowManager::start().await?, SimulatedHttpJobs::start().await?);
        portal.add_user("admin", "org_admin", ADMIN_PASSWORD);
        let notebook = r#"{"cells":[{"cell_type":"code","id":"a","metadata":{},"source":"1","outputs":[],"execution_count":null}],"metadata":{},"nbformat":4,"nbformat_minor":5}"#;
        portal.add_item(&NOTEBOOK.to_string(), "admin", "private", &[], notebook.as_bytes());
        // A cook takes as long as its line.
        gis.set_queue(Duration::from_millis(200), Duration::from_millis(600));
        let file = dir.path().join("isochrone.toml");
        let insights_at = format!(
            "[http_jobs.UpdateInsightsWorkbook]\nurl = \"{}\"\ntoken = \"{}\"\n",
            insights.url(),
            SimulatedHttpJobs::TOKEN
        );
        std::fs::write(&file, insights_at)?;
        let file = file.to_str().context("a path of text")?.to_owned();
        let options = ServerOptions::new(binary, dir.path().join("data"))
            .shared_python()?
            .env("ISOCHRONE__EGRESS__SERVERS", gis.url())
            .env("ISOCHRONE__WORKFLOW_MANAGER__SERVER", workflows.url())
            .env("ISOCHRONE__PORTAL__URL", portal.url())
            .env("ISOCHRONE__PORTAL__USER", SimulatedPortal::ADMIN)
            .env("ISOCHRONE_PORTAL_PASSWORD", SimulatedPortal::PASSWORD)
            .env("ISOCHRONE__LIMITS__NOTEBOOK_TASKS_PER_USER", 0)
            .env("ISOCHRONE__LIMITS__NOTEBOOK_TASKS", 0)
            .env("ISOCHRONE__LIMITS__INSIGHTS_TASKS_PER_USER", 0)
            .env("ISOCHRONE__LIMITS__INSIGHTS_TASKS", 0)
            .env("ISOCHRONE__WORKER__LEASE_SECONDS", 1)
            .command(&["--config", &file, "up", "--http", "127.0.0.1:0"]);
        Ok(House { options, portal, gis, workflows, insights, dir })
    }

    async fn start(&self) -> Result<Server> {
        Server::start(&self.options).await?.sign_in().await
    }

    /// Makes a task of its own for a run, and asks for it. The work takes seconds.
    async fn begin(&self, server: &Server, kind: Kind, tag: &str) -> Result<Begun> {
        let item = NOTEBOOK.to_string();
        let slow = self.gis.task("Slow");
        let scene = format!("{}/rest/services/Hosted/{tag}/SceneServer", self.gis.url());
        let (name, parameters) = match kind {
            Kind::GpService => ("GPService", json!({"seconds": 1.5, "tag": tag})),
            Kind::SceneCook => ("ExecuteSceneCook", json!({"service_url": scene})),
            Kind::Workflow => {
                ("ExecuteWorkflowManager", json!({"jobTemplateId": "two-steps", "wait": "closed"}))
            }
            Kind::Insights => ("UpdateInsightsWorkbook", json!({"seconds": 2})),
            Kind::Report => {
                ("ExecuteReport", json!({"reportType": "org", "reportSubType": "users", "title": tag}))
            }
            Kind::Notebook => ("ExecuteNotebook", json!({})),
        };
        let parameters = parameters.to_string();
        let never =
            [("minute", "0"), ("hour", "0"), ("dayOfMonth", "29"), ("month", "2"), ("dayOfWeek", "?")];
        let mut form = vec![
            ("type", name),
            ("title", tag),
            ("itemId", &item),
            ("parameters", &parameters),
            ("crashPolicy", "atMostOnce"),
            ("allowUnknownParameters", "true"),
        ];
        if kind == Kind::GpService {
            form.push(("taskURL", &slow));
        }
        let task = server.create_task(&[&never[..], &form].concat()).await?;
        let asked = server.post(&format!("{USERS}/tasks/{task}/run"), &[]).await?;
        let run = asked["runId"].as_str().with_context(|| format!("{asked}"))?;
        Ok(Begun { kind, tag: tag.to_owned(), task, run: run.parse().context("a run's id")? })
    }

    async fn cancel(&self, server: &Server, begun: &Begun) -> Result<()> {
        server.post(&format!("{USERS}/tasks/{}/runs/{}/cancel", begun.task, begun.run), &[]).await.map(drop)
    }

    /// Every run, as the store has it.
    async fn runs(&self) -> Result<BTreeMap<RunId, Run>> {
        let store = SqliteStore::open(&self.options.data_dir, Clock::SYSTEM)?;
        let mut runs = BTreeMap::new();
        loop {
            let page = Page { offset: runs.len() as u64, limit: PART };
            let part = store.runs(&RunFilter::default(), page).await?.rows;
            if part.is_empty() {
                return Ok(runs);
            }
            runs.extend(part.into_iter().map(|run| (run.id, run)));
        }
    }

    /// How many runs have not ended.
    async fn open(&self) -> Result<u64> {
        let store = SqliteStore::open(&self.options.data_dir, Clock::SYSTEM)?;
        let open = RunFilter { ended: Some(false), ..RunFilter::default() };
        Ok(store.runs(&open, Page { offset: 0, limit: 1 }).await?.total)
    }

    /// What the servers have seen, by the tags of tasks and the ids of runs.
    fn seen(&self) -> BTreeMap<String, Seen> {
        let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
        let mut note = |key: &str, told: bool| {
            let of_run = seen.entry(key.to_owned()).or_default();
            of_run.jobs += 1;
            of_run.told += usize::from(told);
        };
        for submission in self.gis.submissions() {
            let parameters = &submission.parameters;
            let of_scene = |url: &String| url.rsplit('/').nth(1).unwrap_or_default().to_owned();
            let tag = parameters.get("tag").cloned();
            let tag = tag.or_else(|| parameters.get("service_url").map(of_scene)).unwrap_or_default();
            note(&tag, submission.cancelled);
        }
        let stopped = self.workflows.stopped_jobs();
        for id in self.workflows.jobs().keys() {
            note(&id.replace('-', ""), stopped.contains(id));
        }
        let ended = self.insights.ended_runs();
        for order in self.insights.jobs() {
            let run = order["runId"].as_str().unwrap_or_default().to_owned();
            note(&run, ended.contains(&run));
        }
        for (title, removed) in self.portal.report_titles() {
            note(&title, removed);
        }
        seen
    }

    /// What the servers have seen of a run.
    fn seen_of(seen: &BTreeMap<String, Seen>, begun: &Begun) -> Seen {
        let key = match begun.kind {
            Kind::Workflow | Kind::Insights => begun.run.to_string(),
            _ => begun.tag.clone(),
        };
        seen.get(&key).copied().unwrap_or_default()
    }

    /// Everything that it leaves is kept, and lies there.
    fn keep(self) -> std::path::PathBuf {
        self.dir.keep()
    }
}

/// Does something to a house. If it fails, what the house wrote is kept, and the error says where.
async fn in_house<T>(binary: &Path, act: impl AsyncFnOnce(&House) -> Result<T>) -> Result<T> {
    let house = House::new(binary).await?;
    let done = act(&house).await;
    done.map_err(|error| error.context(format!("what the house wrote lies in {}", house.keep().display())))
}

/// Each run is there.
fn all_there(begun: &[Begun], runs: &BTreeMap<RunId, Run>) -> Result<()> {
    ensure!(runs.len() == begun.len(), "{} runs were asked for, and {} are kept", begun.len(), runs.len());
    begun.iter().try_for_each(|begun| {
        ensure!(runs.contains_key(&begun.run), "{begun:?} is not kept");
        Ok(())
    })
}
