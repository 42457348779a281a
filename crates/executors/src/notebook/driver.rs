//! The driver's process: a small Python program on nbclient that executes the notebook.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use isochrone_domain::{Run, TaskId};
use isochrone_worker::{Attempt, BootTime, Trust};
use rustix::process::{Pid, Signal, kill_process, setpriority_process};
use serde::Serialize;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::config::Config;
use super::document::Receiver;
use super::isolation::{Confined, Confinement, Parent};
use super::network::{NetworkTier, RunNetwork, proxies, variables};
use super::scratch::{NotebookPath, Scratch};
use super::secrets::RunSecrets;
use super::tree::{Spare, Tree};
use crate::untrusted::UntrustedDir;

/// What is executed first of the driver's [`FILES`].
const PROGRAM: &str = "driver.py";

/// The folder of the others.
const PACKAGE: &str = "notebook_driver";

/// The driver, by names below the folder that a notebook can only read.
const FILES: [(&str, &str); 14] = [
    (PROGRAM, include_str!("driver/driver.py")),
    ("notebook_driver/__init__.py", include_str!("driver/notebook_driver/__init__.py")),
    ("notebook_driver/client.py", include_str!("driver/notebook_driver/client.py")),
    ("notebook_driver/document.py", include_str!("driver/notebook_driver/document.py")),
    ("notebook_driver/events.py", include_str!("driver/notebook_driver/events.py")),
    ("notebook_driver/kernel_launcher.py", include_str!("driver/notebook_driver/kernel_launcher.py")),
    ("notebook_driver/kernels.py", include_str!("driver/notebook_driver/kernels.py")),
    ("notebook_driver/main.py", include_str!("driver/notebook_driver/main.py")),
    ("notebook_driver/outputs.py", include_str!("driver/notebook_driver/outputs.py")),
    ("notebook_driver/parameters.py", include_str!("driver/notebook_driver/parameters.py")),
    ("notebook_driver/processes.py", include_str!("driver/notebook_driver/processes.py")),
    ("notebook_driver/reading.py", include_str!("driver/notebook_driver/reading.py")),
    ("notebook_driver/suspension.py", include_str!("driver/notebook_driver/suspension.py")),
    ("notebook_driver/streams.py", include_str!("driver/notebook_driver/streams.py")),
];

/// In the environment of all of a notebook's processes, with a value of the attempt's own.
const MARK: &str = "ISOCHRONE_ATTEMPT";

/// How long a notebook's processes may take to die: a fork bomb competes with its killer.
const KILL_PATIENCE: Duration = Duration::from_secs(30);

/// How long that is tried while the driver is to live. With it a whole namespace ends at once.
const SPARING_PATIENCE: Duration = Duration::from_secs(2);

/// How long the kill is waited for where nothing else may go on meanwhile.
const DROP_PATIENCE: Duration = Duration::from_secs(2);

/// What the driver is told.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Job<'a> {
    notebook: &'a Path,
    working_directory: NotebookPath,
    /// What the paths of the kernel's sockets begin with.
    sockets: NotebookPath,
    parameters: Option<&'a str>,
    /// Variables whose values are asked for at the end.
    outputs: Vec<String>,
    output_bytes: u64,
    /// The most that an executed notebook may have.
    document_bytes: u64,
    /// None: for ever.
    trust: Option<TrustedUntil>,
    /// How long the notebook may stand still before it is killed.
    longest_suspension_ms: u64,
}

/// Until when the notebook may go on, unless the driver is told of another moment. It acts by itself then: the worker may
/// be stopped, too.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
struct TrustedUntil {
    /// By CLOCK_BOOTTIME, which shows the same in every process.
    trusted_until_ms: u64,
}

impl TrustedUntil {
    fn new(until: BootTime) -> Option<TrustedUntil> {
        let until = until.since_boot()?.as_millis();
        Some(TrustedUntil { trusted_until_ms: u64::try_from(until).unwrap_or(u64::MAX) })
    }
}

/// What a driver executes.
pub(super) struct NotebookInput<'a> {
    /// The item's bytes.
    pub(super) notebook: &'a [u8],
    /// The task's.
    pub(super) parameters: Option<&'a str>,
    /// The names of its output parameters.
    pub(super) outputs: Vec<String>,
    /// The owner's.
    pub(super) secrets: &'a RunSecrets,
}

/// A running driver. Dropping it kills it and all that it started.
pub(super) struct Driver {
    child: Child,
    pid: Pid,
    tree: Arc<Mutex<Tree>>,
    folder: Arc<UntrustedDir>,
    ended: bool,
    /// Closes its standard input. The driver ends itself and all others then, so that they don't survive the worker.
    _lifeline: DropGuard,
    /// What serves its network, which ends with it.
    _network: Option<DropGuard>,
    _parent: Parent,
}

/// A driver's output streams.
pub(super) struct Streams {
    pub(super) events: ChildStdout,
    pub(super) errors: ChildStderr,
}

impl Driver {
    /// Starts the notebook that is given.
    pub(super) async fn start(
        python: &Path,
        confinement: &Confinement,
        scratch: &Scratch,
        config: &Config,
        notebook_input: NotebookInput<'_>,
        attempt: &Attempt,
        network: &mut RunNetwork,
    ) -> io::Result<(Driver, Streams, Receiver)> {
        let run = attempt.run();
        let NotebookInput { notebook, parameters, outputs, secrets } = notebook_input;
        let program = scratch.input().join(PROGRAM);
        let input = scratch.input().join("input.ipynb");
        tokio::fs::create_dir(scratch.input().join(PACKAGE)).await?;
        for (name, content) in FILES {
            tokio::fs::write(scratch.input().join(name), content).await?;
        }
        tokio::fs::write(&input, notebook).await?;
        let token = TaskId::random().to_string();
        let ports = network.ports();
        let proxy = (confinement.network == NetworkTier::Guarded).then(|| ports.proxy());
        let mut start = confinement.start(python, &program, scratch, ports)?;
        let command = &mut start.command;
        command.env_clear().envs(variables(&config.environment)).envs(proxy.into_iter().flat_map(proxies));
        // What Isochrone sets itself goes before.
        command.envs(secrets.variables());
        set_up(command, python, scratch, &token, run);
        let Confined { mut child, pid, handover, parent, user } = start.spawn().await?;
        let (Some(mut lifeline), Some(events), Some(errors)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(io::Error::other("the driver ended before it began"));
        };
        let network = match handover {
            Some(handover) => Some(network.serve(handover).await?),
            None => None,
        };
        // Before it has read its job, it has started nothing.
        let group = confinement.limits().hold(pid, config, user.as_ref())?;
        let tree = Arc::new(Mutex::new(Tree::new(pid.as_raw_pid(), format!("{MARK}={token}"), group, user)));
        let document_bytes = document_bytes(notebook.len() as u64, config);
        let job = Job {
            notebook: &input,
            working_directory: scratch.work(),
            sockets: scratch.runtime().join("k"),
            parameters,
            outputs,
            output_bytes: config.output_bytes(),
            document_bytes,
            trust: TrustedUntil::new(attempt.trust().until()),
            longest_suspension_ms: u64::try_from(attempt.trust().longest_suspension().as_millis())
                .unwrap_or(u64::MAX),
        };
        let mut line = serde_json::to_vec(&job)?;
        line.push(b'\n');
        // A driver that dies at once is told by its exit, not by this.
        drop(lifeline.write_all(&line).await);
        let (cut, lifeline) = (CancellationToken::new(), lifeline);
        tokio::spawn(cut.clone().run_until_cancelled_owned(pass_on_trust(lifeline, attempt.trust().clone())));
        let driver = Driver {
            child,
            pid,
            tree,
            folder: Arc::new(scratch.own_folder().again()?),
            ended: false,
            _lifeline: cut.drop_guard(),
            _network: network,
            _parent: parent,
        };
        let document = Receiver::new(scratch.outer(), document_bytes);
        Ok((driver, Streams { events, errors }, document))
    }

    pub(super) fn tree(&self) -> Arc<Mutex<Tree>> {
        Arc::clone(&self.tree)
    }

    /// What the notebook writes in.
    pub(super) fn folder(&self) -> Arc<UntrustedDir> {
        Arc::clone(&self.folder)
    }

    /// The most memory that the notebook's processes had, in bytes.
    pub(super) fn peak_memory(&self) -> u64 {
        self.tree.lock().unwrap_or_else(PoisonError::into_inner).peak_memory
    }

    /// Asks the driver to interrupt the notebook and to end.
    pub(super) fn interrupt(&self) {
        if self.tree.lock().unwrap_or_else(PoisonError::into_inner).driver_lives() {
            // It may have ended by itself.
            let _ = kill_process(self.pid, Signal::TERM);
        }
    }

    /// Whether a fork bomb is sure to end only with the driver.
    pub(super) fn is_faster_without_it(&self) -> bool {
        self.tree.lock().unwrap_or_else(PoisonError::into_inner).is_faster_without_driver()
    }

    /// Kills everything but the driver.
    pub(super) async fn kill_notebook(&self) {
        self.kill(Spare::Driver).await;
    }

    /// Gives the driver `grace` to end by itself and kills whatever is left, the driver last. Says how
    /// the driver ended by itself, if it did.
    pub(super) async fn end(&mut self, grace: Duration) -> Option<ExitStatus> {
        let by_itself = tokio::time::timeout(grace, self.child.wait()).await.ok().and_then(Result::ok);
        if !self.is_faster_without_it() {
            self.kill(Spare::Driver).await;
        }
        self.kill(Spare::Nobody).await;
        self.ended = true;
        drop(self.child.wait().await);
        by_itself
    }

    async fn kill(&self, spare: Spare) {
        let (over, killed) = oneshot::channel();
        kill_in_thread(self.tree(), spare, move || over.send(()).unwrap_or_default());
        drop(killed.await);
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if !self.ended {
            end_now(self.tree());
        }
    }
}

/// Kills all of it, and waits for that a little.
pub(super) fn end_now(tree: Arc<Mutex<Tree>>) {
    let (over, killed) = std::sync::mpsc::channel();
    kill_in_thread(tree, Spare::Nobody, move || over.send(()).unwrap_or_default());
    let _ = killed.recv_timeout(DROP_PATIENCE);
}

/// In a thread of its own, which may be more urgent than all others.
fn kill_in_thread(tree: Arc<Mutex<Tree>>, spare: Spare, then: impl FnOnce() + Send + 'static) {
    let kill = move || {
        // Only root may; others' fork bombs are bounded by the operating system.
        let _ = setpriority_process(None, -20);
        let mut tree = tree.lock().unwrap_or_else(PoisonError::into_inner);
        let patience = match spare {
            Spare::Driver => SPARING_PATIENCE,
            Spare::Nobody => KILL_PATIENCE,
        };
        if !tree.end(spare, patience) && spare == Spare::Nobody {
            tracing::error!(?spare, ?tree, "some of a notebook's processes can't be killed");
        }
        drop(tree);
        then();
    };
    if let Err(error) = std::thread::Builder::new().name("notebook-end".to_owned()).spawn(kill) {
        tracing::error!(%error, "no thread to kill a notebook's processes");
    }
}

/// Tells the driver until when the notebook may go on, as often as that is renewed. Dropped, it closes the driver's input.
async fn pass_on_trust(mut lifeline: ChildStdin, mut trust: Trust) {
    while let Some(until) = trust.renewed().await {
        let Some(until) = TrustedUntil::new(until) else { break };
        let mut line = serde_json::to_vec(&until).expect("a number is JSON");
        line.push(b'\n');
        if lifeline.write_all(&line).await.is_err() {
            break;
        }
    }
    std::future::pending::<()>().await;
}

/// The most that an executed notebook may have. JSON escapes what it holds, and short lines of output stand there with
/// their indentation.
fn document_bytes(notebook: u64, config: &Config) -> u64 {
    const SLACK: u64 = 1 << 20;
    notebook.saturating_add(config.output_bytes()).saturating_mul(8).saturating_add(SLACK)
}

/// Nothing of the worker's environment is passed on but the search path and the language.
fn set_up(command: &mut Command, python: &Path, scratch: &Scratch, token: &str, run: &Run) {
    command
        .env("PATH", search_path(python))
        .env("LANG", std::env::var_os("LANG").unwrap_or_else(|| "C.UTF-8".into()))
        .env("TZ", "UTC")
        .env("HOME", scratch.home())
        .env("TMPDIR", scratch.temporary())
        .env("IPYTHONDIR", scratch.home().join(".ipython"))
        .env("JUPYTER_RUNTIME_DIR", scratch.runtime())
        // Spares the log a warning of the debugger, which nobody uses here.
        .env("PYDEVD_DISABLE_FILE_VALIDATION", "1")
        .env("ISOCHRONE_TASK_ID", run.task.to_string())
        .env("ISOCHRONE_RUN_ID", run.id.to_string())
        .env("ISOCHRONE_PLANNED", run.planned.to_string())
        .env(MARK, token)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    if scratch.auth_file().exists() {
        command.env("NB_AUTH_FILE", scratch.auth_file());
    }
}

/// The environment's own programs first, as if it were activated.
fn search_path(python: &Path) -> OsString {
    let usual = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    let own = python.parent().map(Path::to_path_buf);
    std::env::join_paths(own.into_iter().chain(std::env::split_paths(&usual))).unwrap_or(usual)
}
