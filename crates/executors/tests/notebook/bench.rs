//! Where the tests execute notebooks: a real environment, a folder of its own for each, and a look at
//! what is left.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use isochrone_domain::{
    Artifact, AttemptEnd, CronFields, EpochMillis, FireId, Generation, ItemId, ItemSnapshot, ItemVersion,
    LogStream, Nonce, Policies, Reason, Run, RunStatus, Task, TaskId, TaskState, TaskType, Trigger,
    UnknownFields,
};
use isochrone_executors::notebook::{
    Config, Destination, ExecuteNotebook, Homes, Isolation, Lookup, NoContent, Notebooks, PythonEnvironment,
};
use isochrone_worker::{Attempt, BootTime, Executor, Report, StopReason, Trust};
use object_store::path::Path;
use object_store::{ObjectStoreExt, memory::InMemory};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};

pub(crate) const ITEM: ItemId = ItemId::from_bytes([0x11; 16]);

/// The environment that all tests share; kept from one test run to the next.
pub(crate) fn environment() -> PythonEnvironment {
    let python = std::env::var_os(PYTHON).map(PathBuf::from);
    PythonEnvironment::new(environment_folder(), &Config { python, ..Config::default() })
}

/// The environment's Python, for a test on a stage that can't write in the environment's folder, not even its lock.
pub(crate) const PYTHON: &str = "ISOCHRONE_TEST_PYTHON";

pub(crate) fn environment_folder() -> PathBuf {
    static SHARED: OnceLock<PathBuf> = OnceLock::new();
    let folder = SHARED.get_or_init(|| {
        let cache = std::env::var_os("ISOCHRONE_TEST_CACHE").map(PathBuf::from);
        cache.unwrap_or_else(|| env!("CARGO_TARGET_TMPDIR").into()).join("python")
    });
    folder.clone()
}

/// A code cell.
pub(crate) fn cell(source: &str) -> Value {
    tagged(&[], source)
}

pub(crate) fn tagged(tags: &[&str], source: &str) -> Value {
    json!({"cell_type": "code", "metadata": {"tags": tags}, "source": source, "outputs": [],
           "execution_count": null})
}

pub(crate) fn notebook(cells: &[Value]) -> Vec<u8> {
    notebook_for("python3", cells)
}

pub(crate) fn notebook_for(kernel: &str, cells: &[Value]) -> Vec<u8> {
    let language = if kernel.starts_with("python") { "python" } else { kernel };
    let kernel = json!({"name": kernel, "display_name": kernel, "language": language});
    json!({"nbformat": 4, "nbformat_minor": 4, "metadata": {"kernelspec": kernel}, "cells": cells})
        .to_string()
        .into_bytes()
}

struct OneNotebook(Vec<u8>);

#[async_trait]
impl Notebooks for OneNotebook {
    async fn content(&self, id: ItemId, reader: &str) -> Result<Option<(ItemSnapshot, Vec<u8>)>, NoContent> {
        let item = ItemSnapshot {
            owner: reader.to_owned(),
            modified: EpochMillis(0),
            version: ItemVersion::default(),
        };
        Ok((id == ITEM).then(|| (item, self.0.clone())))
    }
}

/// A notebook to be executed, with all around it.
pub(crate) struct Bench {
    pub(crate) config: Config,
    pub(crate) task: Task,
    /// What the worker's configuration says of servers.
    pub(crate) servers: Vec<String>,
    /// Isochrone's own, which no notebook may reach.
    pub(crate) own: Vec<Destination>,
    pub(crate) lookup: Option<Arc<dyn Lookup>>,
    pub(crate) homes: Option<Arc<dyn Homes>>,
    /// How long it may stand still.
    pub(crate) longest_suspension: Duration,
    notebook: Vec<u8>,
    data_dir: PathBuf,
    folder: TempDir,
}

/// What came of it.
pub(crate) struct Outcome {
    pub(crate) end: AttemptEnd,
    pub(crate) took: Duration,
    pub(crate) log: Vec<(LogStream, String)>,
    pub(crate) progress: Vec<String>,
    pub(crate) artifacts: Vec<Artifact>,
    store: Arc<InMemory>,
}

/// An execution that goes on.
pub(crate) struct Execution {
    stop: watch::Sender<Option<StopReason>>,
    trust: watch::Sender<BootTime>,
    log: Arc<Mutex<Vec<(LogStream, String)>>>,
    outcome: tokio::task::JoinHandle<Outcome>,
    folder: TempDir,
}

impl Bench {
    pub(crate) fn new(notebook: Vec<u8>) -> Bench {
        // A folder with a short path, so that the kernel's sockets are files.
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().to_path_buf();
        let (servers, own, lookup, homes) = (Vec::new(), Vec::new(), None, None);
        let (config, task) = (Config::default(), task());
        let longest_suspension = Duration::from_mins(10);
        Bench { config, task, servers, own, lookup, homes, longest_suspension, notebook, data_dir, folder }
    }

    pub(crate) fn cells(sources: &[&str]) -> Bench {
        Bench::new(notebook(&sources.iter().map(|source| cell(source)).collect::<Vec<_>>()))
    }

    pub(crate) fn with_cells(mut self, sources: &[&str]) -> Bench {
        self.notebook = notebook(&sources.iter().map(|source| cell(source)).collect::<Vec<_>>());
        self
    }

    pub(crate) fn parameters(mut self, parameters: &str) -> Bench {
        self.task.parameters = Some(parameters.to_owned());
        self
    }

    pub(crate) fn isolated(mut self, isolation: Isolation) -> Bench {
        self.config.isolation = isolation;
        self
    }

    /// The worker's folder under another name.
    pub(crate) fn through_a_link(mut self) -> Bench {
        let link = self.folder.path().join("link");
        fs::create_dir(self.folder.path().join("data")).unwrap();
        std::os::unix::fs::symlink(self.folder.path().join("data"), &link).unwrap();
        self.data_dir = link;
        self
    }

    /// Where the attempt's folder will be, beside what else the worker has there.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.data_dir.clone()
    }

    pub(crate) fn start(self) -> Execution {
        let environment = match &self.config.python {
            Some(_) => PythonEnvironment::new(self.folder.path().join("unused"), &self.config),
            None if self.config.environments_dir.is_some() => PythonEnvironment::new("unused", &self.config),
            None => environment(),
        };
        let (shared, own) = (self.config.environments_dir.is_none(), environment.clone());
        let notebooks = Arc::new(OneNotebook(self.notebook));
        let mut executor = ExecuteNotebook::new(&self.data_dir, environment, notebooks, self.config)
            .with_servers(self.servers.iter().map(String::as_str), self.own);
        if let Some(lookup) = self.lookup {
            executor = executor.with_lookup(lookup);
        }
        if let Some(homes) = self.homes {
            executor = executor.with_homes(homes);
        }
        let (stop, stopped) = watch::channel(None);
        let (reports, received) = mpsc::channel(64);
        let store = Arc::new(InMemory::new());
        let (trust, until) = watch::channel(BootTime::now() + Duration::from_hours(1));
        let attempt = Attempt::new(self.task, run(), store.clone(), reports, stopped)
            .with_trust(Trust::new(until, self.longest_suspension));
        let log = Arc::default();
        let reader = tokio::spawn(read(received, Arc::clone(&log)));
        let seen = Arc::clone(&log);
        let outcome = tokio::spawn(async move {
            // The environment's making is no part of what is measured, nor is the search for an isolation.
            if shared {
                environment_ready().await;
            }
            if let Ok(python) = own.at_hand().await {
                drop(executor.isolator().tier(&python).await);
            }
            let began = Instant::now();
            let end = executor.execute(&attempt).await;
            let took = began.elapsed();
            drop(attempt);
            let (progress, artifacts) = reader.await.unwrap();
            let log = std::mem::take(&mut *seen.lock().unwrap());
            Outcome { end, took, log, progress, artifacts, store }
        });
        Execution { stop, trust, log, outcome, folder: self.folder }
    }

    pub(crate) async fn run(self) -> Outcome {
        self.start().outcome().await
    }
}

pub(crate) async fn environment_ready() -> PathBuf {
    environment().ready().await.expect("the Python environment can be made")
}

async fn read(
    mut reports: mpsc::Receiver<Report>,
    log: Arc<Mutex<Vec<(LogStream, String)>>>,
) -> (Vec<String>, Vec<Artifact>) {
    let (mut progress, mut artifacts) = (Vec::new(), Vec::new());
    while let Some(report) = reports.recv().await {
        match report {
            Report::Progress(step) => progress.push(step.message),
            // As the worker does, no more than a cap's worth is held.
            Report::Log(stream, line) => {
                let mut log = log.lock().unwrap();
                if log.len() < 1_000 {
                    log.push((stream, line));
                }
            }
            Report::Artifact(artifact) => artifacts.push(artifact),
            Report::Item(_) => {}
            Report::Checkpoint(_, answer) => drop(answer.send(Ok(()))),
        }
    }
    (progress, artifacts)
}

impl Execution {
    /// Waits until the notebook has printed a line that begins so, and returns its rest.
    pub(crate) async fn printed(&self, beginning: &str) -> String {
        let until = Instant::now() + Duration::from_mins(1);
        loop {
            let found = self
                .log
                .lock()
                .unwrap()
                .iter()
                .find_map(|(_, line)| line.strip_prefix(beginning).map(|rest| rest.trim().to_owned()));
            if let Some(rest) = found {
                return rest;
            }
            assert!(!self.outcome.is_finished(), "it ended without printing {beginning:?}");
            assert!(Instant::now() < until, "it never printed {beginning:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn stop(&self, reason: StopReason) {
        self.stop.send(Some(reason)).unwrap();
    }

    /// Until when the attempt's lease is trusted.
    pub(crate) fn trust(&self, until: BootTime) {
        self.trust.send(until).unwrap();
    }

    /// Drops the executor's future, as a worker does whose patience is over.
    pub(crate) async fn abandon(self) {
        self.outcome.abort();
        drop(self.outcome.await);
    }

    pub(crate) async fn outcome(self) -> Outcome {
        let outcome = self.outcome.await.unwrap();
        let left = fs::read_dir(self.folder.path().join("tmp")).into_iter().flatten().flatten();
        let left: Vec<_> = left.collect();
        assert!(left.is_empty(), "the working folder is removed: {left:?}");
        outcome
    }
}

impl Outcome {
    pub(crate) fn result(&self) -> Value {
        match &self.end {
            AttemptEnd::Succeeded { result } => serde_json::from_str(result).unwrap(),
            other => panic!("expected success: {other:?}; log: {:?}", self.log),
        }
    }

    pub(crate) fn failure(&self) -> (Reason, &str) {
        match &self.end {
            AttemptEnd::Failed { reason, result } => (*reason, result),
            other => panic!("expected a failure: {other:?}; log: {:?}", self.log),
        }
    }

    /// Of a run that was not begun.
    pub(crate) fn refusal(&self) -> (Reason, String) {
        match &self.end {
            AttemptEnd::SubmitFailed { reason, result } => (*reason, result.clone()),
            other => panic!("expected a refusal: {other:?}; log: {:?}", self.log),
        }
    }

    pub(crate) fn printed(&self, line: &str) -> bool {
        self.log.iter().any(|(_, logged)| logged == line)
    }

    /// What an artifact has.
    pub(crate) async fn content(&self, name: &str) -> Vec<u8> {
        let artifact = self.artifacts.iter().find(|artifact| artifact.name == name).expect("it is kept");
        let data = self.store.get(&Path::from(artifact.location.clone())).await.unwrap();
        data.bytes().await.unwrap().to_vec()
    }

    /// The executed notebook.
    pub(crate) async fn executed(&self) -> Value {
        let artifact = self.artifacts.first().expect("an executed notebook is kept");
        let data = self.store.get(&Path::from(artifact.location.clone())).await.unwrap();
        serde_json::from_slice(&data.bytes().await.unwrap()).unwrap()
    }
}

/// What this process has in memory, in bytes.
pub(crate) fn own_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// Whether a process with this text among its arguments or in its environment is alive.
pub(crate) fn alive(text: &str) -> Vec<String> {
    let holds = |bytes: Vec<u8>| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    processes
        .filter(|path| path.file_name().unwrap().to_str().unwrap().parse::<u32>().is_ok())
        .filter(|path| path.file_name().unwrap().to_str() != Some(&std::process::id().to_string()))
        .filter(|path| ["cmdline", "environ"].iter().any(|file| fs::read(path.join(file)).is_ok_and(holds)))
        .map(|path| fs::read_to_string(path.join("stat")).unwrap_or_default())
        .filter(|stat| !stat.is_empty() && !stat.contains(") Z "))
        .collect()
}

/// A text that no other process on the machine has.
pub(crate) fn unique() -> String {
    format!("isochrone-test-{}", TaskId::random())
}

fn task() -> Task {
    let any = |text: &str| text.to_owned();
    Task {
        id: TaskId::random(),
        owner: any("anna"),
        title: any("Daily chart"),
        kind: TaskType::ExecuteNotebook,
        item_id: Some(ITEM),
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

fn run() -> Run {
    let fire = FireId::requested(TaskId::random(), [7; 16]);
    Run {
        id: fire.run(),
        task: TaskId::random(),
        fire,
        kind: TaskType::ExecuteNotebook,
        trigger: Trigger::Request { by: "anna".to_owned() },
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
