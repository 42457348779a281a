//! Builds an environment in the sandbox and network that notebooks have, with nothing of the worker's environment but
//! what leads to packages: what is installed may be hostile, and what it brings runs wherever its Python starts.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use isochrone_domain::{TaskId, redact};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStderr, ChildStdout};

use super::super::config::{Config, Network};
use super::super::isolation::{Confined, Isolator};
use super::super::limits::{self, Excess};
use super::super::lines::LineReader;
use super::super::network::{self, Lookup, NetworkTier, Rules, RunNetwork};
use super::super::scratch::{NotebookPath, Scratch};
use super::super::secrets::Secrets;
use super::super::sweep;
use super::super::tree::{Spare, Tree};
use super::PINS;
use super::base::Base;
use super::diagnosis::{self, Said};
use super::error::EnvironmentError;
use super::folder::{Folder, Lock, Manifest};
use super::requirement::Requirement;

const PROGRAM: &str = include_str!("build.py");

/// The environment's folder in that of its build.
const TARGET: &str = "env";

/// In the environment of all of a build's processes.
const MARK: &str = "ISOCHRONE_ATTEMPT";

const LONGEST_EVENT: usize = 1 << 20;
/// What a build that failed before it could say so has written.
const LONGEST_ERRORS: u64 = 4_000;

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

/// What the program is told.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Job {
    python: PathBuf,
    uv: Option<PathBuf>,
    source_builds: bool,
    folder: NotebookPath,
    target: NotebookPath,
    /// Where the environment will be.
    r#final: PathBuf,
    /// One after the other.
    installs: Vec<Install>,
}

/// What is installed at once.
#[derive(Serialize)]
struct Install {
    requirements: Vec<PathBuf>,
    constraints: Vec<PathBuf>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Event {
    Line(String),
    Failed(String),
    Done(Vec<(String, String)>),
}

#[derive(Deserialize)]
struct Written {
    #[serde(flatten)]
    event: Event,
    #[serde(default)]
    lines: Vec<String>,
}

/// Why there is nothing.
enum Failed {
    Step { step: String, lines: Vec<String> },
    Excess(Excess),
    Late,
}

/// What is installed, by name and version.
type Outcome = Result<Vec<(String, String)>, Failed>;

impl Builder {
    /// For environments below `parent`, as `config` wants notebooks to be isolated.
    pub(super) fn new(parent: &Path, config: &Config) -> Builder {
        let uv = installed("uv").filter(|_| !network::index_in_settings_file(&config.environment));
        let build = build_config(config, uv.as_deref());
        Builder {
            parent: parent.to_path_buf(),
            isolator: Isolator::new(parent, &build),
            config: build,
            notebooks: config.clone(),
            uv,
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
        let job = self.job(plan, scratch).map_err(io)?;
        let program = scratch.input().join("build.py");
        fs::write(&program, PROGRAM).map_err(io)?;
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
        let tree = Arc::new(Mutex::new(tree));
        let serving = match handover {
            Some(handover) => network.serve(handover).await.map(Some),
            None => Ok(None),
        };
        let serving = match serving {
            Ok(serving) => serving,
            Err(error) => {
                end(Arc::clone(&tree)).await;
                return Err(io(error));
            }
        };
        let mut line = serde_json::to_vec(&job).map_err(|error| io(error.into()))?;
        line.push(b'\n');
        // One that died at once is told by its end.
        drop(lifeline.write_all(&line).await);
        let watched = self.watch(&tree, scratch, events, errors, say);
        let outcome = network.tell_during(|line| say(redact::urls(&line).into_owned()), watched).await;
        let all_dead = end(tree).await;
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
            outcome = follow(events, errors, say) => outcome,
            excess = limits::watch(Arc::clone(tree), &self.config) => Err(Failed::Excess(excess)),
            excess = limits::watch_folder(Arc::clone(tree), Arc::new(folder), &self.config) => Err(Failed::Excess(excess)),
            () = tokio::time::sleep(limit) => Err(Failed::Late),
        }
    }

    /// Writes what the build reads.
    fn job(&self, plan: &Plan<'_>, scratch: &Scratch) -> io::Result<Job> {
        let write = |name: &str, lines: &[String]| -> io::Result<PathBuf> {
            let path = scratch.input().join(name);
            fs::write(&path, lines.join("\n") + "\n")?;
            Ok(path)
        };
        let pins = write("pins.txt", &[PINS.to_owned()])?;
        let lines = |some: &[&Requirement]| -> Vec<String> { some.iter().map(ToString::to_string).collect() };
        // pip takes hashes for all that it installs at once or for none, and what it installs next must not change them.
        let (hashed, other): (Vec<_>, Vec<_>) = plan.requirements.iter().partition(|one| one.has_hashes());
        let mut installs = Vec::new();
        let (mut together, mut constraints) = (vec![pins.clone()], Vec::new());
        if !hashed.is_empty() {
            installs.push(Install { requirements: std::mem::take(&mut together), constraints: Vec::new() });
            let file = write("hashed.txt", &lines(&hashed))?;
            installs.push(Install { requirements: vec![file], constraints: vec![pins.clone()] });
            let names: Vec<String> = hashed.iter().map(|one| one.without_hashes()).collect();
            constraints.push(write("constraints.txt", &names)?);
        }
        if !other.is_empty() {
            together.push(write("packages.txt", &lines(&other))?);
            constraints.push(pins);
        }
        if !together.is_empty() {
            installs.push(Install { requirements: together, constraints });
        }
        let folder = scratch.work();
        let target = scratch.own().join(TARGET);
        let (source_builds, r#final) = (self.notebooks.allow_source_builds, plan.folder.env());
        let python = plan.base.executable.clone();
        Ok(Job { python, uv: self.uv.clone(), source_builds, folder, target, r#final, installs })
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
fn build_config(config: &Config, uv: Option<&Path>) -> Config {
    let network = match config.network {
        // Packages are somewhere else.
        Network::None => Network::Guarded,
        network => network,
    };
    Config {
        network,
        readable: uv.map(Path::to_path_buf).into_iter().collect(),
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
        .env(MARK, token)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
}

/// Passes on what it says, until it says how it went.
async fn follow(events: ChildStdout, errors: ChildStderr, say: &(dyn Fn(String) + Send + Sync)) -> Outcome {
    let mut words = Vec::new();
    let mut reader = LineReader::new(events, LONGEST_EVENT);
    let listening = async {
        while let Some(line) = reader.next().await {
            match serde_json::from_slice::<Written>(&line) {
                Ok(Written { event: Event::Line(line), .. }) if !of_no_news(&line) => {
                    say(redact::urls(&line).into_owned());
                }
                Ok(Written { event: Event::Line(_), .. }) | Err(_) => {}
                Ok(Written { event: Event::Failed(step), lines }) => {
                    return Some(Err(Failed::Step { step, lines }));
                }
                Ok(Written { event: Event::Done(packages), .. }) => return Some(Ok(packages)),
            }
        }
        None
    };
    let mut errors = errors.take(LONGEST_ERRORS);
    let reading = async {
        drop(errors.read_to_end(&mut words).await);
        // The rest is nobody's, and must not block it.
        drop(tokio::io::copy(errors.get_mut(), &mut tokio::io::sink()).await);
        std::future::pending::<()>().await;
    };
    let outcome = tokio::select! {
        outcome = listening => outcome,
        () = reading => None,
    };
    outcome.unwrap_or_else(|| {
        let text = String::from_utf8_lossy(&words);
        Err(Failed::Step { step: "venv".to_owned(), lines: text.lines().map(str::to_owned).collect() })
    })
}

/// Kills all of it. False: some of it lives.
async fn end(tree: Arc<Mutex<Tree>>) -> bool {
    let kill = move || tree.lock().unwrap_or_else(PoisonError::into_inner).end(Spare::Nobody, KILL_PATIENCE);
    tokio::task::spawn_blocking(kill).await.unwrap_or(false)
}

/// pip tells of each requirement that is for another Python, and of where it looks.
fn of_no_news(line: &str) -> bool {
    const HEADS: [&str; 8] = [
        "Ignoring ",
        "Looking in ",
        "Looking up ",
        "Processing ",
        "Requirement already satisfied",
        "  Downloading ",
        "  Using cached ",
        "[notice]",
    ];
    HEADS.iter().any(|head| line.starts_with(head))
}

fn installed(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let found =
        std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())?;
    found.canonicalize().ok()
}
