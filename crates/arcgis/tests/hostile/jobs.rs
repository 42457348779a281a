//! What servers of other kinds answer to those whose jobs they have.

use std::pin::Pin;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use isochrone_arcgis::http_job::{HttpJobs, Order};
use isochrone_arcgis::jobs::SubmitOutcome;
use isochrone_arcgis::jobs::submit::order::Ordered;
use isochrone_arcgis::jobs::submit::process::Executed;
use isochrone_arcgis::notebook_server::{Execution, NotebookServer};
use isochrone_arcgis::ogc::{Execution as How, Process};
use isochrone_arcgis::workflow::{Action, Workflow};
use isochrone_arcgis::{Egress, Outbound, SignedIn, Trust};
use isochrone_sandbox::{
    Fault, SimulatedHttpJobs, SimulatedNotebookServer, SimulatedPortal, SimulatedProcesses,
    SimulatedWorkflowManager,
};
use serde_json::{Map, json};

use crate::{MIB, PATIENT, Read, TIMEOUT, assert_outcomes, clients_of, peak, submitted};

const ITEM: &str = "029b61ca770e428d9468a2a55f40b9fb";
const JOB: &str = "9b61ca77-0e42-8d94-68a2-a55f40b9fb02";
/// Part of every path.
const ANY: &str = "/";

/// Servers with a job each, and where it is.
struct Place {
    portal: SimulatedPortal,
    notebooks: SimulatedNotebookServer,
    workflows: SimulatedWorkflowManager,
    processes: SimulatedProcesses,
    http: SimulatedHttpJobs,
    /// To which nothing must ever go.
    elsewhere: SimulatedPortal,
    notebook: String,
    process: String,
    order: String,
}

struct Clients {
    signed_in: SignedIn,
    notebooks: NotebookServer,
    workflows: Workflow,
    slow: Process,
    http: HttpJobs,
}

type Begin<'a> = (&'static str, Pin<Box<dyn Future<Output = SubmitOutcome<()>> + 'a>>);

impl Place {
    async fn new() -> Result<Place> {
        let portal = SimulatedPortal::start().await?;
        portal.add_item(ITEM, "siteadmin", "private", &[], b"{\"cells\": []}");
        let mut place = Place {
            // What it executes a notebook with does not count here.
            notebooks: SimulatedNotebookServer::start(&portal, "false".into()).await?,
            portal,
            workflows: SimulatedWorkflowManager::start().await?,
            processes: SimulatedProcesses::start().await?,
            http: SimulatedHttpJobs::start().await?,
            elsewhere: SimulatedPortal::start().await?,
            notebook: String::new(),
            process: String::new(),
            order: String::new(),
        };
        let clients = place.clients(PATIENT)?;
        let SubmitOutcome::Begun(notebook) = clients.notebooks.execute(&execution()).await else {
            bail!("it is a job");
        };
        place.notebook = notebook;
        clients.workflows.create("endless", JOB, &Map::new()).await;
        let SubmitOutcome::Begun(Executed::Job { location: process, .. }) = execute(&clients.slow).await
        else {
            bail!("it is a job");
        };
        let SubmitOutcome::Begun(Ordered::Job { location: order, .. }) =
            clients.http.begin(&order("first")).await
        else {
            bail!("it is a job");
        };
        (place.process, place.order) = (process, order);
        Ok(place)
    }

    fn clients(&self, timeout: Duration) -> Result<Clients> {
        let (_, signed_in) = clients_of(&self.portal, timeout)?;
        let (trust, timeout) = (Trust::System, Some(timeout));
        let servers = [self.notebooks.url(), self.workflows.url(), self.processes.url()];
        let egress = Egress::new(&servers, false)?;
        let outbound = Outbound::new(egress, &trust, Some(signed_in.clone()), timeout)?;
        let token = Some(SimulatedHttpJobs::TOKEN.to_owned());
        Ok(Clients {
            signed_in,
            notebooks: NotebookServer::new(outbound.clone(), &self.notebooks.url())?,
            workflows: Workflow::new(outbound.clone(), &self.workflows.url(), ITEM)?,
            slow: Process::new(outbound.anonymous(), &self.processes.process("slow"))?,
            http: HttpJobs::new(&self.http.url(), token, &trust, timeout)?,
        })
    }

    fn plan(&self, times: usize, fault: Fault) {
        self.notebooks.plan_fault(ANY, 0, times, fault);
        self.workflows.plan_fault(ANY, 0, times, fault);
        self.processes.plan_fault(ANY, 0, times, fault);
        self.http.plan_fault(ANY, 0, times, fault);
    }

    fn heal(&self) {
        self.notebooks.heal();
        self.workflows.heal();
        self.processes.heal();
        self.http.heal();
    }

    /// What is asked of servers that tell a failure as ArcGIS does.
    fn asked_of_arcgis<'a>(&'a self, clients: &'a Clients) -> Vec<Read<'a>> {
        let Clients { notebooks, workflows, .. } = clients;
        vec![
            ("notebooks, find", Box::pin(async { notebooks.find("no run").await.map(drop) })),
            ("notebooks, job", Box::pin(async { notebooks.job(&self.notebook).await.map(drop) })),
            ("notebooks, cancel", Box::pin(async { notebooks.cancel(&self.notebook).await })),
            ("workflows, job", Box::pin(async { workflows.job(JOB).await.map(drop) })),
            ("workflows, act", Box::pin(async { workflows.act(JOB, Action::Run).await.map(drop) })),
        ]
    }

    /// What is asked of servers that tell a failure by the HTTP status.
    fn asked_of_others<'a>(&'a self, clients: &'a Clients) -> Vec<Read<'a>> {
        let Clients { slow, http, .. } = clients;
        vec![
            ("processes, job", Box::pin(async { slow.job(&self.process).await.map(drop) })),
            ("HTTP jobs, look", Box::pin(async { http.look(&self.order, false).await.map(drop) })),
        ]
    }

    /// How much was begun.
    fn begun(&self, name: &str) -> usize {
        match name {
            "notebooks" => self.notebooks.runs().len(),
            "workflows" => self.workflows.made(),
            "HTTP jobs" => self.http.jobs().len(),
            _ => self.processes.begun(),
        }
    }
}

impl Clients {
    /// What begins something.
    fn begins(&self) -> Vec<Begin<'_>> {
        let Clients { notebooks, workflows, slow, http, .. } = self;
        vec![
            ("notebooks", Box::pin(async { notebooks.execute(&execution()).await.map(drop) })),
            (
                "workflows",
                Box::pin(async { workflows.create("endless", &fresh_id(), &Map::new()).await.map(drop) }),
            ),
            ("processes", Box::pin(async { execute(slow).await.map(drop) })),
            ("HTTP jobs", Box::pin(async { http.begin(&order(&fresh_id())).await.map(drop) })),
        ]
    }
}

async fn execute(process: &Process) -> SubmitOutcome<Executed> {
    process.execute(&json!({"inputs": {"seconds": 0}}), How::Either, TIMEOUT).await
}

fn execution() -> Execution<'static> {
    let (item, task, run) = (ITEM.to_owned(), "a task".to_owned(), "a run".to_owned());
    Execution { item, parameters: None, save_parameters: false, update_item: false, task, run }
}

fn order(run: &str) -> Order<'static> {
    let (task_id, run_id) = ("a task".to_owned(), run.to_owned());
    Order {
        kind: "UpdateInsightsWorkbook",
        task_id,
        run_id,
        item_id: None,
        owner: "siteadmin",
        parameters: None,
    }
}

/// Another one each time.
fn fresh_id() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{:08x}-0e42-8d94-68a2-a55f40b9fb02", NEXT.fetch_add(1, Ordering::Relaxed))
}

pub(crate) async fn check() -> Result<()> {
    let place = Place::new().await?;
    let elsewhere = Fault::Redirect(place.elsewhere.port());
    let ever = usize::MAX;
    // Of what is asked of ArcGIS; of others; of what begins something: its outcome, and how often it was begun.
    #[rustfmt::skip]
    let table = [
        (Fault::ErrorInBody,    ever, "unavailable", "unavailable", ("refused", 0)),
        (Fault::Http500,        ever, "unavailable", "unavailable", ("unknown, unavailable", 0)),
        (Fault::Busy(7),        ever, "busy",        "busy",        ("busy", 0)),
        (Fault::GatewayTimeout, ever, "unavailable", "unavailable", ("unknown, unavailable", 1)),
        // A 2xx is knowledge: whatever is in it, the submission was taken. What is truncated names its job before.
        (Fault::Page,           ever, "unreadable",  "unreadable",  ("taken", 0)),
        (Fault::Truncated,      ever, "unreadable",  "unreadable",  ("done", 0)),
        (Fault::Nested,         ever, "unreadable",  "unreadable",  ("taken", 0)),
        (Fault::Cut,            ever, "unavailable", "unavailable", ("taken", 0)),
        (Fault::Reset,          ever, "unavailable", "unavailable", ("unknown, unavailable", 1)),
        (Fault::SlowDrip,       ever, "unavailable", "unavailable", ("taken", 0)),
        // What begins something is not sent on.
        (Fault::RedirectLoop,   ever, "unavailable", "unavailable", ("refused", 0)),
        (elsewhere,             ever, "unavailable", "unavailable", ("refused", 0)),
        (Fault::Endless,        ever, "unreadable",  "unreadable",  ("taken", 0)),
    ];
    for (fault, times, of_arcgis, of_others, (begin, begun)) in table {
        let clients = place.clients(if fault == Fault::Endless { PATIENT } else { TIMEOUT })?;
        // The token is there, and what the servers are is known.
        clients.signed_in.ask(async |portal, token| portal.portal_self(&token).await).await?;
        clients.notebooks.find("no run").await?;
        clients.workflows.job(JOB).await?;
        let before = peak()?;
        let asked =
            [(place.asked_of_arcgis(&clients), of_arcgis), (place.asked_of_others(&clients), of_others)];
        for (reads, expected) in asked {
            let plan = || place.plan(times, fault);
            assert_outcomes(reads, expected, fault, plan, || place.heal()).await?;
        }
        for (name, beginning) in clients.begins() {
            let were = place.begun(name);
            place.plan(times, fault);
            let outcome = beginning.await;
            place.heal();
            assert_eq!(submitted(&outcome), begin, "{name}: {fault:?}: {outcome:?}");
            assert_eq!(place.begun(name) - were, begun, "{name}: {fault:?}");
        }
        let grown = (peak()? - before) / MIB;
        ensure!(grown < 100, "{fault:?} took {grown} MiB");
    }
    assert_eq!(place.elsewhere.asked(""), 0, "nothing went to another server");
    Ok(())
}
