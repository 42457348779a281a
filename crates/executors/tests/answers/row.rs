//! One row of a table: what a server answers, and what becomes of the run.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use isochrone_arcgis::http_job::HttpJobs;
use isochrone_arcgis::reports::Reports;
use isochrone_arcgis::{Connection, Credentials, Egress, Outbound, Portal, SignedIn, Trust as Tls};
use isochrone_domain::{
    Artifact, AttemptEnd, AuditEntry, CronFields, EpochMillis, FireId, Generation, ItemId, Nonce, Policies,
    Reason, Role, Run, RunStatus, Task, TaskId, TaskState, TaskType, Trigger, UnknownFields,
};
use isochrone_executors::gp_job::GpJobs;
use isochrone_executors::gp_service::GpService;
use isochrone_executors::http_job::HttpJob;
use isochrone_executors::notebook_server::RemoteNotebook;
use isochrone_executors::report::{ExecuteReport, FireRecord, Records, Span, UserRecord};
use isochrone_executors::workflow_manager::ExecuteWorkflowManager;
use isochrone_executors::{Trust, WayOut};
use isochrone_worker::{Attempt, Executor, Report};
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use tokio::sync::{mpsc, watch};

use crate::server::{Asked, Reply, Script, ScriptedServer, json};

/// Of one request, on a machine that does much at once.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(40);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Ogc,
    Geoprocessing,
    Plain,
    Notebook,
    Workflow,
    PortalReport,
}

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Succeeded,
    Failed(Reason),
    SubmitFailed(Reason),
}

pub(crate) struct Row {
    pub(crate) name: &'static str,
    protocol: Protocol,
    script: Script,
    parameters: Option<&'static str>,
    timeout: Duration,
    end: End,
    told: &'static str,
    submissions: usize,
    orders: Option<usize>,
    artifact: Option<(&'static str, &'static str, Vec<u8>)>,
    logged: Option<&'static str>,
}

impl Row {
    pub(crate) fn new(protocol: Protocol, name: &'static str) -> Row {
        Row {
            name,
            protocol,
            script: Script::new(),
            parameters: None,
            timeout: TIMEOUT,
            end: End::Succeeded,
            told: "",
            submissions: 1,
            orders: None,
            artifact: None,
            logged: None,
        }
    }

    /// It answers so to what begins a job: the first, the second and so on.
    pub(crate) fn submit(self, replies: impl Into<Vec<Reply>>) -> Row {
        self.answers(Asked::Submit, replies)
    }

    /// It answers so to looks at the job.
    pub(crate) fn look(self, replies: impl Into<Vec<Reply>>) -> Row {
        self.answers(Asked::Look, replies)
    }

    pub(crate) fn results(self, replies: impl Into<Vec<Reply>>) -> Row {
        self.answers(Asked::Results, replies)
    }

    pub(crate) fn answers(mut self, what: Asked, replies: impl Into<Vec<Reply>>) -> Row {
        self.script.insert(what, replies.into());
        self
    }

    pub(crate) fn with(mut self, parameters: &'static str) -> Row {
        self.parameters = Some(parameters);
        self
    }

    /// A request may take so long.
    pub(crate) fn within(mut self, timeout: Duration) -> Row {
        self.timeout = timeout;
        self
    }

    /// The run ends so, and its result has this text.
    pub(crate) fn ends(mut self, end: End, told: &'static str) -> Row {
        (self.end, self.told) = (end, told);
        self
    }

    /// The server counts so many submissions; one where nothing is said.
    pub(crate) fn submitted(mut self, times: usize) -> Row {
        self.submissions = times;
        self
    }

    pub(crate) fn steered(mut self, times: usize) -> Row {
        self.orders = Some(times);
        self
    }

    pub(crate) fn keeps(mut self, name: &'static str, kind: &'static str, bytes: impl AsRef<[u8]>) -> Row {
        self.artifact = Some((name, kind, bytes.as_ref().to_vec()));
        self
    }

    pub(crate) fn logs(mut self, line: &'static str) -> Row {
        self.logged = Some(line);
        self
    }

    /// Tries it; what is wrong.
    pub(crate) async fn wrong(mut self) -> Option<String> {
        let script = std::mem::take(&mut self.script);
        let server = ScriptedServer::start(defaults(script)).await;
        let (executor, task) = executor(self.protocol, &server.url, self.timeout, self.parameters);
        let (_stop, stopped) = watch::channel(None);
        let (reports, received) = mpsc::channel(64);
        let store = Arc::new(InMemory::new());
        let attempt = Attempt::new(task, run(executor.kind()), store.clone(), reports, stopped);
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let reader = tokio::spawn(read(received, Arc::clone(&log)));
        let end = executor.execute(&attempt).await;
        drop(attempt);
        let artifacts = reader.await.unwrap();
        let (is, result) = match &end {
            AttemptEnd::Succeeded { result } => (Some(End::Succeeded), result.as_str()),
            AttemptEnd::Failed { reason, result } => (Some(End::Failed(*reason)), result.as_str()),
            AttemptEnd::SubmitFailed { reason, result } => {
                (Some(End::SubmitFailed(*reason)), result.as_str())
            }
            _ => (None, ""),
        };
        let log = log.lock().unwrap().join("\n  ");
        let wrong = |what: String| Some(format!("{}: {what}; {end:?}\n  {log}", self.name));
        if is != Some(self.end) {
            return wrong(format!("it should be {:?}", self.end));
        }
        if !result.contains(self.told) {
            return wrong(format!("its result lacks '{}'", self.told));
        }
        if server.asked(Asked::Submit) != self.submissions {
            return wrong(format!("{} submissions, not {}", server.asked(Asked::Submit), self.submissions));
        }
        if self.orders.is_some_and(|orders| server.asked(Asked::Steer) != orders) {
            return wrong(format!("{} orders", server.asked(Asked::Steer)));
        }
        if let Some(line) = self.logged.filter(|line| log.matches(line).count() != 1) {
            return wrong(format!("its log lacks '{line}', or has it twice"));
        }
        if let Some((name, kind, bytes)) = &self.artifact {
            let found =
                artifacts.iter().find(|artifact| artifact.name == *name && artifact.content_type == *kind);
            let Some(found) = found else {
                return wrong(format!("it keeps no {name} ({kind}): {artifacts:?}"));
            };
            let kept = store.get(&Path::from(found.location.clone())).await.unwrap().bytes().await.unwrap();
            if kept != bytes[..] {
                return wrong(format!("{name} has other bytes"));
            }
        }
        None
    }
}

/// What servers answer where a row says nothing.
pub(crate) fn defaults(mut script: Script) -> Script {
    for (what, body) in [
        (Asked::Results, r#"{"answer":42}"#),
        (Asked::Describe, r#"{"jobControlOptions":["async-execute","sync-execute"]}"#),
        (Asked::List, r#"{"asyncJobs":[]}"#),
        (Asked::Owner, r#"{"username":"ann"}"#),
        (Asked::Steer, r#"{"status":"ok"}"#),
    ] {
        script.entry(what).or_insert_with(|| vec![json(200, body)]);
    }
    script
}

struct Everybody;

#[async_trait]
impl Trust for Everybody {
    async fn trusts(&self, _owner: &str) -> Result<bool, String> {
        Ok(false)
    }
}

/// Everybody is an administrator.
struct OnlyRoles;

#[async_trait]
impl Records for OnlyRoles {
    async fn audit(&self, _span: Span) -> Result<Vec<AuditEntry>, String> {
        Ok(Vec::new())
    }

    async fn fires(&self, _span: Span) -> Result<Vec<FireRecord>, String> {
        Ok(Vec::new())
    }

    async fn tasks(&self) -> Result<Vec<Task>, String> {
        Ok(Vec::new())
    }

    async fn role(&self, _user: &str) -> Result<Option<Role>, String> {
        Ok(Some(Role::Admin))
    }

    async fn users(&self) -> Result<Vec<UserRecord>, String> {
        Ok(Vec::new())
    }
}

pub(crate) fn executor(
    protocol: Protocol,
    url: &str,
    timeout: Duration,
    parameters: Option<&str>,
) -> (Box<dyn Executor>, Task) {
    let timeout = Some(timeout);
    let egress = Egress::new(&[url.to_owned()], false).unwrap();
    let outbound = Outbound::new(egress, &Tls::Anybody, None, timeout).unwrap();
    let way_out = WayOut::new(outbound, Arc::new(Everybody));
    let (executor, task_url): (Box<dyn Executor>, Option<String>) = match protocol {
        Protocol::Ogc => (
            Box::new(GpService::new(GpJobs::new(way_out.clone()), way_out)),
            Some(format!("{url}/ogc/processes/p")),
        ),
        Protocol::Geoprocessing => (
            Box::new(GpService::new(GpJobs::new(way_out.clone()), way_out)),
            Some(format!("{url}/server/rest/services/S/GPServer/T")),
        ),
        Protocol::Plain => {
            let token = Some("a-token".to_owned());
            let jobs = HttpJobs::new(&format!("{url}/api/jobs"), token, &Tls::Anybody, timeout).unwrap();
            (Box::new(HttpJob::new(TaskType::UpdateInsightsWorkbook, jobs)), None)
        }
        Protocol::Notebook => (Box::new(RemoteNotebook::new(way_out, &format!("{url}/nb"))), None),
        Protocol::Workflow => {
            (Box::new(ExecuteWorkflowManager::new(way_out, &format!("{url}/server"))), None)
        }
        Protocol::PortalReport => {
            let connection = Connection { url: format!("{url}/portal"), trust: Tls::Anybody, timeout };
            let portal = SignedIn::new(Portal::new(&connection).unwrap(), Credentials::Token("t".to_owned()));
            (Box::new(ExecuteReport::new(Arc::new(OnlyRoles), Some(Reports::new(portal)))), None)
        }
    };
    let otherwise = match protocol {
        Protocol::Workflow => r#"{"jobTemplateId":"t"}"#,
        Protocol::PortalReport => r#"{"reportType":"org","reportSubType":"users"}"#,
        _ => "{}",
    };
    let mut task = task(executor.kind());
    (task.task_url, task.parameters) = (task_url, Some(parameters.unwrap_or(otherwise).to_owned()));
    (executor, task)
}

async fn read(mut reports: mpsc::Receiver<Report>, log: Arc<Mutex<Vec<String>>>) -> Vec<Artifact> {
    let mut artifacts = Vec::new();
    while let Some(report) = reports.recv().await {
        match report {
            Report::Log(_, line) => log.lock().unwrap().push(line),
            Report::Artifact(artifact) => artifacts.push(artifact),
            Report::Checkpoint(_, answer) => drop(answer.send(Ok(()))),
            Report::Progress(_) | Report::Item(_) => {}
        }
    }
    artifacts
}

fn task(kind: TaskType) -> Task {
    let any = |text: &str| text.to_owned();
    Task {
        id: TaskId::random(),
        owner: any("ann"),
        title: any("A task"),
        kind,
        item_id: Some(ItemId::from_bytes([0x11; 16])),
        task_url: None,
        parameters: None,
        cron: CronFields {
            minute: any("0"),
            hour: any("*"),
            day_of_month: any("*"),
            month: any("*"),
            day_of_week: any("?"),
        },
        start: None,
        end: None,
        max_occurrences: None,
        occurrences: 1,
        policies: Policies::default(),
        pinned: None,
        generation: Generation(1),
        state: TaskState::Active,
        next_fire: None,
        last_fire: None,
        consecutive_failures: 0,
        created: EpochMillis(0),
        updated: EpochMillis(0),
        request: None,
        version: 1,
        unknown: UnknownFields::NONE,
    }
}

pub(crate) fn run(kind: TaskType) -> Run {
    let fire = FireId::requested(TaskId::random(), [7; 16]);
    Run {
        id: fire.run(),
        task: TaskId::random(),
        fire,
        kind,
        trigger: Trigger::Request { by: "ann".to_owned() },
        planned: EpochMillis(1_767_225_600_000),
        fired: Reason::Requested,
        status: RunStatus::Waiting,
        attempt: 1,
        nonce: Nonce::NONE,
        expired: false,
        finished: Vec::new(),
        failures: 0,
        crashes: 0,
        cancel: None,
        created: EpochMillis(1_767_225_600_000),
        started: None,
        progress: None,
        handle: None,
        item: None,
        result: None,
        artifacts: Vec::new(),
        unknown: UnknownFields::NONE,
    }
}
