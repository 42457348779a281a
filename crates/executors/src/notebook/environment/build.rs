//! Builds an environment in the sandbox and network that notebooks have, with nothing of the worker's environment but
//! what leads to packages: what is installed may be hostile, and what it brings runs wherever its Python starts.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use isochrone_domain::{TaskId, redact};
use tokio::io::AsyncWriteExt;
use tokio::process::{ChildStderr, ChildStdout};

use super::super::config::{Config, Network};
use super::super::driver::end_now;
use super::super::isolation::{Confined, Isolator};
use super::super::limits::{self, Excess};
use super::super::network::{self, Lookup, NetworkTier, Rules, RunNetwork};
use super::super::scratch::Scratch;
use super::super::secrets::Secrets;
use super::super::sweep;
use super::super::tree::{Spare, Tree};
use super::base::Base;
use super::diagnosis::{self, Said};
use super::error::EnvironmentError;
use super::folder::{Folder, Lock, Manifest};
use super::program::{self, Failed, Job, Outcome, TARGET};
use super::requirement::Requirement;
use super::uv;

/// In the environment of all of a build's processes.
const MARK: &str = "ISOCHRONE_ATTEMPT";

const KILL_PATIENCE: Duration = Duration::from_secs(30);

/// Packages may have names and versions of this length.
const LONGEST_NAME: usize = 200;

/// Builds environments.
#[derive(Debug)]
pub(super) struct Builder {
    /// Environments are below it, and folders of builds.
    parent: PathBuf,
    isolator: Isolator,
    /// What bounds a build.
    config: Config,
    /// The operator's, for limits' names.
    notebooks: Config,
    uv: Option<PathBuf>,
}

/// What is to be built.
pub(super) struct Plan<'a> {
    pub(super) base: &'a Base,
    pub(super) folder: &'a Folder,
    pub(super) requirements: &'a [Requirement],
    /// What names them, for people.
    pub(super) origin: &'a str,
}

/// Where builds may connect to, and how names are resolved.
#[derive(Clone, Default)]
pub(super) struct BuildNetwork {
    pub(super) rules: Rules,
    pub(super) lookup: Option<Arc<dyn Lookup>>,
}

impl std::fmt::Debug for BuildNetwork {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BuildNetwork").field("rules", &self.rules).finish_non_exhaustive()
    }
}

impl Builder {
    /// For environments below `parent`, as `config` wants notebooks to be isolated.
    pub(super) fn new(parent: &Path, config: &Config) -> Builder {
        let build = build_config(config);
        Builder {
            parent: parent.to_path_buf(),
            isolator: Isolator::for_builds(parent, &build),
            config: build,
            notebooks: config.clone(),
            uv: uv::find(config),
        }
    }

    /// Builds it in a folder of its own, and puts it in its place when all that built it is dead.
    pub(super) async fn build(
        &self,
        plan: &Plan<'_>,
        lock: &Lock,
        network: BuildNetwork,
        say: &(dyn Fn(String) + Send + Sync),
    ) -> Result<Manifest, EnvironmentError> {
        let io = |error: io::Error| EnvironmentError::Io {
            folder: self.parent.display().to_string(),
            detail: error.to_string(),
        };
        let began = Instant::now();
        let parent = self.parent.clone();
        // What builds that were killed have left.
        drop(tokio::task::spawn_blocking(move || sweep::sweep(&parent)).await);
        plan.folder.clear(lock).map_err(io)?;
        let scratch = Scratch::new(&self.parent).map_err(io)?;
        let outcome = self.run(plan, &scratch, network, say).await;
        let finished = match outcome {
            Ok(Ok(packages)) => self.finish(plan, lock, &scratch, packages, began).await.map_err(io),
            Ok(Err(failed)) => Err(self.failure(plan, failed)),
            Err(error) => Err(error),
        };
        scratch.remove().await;
        finished
    }

    async fn finish(
        &self,
        plan: &Plan<'_>,
        lock: &Lock,
        scratch: &Scratch,
        packages: Vec<(String, String)>,
        began: Instant,
    ) -> io::Result<Manifest> {
        let built = scratch.own_folder();
        let environment = built.dir(OsStr::new(TARGET))?;
        let bytes =
            tokio::task::spawn_blocking(move || limits::size_of(&environment)).await.unwrap_or_default();
        let short = |(name, version): &(String, String)| name.len() + version.len() < LONGEST_NAME;
        let manifest = Manifest {
            python: plan.base.version(),
            requirements: plan.requirements.iter().map(ToString::to_string).collect(),
            packages: packages.into_iter().filter(short).collect(),
            bytes,
            seconds: began.elapsed().as_secs(),
        };
        plan.folder.finish(lock, built, OsStr::new(TARGET), &manifest)?;
        Ok(manifest)
    }

    /// When this returns, none of the build's processes is alive.
    async fn run(
        &self,
        plan: &Plan<'_>,
        scratch: &Scratch,
        network: BuildNetwork,
        say: &(dyn Fn(String) + Send + Sync),
    ) -> Result<Outcome, EnvironmentError> {
        let io = |error: io::Error| EnvironmentError::Io {
            folder: self.parent.display().to_string(),
            detail: error.to_string(),
        };
        let python = &plan.base.executable;
        let confinement = self.isolator.confinement(python).await;
        let confinement = confinement.map_err(|error| EnvironmentError::NoSandbox(error.to_string()))?;
        let source_builds = self.notebooks.allow_source_builds;
        let job = Job::new(plan, scratch, self.uv.as_deref(), source_builds).map_err(io)?;
        let program = program::write(scratch).map_err(io)?;
        let mut network = RunNetwork::new(network.rules, network.lookup);
        let ports = network.ports();
        let proxy = (confinement.network == NetworkTier::Guarded).then(|| ports.proxy());
        let mut start = confinement.start(python, &program, scratch, ports).map_err(io)?;
        let token = TaskId::random().to_string();
        let command = &mut start.command;
        command.env_clear().envs(network::package_variables(&self.notebooks.environment));
        match proxy {
            Some(port) => command.envs(network::proxies(port)),
            None => command.envs(network::own_proxies()),
        };
        set_up(command, python, scratch, &token);
        let Confined { mut child, pid, handover, parent, user } = start.spawn().await.map_err(io)?;
        let (Some(mut lifeline), Some(events), Some(errors)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(io(io::Error::other("the build ended before it began")));
        };
        let group = confinement.limits().hold(pid, &self.config, user.as_ref()).map_err(io)?;
        let tree = Tree::new(pid.as_raw_pid(), format!("{MARK}={token}"), group, user);
        let processes = Processes::new(tree);
        let serving = match handover {
            Some(handover) => network.serve(handover).await.map(Some),
            None => Ok(None),
        };
        let serving = match serving {
            Ok(serving) => serving,
            Err(error) => {
                processes.end().await;
                return Err(io(error));
            }
        };
        let mut line = serde_json::to_vec(&job).map_err(|error| io(error.into()))?;
        line.push(b'\n');
        // One that died at once is told by its end.
        drop(lifeline.write_all(&line).await);
        let watched = self.watch(&processes.tree, scratch, events, errors, say);
        let outcome = network.report_during(|line| say(redact::urls(&line).into_owned()), watched).await;
        let all_dead = processes.end().await;
        drop(child.wait().await);
        drop((parent, serving, lifeline));
        if all_dead {
            Ok(outcome)
        } else {
            Err(io(io::Error::other("some of the build's processes can't be killed")))
        }
    }

    /// Follows it to its end or to a limit.
    async fn watch(
        &self,
        tree: &Arc<Mutex<Tree>>,
        scratch: &Scratch,
        events: ChildStdout,
        errors: ChildStderr,
        say: &(dyn Fn(String) + Send + Sync),
    ) -> Outcome {
        let Ok(folder) = scratch.own_folder().again() else { return Err(Failed::Late) };
        let limit = Duration::from_secs(self.notebooks.environment_timeout_seconds);
        tokio::select! {
            biased;
            outcome = program::follow(events, errors, say) => outcome,
            excess = limits::watch(Arc::clone(tree), &self.config) => Err(Failed::Excess(excess)),
            excess = limits::watch_folder(Arc::clone(tree), Arc::new(folder), &self.config) => Err(Failed::Excess(excess)),
            () = tokio::time::sleep(limit) => Err(Failed::Late),
        }
    }

    fn failure(&self, plan: &Plan<'_>, failed: Failed) -> EnvironmentError {
        let origin = plan.origin.to_owned();
        let limit = self.notebooks.environment_timeout_seconds;
        match failed {
            Failed::Step { step, lines } => {
                let lines: Vec<String> = lines.iter().map(|line| redact::urls(line).into_owned()).collect();
                let said = Said { lines: &lines, source_builds: self.notebooks.allow_source_builds };
                diagnosis::of(&step, &origin, &said)
            }
            Failed::Excess(Excess::Disk) => {
                let most = self.notebooks.environment_mib;
                let excess =
                    format!("it takes more than {most} MiB of the disk ([notebook] environment_mib)");
                EnvironmentError::Excess { origin, excess }
            }
            Failed::Excess(excess) => {
                let excess = excess.sentence(&self.config).replace("the notebook", "its build");
                EnvironmentError::Excess { origin, excess }
            }
            Failed::Late => {
                let excess =
                    format!("it took longer than {limit} s ([notebook] environment_timeout_seconds)");
                EnvironmentError::Excess { origin, excess }
            }
        }
    }
}

/// What a build may see and use: nothing that is meant for notebooks but the network and the limits.
fn build_config(config: &Config) -> Config {
    let network = match config.network {
        // Packages are somewhere else.
        Network::None => Network::Guarded,
        network => network,
    };
    Config {
        network,
        readable: Vec::new(),
        writable: Vec::new(),
        secrets: Secrets::new(),
        file_mib: config.environment_mib,
        disk_mib: config.environment_mib,
        ..config.clone()
    }
}

fn set_up(command: &mut tokio::process::Command, python: &Path, scratch: &Scratch, token: &str) {
    let own = python.parent().map(Path::to_path_buf);
    let system = ["/usr/local/bin", "/usr/bin", "/bin"].map(PathBuf::from);
    let path = std::env::join_paths(own.into_iter().chain(system))
        .unwrap_or_else(|_| OsString::from("/usr/bin:/bin"));
    command
        .env("PATH", path)
        .env("LANG", "C.UTF-8")
        .env("TZ", "UTC")
        .env("HOME", scratch.home())
        .env("TMPDIR", scratch.temporary())
        .env("PYTHONUNBUFFERED", "1")
        // Nobody else may write where others take packages from.
        .env("PIP_NO_CACHE_DIR", "1")
        .env("UV_CACHE_DIR", scratch.home().join("uv"))
        .env("UV_PYTHON_DOWNLOADS", "never")
        // The machine's certificates, as pip does; earlier versions call it otherwise.
        .env("UV_SYSTEM_CERTS", "true")
        .env("UV_NATIVE_TLS", "true")
        .env(MARK, token)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
}

/// A build's processes. Dropping this kills them, as where the worker ends amid a build.
struct Processes {
    tree: Arc<Mutex<Tree>>,
    ended: bool,
}

impl Processes {
    fn new(tree: Tree) -> Processes {
        Processes { tree: Arc::new(Mutex::new(tree)), ended: false }
    }

    /// Kills all of them. False: some of them live.
    async fn end(mut self) -> bool {
        let tree = Arc::clone(&self.tree);
        let kill =
            move || tree.lock().unwrap_or_else(PoisonError::into_inner).end(Spare::Nobody, KILL_PATIENCE);
        let all_dead = tokio::task::spawn_blocking(kill).await;
        self.ended = true;
        all_dead.unwrap_or(false)
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        if !self.ended {
            end_now(Arc::clone(&self.tree));
        }
    }
}
