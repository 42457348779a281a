//! The Python that executes notebooks: one that the operator names, or a virtual environment that is
//! made on first use from the pinned requirements that this program ships.

use std::ffi::OsStr;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Command;
use tokio::sync::{Mutex, broadcast, mpsc};

use super::config::Config;
use crate::untrusted::UntrustedDir;

const REQUIREMENTS: &str = include_str!("requirements.txt");

/// In a finished environment; without it, the making was interrupted.
const MARKER: &str = "isochrone-complete";

/// The oldest Python that the requirements have versions for.
const OLDEST: (u32, u32) = (3, 9);

/// Longer, and pip is given up.
const PIP_PATIENCE: Duration = Duration::from_mins(15);

/// Why there is no Python to execute notebooks with, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentError {
    /// No `python3` on the search path.
    #[error(
        "python3 was not found; install it (Debian, Ubuntu: apt-get install python3 python3-venv) or set [notebook] python"
    )]
    PythonMissing,
    /// It is too old.
    #[error(
        "python3 is {found}, and notebooks need 3.9 or later; set [notebook] python to a newer one that has nbclient and ipykernel"
    )]
    PythonTooOld {
        /// Its version.
        found: String,
    },
    /// It can't make virtual environments.
    #[error(
        "python3 can't make virtual environments ({detail}); install its venv module (Debian, Ubuntu: apt-get install python3-venv)"
    )]
    VenvMissing {
        /// What Python says.
        detail: String,
    },
    /// pip could not install the packages.
    #[error(
        "pip could not install the notebook packages; if the Python package index can't be reached from here, set [notebook] python to a Python that has nbclient and ipykernel. pip's last words:\n{last_lines}"
    )]
    Install {
        /// The end of what pip wrote.
        last_lines: String,
    },
    /// The Python that the operator named can't be used.
    #[error(
        "[notebook] python = {python}: {detail}; it needs nbclient and ipykernel (pip install nbclient ipykernel, or Debian, Ubuntu: apt-get install python3-nbclient python3-ipykernel)"
    )]
    Configured {
        /// Its path.
        python: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The machine refused something.
    #[error("the Python environment can't be made in {folder}: {detail}")]
    Io {
        /// Where.
        folder: String,
        /// What.
        detail: String,
    },
}

/// The Python environment; clones share it.
#[derive(Clone, Debug)]
pub struct PythonEnvironment(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    /// Makes the environments: a name on the search path.
    base: PathBuf,
    configured: Option<PathBuf>,
    progress: broadcast::Sender<String>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    python: Option<PathBuf>,
    /// The last try, if it failed, and when that was.
    failed: Option<(Instant, EnvironmentError)>,
}

impl PythonEnvironment {
    /// The environment in `folder`, unless `config` names a Python. Nothing is done before [`Self::ready`].
    pub fn new(folder: impl Into<PathBuf>, config: &Config) -> PythonEnvironment {
        Self::from_base(folder.into(), "python3".into(), config)
    }

    fn from_base(folder: PathBuf, base: PathBuf, config: &Config) -> PythonEnvironment {
        PythonEnvironment(Arc::new(Shared {
            folder,
            base,
            configured: config.python.clone(),
            progress: broadcast::Sender::new(256),
            state: Mutex::default(),
        }))
    }

    /// What is being done, line by line, while an environment is being made.
    pub fn progress(&self) -> broadcast::Receiver<String> {
        self.0.progress.subscribe()
    }

    /// The environment's Python, once it is there. Callers at the same time share one making, which
    /// goes on even if they go away.
    pub async fn ready(&self) -> Result<PathBuf, EnvironmentError> {
        let shared = Arc::clone(&self.0);
        let asked = Instant::now();
        let making = tokio::spawn(async move { shared.ready(asked).await });
        making.await.unwrap_or_else(|error| Err(self.0.io(&io::Error::other(error))))
    }

    /// A Python that is there without making anything: the environment's, or the one that would make it.
    pub async fn at_hand(&self) -> Result<PathBuf, EnvironmentError> {
        if self.0.configured.is_some() || self.is_made().await {
            return self.ready().await;
        }
        let base = self.0.base().await?;
        Ok(base.split_once(' ').map_or_else(PathBuf::new, |(_, python)| python.into()))
    }

    /// Whether [`Self::ready`] would answer at once, without making anything.
    pub async fn is_made(&self) -> bool {
        match &self.0.configured {
            Some(python) => python.exists(),
            None => match self.0.base().await {
                Ok(base) => self.0.environment_of(&base).join(MARKER).exists(),
                Err(_) => false,
            },
        }
    }
}

impl Shared {
    async fn ready(&self, asked: Instant) -> Result<PathBuf, EnvironmentError> {
        let mut state = self.state.lock().await;
        if let Some(python) = state.python.as_ref().filter(|python| python.exists()) {
            return Ok(python.clone());
        }
        // Whoever waited for a try that failed need not try the same again.
        if let Some((when, error)) = &state.failed
            && *when >= asked
        {
            return Err(error.clone());
        }
        let made = match &self.configured {
            Some(python) => check(python).await.map(|()| python.clone()),
            None => self.make().await,
        };
        match &made {
            Ok(python) => *state = State { python: Some(python.clone()), failed: None },
            Err(error) => state.failed = Some((Instant::now(), error.clone())),
        }
        made
    }

    async fn make(&self) -> Result<PathBuf, EnvironmentError> {
        let base = self.base().await?;
        let environment = self.environment_of(&base);
        let python = environment.join("bin/python");
        let marker = environment.join(MARKER);
        if marker.exists() {
            return Ok(python);
        }
        std::fs::create_dir_all(&self.folder).map_err(|error| self.io(&error))?;
        let _lock = self.lock().await?;
        if marker.exists() {
            return Ok(python);
        }
        self.say(format!("creating the Python environment in {} (once)", environment.display()));
        if environment.exists() {
            std::fs::remove_dir_all(&environment).map_err(|error| self.io(&error))?;
        }
        self.make_venv(&environment).await?;
        self.install(&environment, &python).await?;
        check(&python).await?;
        File::create(&marker).and_then(|file| file.sync_all()).map_err(|error| self.io(&error))?;
        self.say("the Python environment is ready".to_owned());
        Ok(python)
    }

    /// The version of the Python that environments are made from.
    async fn base(&self) -> Result<String, EnvironmentError> {
        let script = "import sys; print('%d.%d' % sys.version_info[:2], sys.executable)";
        let answer = Command::new(&self.base).args(["-c", script]).stdin(Stdio::null()).output().await;
        let answer = answer.map_err(|_| EnvironmentError::PythonMissing)?;
        let text = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
        let version = text.split(' ').next().unwrap_or_default();
        let number = version
            .split_once('.')
            .and_then(|(major, minor)| Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?)));
        match number {
            None => Err(EnvironmentError::PythonMissing),
            Some(number) if number < OLDEST => {
                Err(EnvironmentError::PythonTooOld { found: version.to_owned() })
            }
            Some(_) => Ok(text),
        }
    }

    /// Another base or other requirements make another environment.
    fn environment_of(&self, base: &str) -> PathBuf {
        let digest = Sha256::new().chain_update(base).chain_update(REQUIREMENTS).finalize();
        self.folder.join(hex::encode(&digest[..6]))
    }

    /// One process at a time makes environments in the folder. The lock goes with its holder.
    async fn lock(&self) -> Result<File, EnvironmentError> {
        let file = self.lock_file().map_err(|error| self.io(&error))?;
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(error)) => return Err(self.io(&error)),
                Err(TryLockError::WouldBlock) if told => {}
                Err(TryLockError::WouldBlock) => {
                    self.say("another process is creating the Python environment".to_owned());
                    told = true;
                }
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Unconfined notebooks can write in the folder, and put something there that blocks.
    fn lock_file(&self) -> io::Result<File> {
        Ok(UntrustedDir::open(&self.folder.canonicalize()?)?.lock_file(OsStr::new("lock"))?)
    }

    async fn make_venv(&self, environment: &Path) -> Result<(), EnvironmentError> {
        let mut modules = Command::new(&self.base);
        let modules = modules.args(["-c", "import venv, ensurepip"]).stdin(Stdio::null());
        let answer = modules.output().await.map_err(|error| self.io(&error))?;
        if !answer.status.success() {
            return Err(EnvironmentError::VenvMissing { detail: last_line(&answer.stderr) });
        }
        let mut venv = readable_by_all(&self.base);
        venv.args(["-m", "venv"]).arg(environment);
        self.follow(venv).await.map_err(|last_lines| EnvironmentError::VenvMissing { detail: last_lines })
    }

    async fn install(&self, environment: &Path, python: &Path) -> Result<(), EnvironmentError> {
        let requirements = environment.join("requirements.txt");
        std::fs::write(&requirements, REQUIREMENTS).map_err(|error| self.io(&error))?;
        let mut pip = readable_by_all(python);
        pip.args(["-m", "pip", "--disable-pip-version-check", "--no-input", "install"])
            .args(["--progress-bar", "off", "--requirement"])
            .arg(&requirements);
        let installed = tokio::time::timeout(PIP_PATIENCE, self.follow(pip)).await;
        installed
            .unwrap_or_else(|_| Err(format!("it took longer than {} min", PIP_PATIENCE.as_secs() / 60)))
            .map_err(|last_lines| EnvironmentError::Install { last_lines })
    }

    /// Runs a command and passes its lines on. The error is its last lines.
    async fn follow(&self, mut command: Command) -> Result<(), String> {
        const KEPT: usize = 12;
        for (name, _) in std::env::vars_os() {
            // Our own settings, secrets among them, are none of its business.
            if name.to_string_lossy().starts_with("ISOCHRONE") {
                command.env_remove(name);
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        let (sender, mut lines) = mpsc::channel(16);
        let output = pass_lines(child.stdout.take(), sender.clone());
        let errors = pass_lines(child.stderr.take(), sender);
        let collect = async {
            let mut last = std::collections::VecDeque::new();
            while let Some(line) = lines.recv().await {
                if !of_no_news(&line) {
                    self.say(line.clone());
                }
                last.push_back(line);
                if last.len() > KEPT {
                    last.pop_front();
                }
            }
            last
        };
        let ((), (), last) = tokio::join!(output, errors, collect);
        let status = child.wait().await.map_err(|error| error.to_string())?;
        if status.success() { Ok(()) } else { Err(Vec::from(last).join("\n")) }
    }

    fn say(&self, line: String) {
        tracing::debug!(line, "Python environment");
        // Nobody may be listening.
        drop(self.progress.send(line));
    }

    fn io(&self, error: &io::Error) -> EnvironmentError {
        EnvironmentError::Io { folder: self.folder.display().to_string(), detail: error.to_string() }
    }
}

/// A program whose files everybody may read: a Python environment holds no secrets, and notebooks may run as other
/// users.
fn readable_by_all(program: &Path) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "umask 022; exec \"$@\"", "sh"]).arg(program);
    command
}

/// pip tells of each requirement that is for another Python, and of where it looks.
fn of_no_news(line: &str) -> bool {
    ["Ignoring ", "Looking in ", "  Downloading ", "  Using cached "]
        .iter()
        .any(|head| line.starts_with(head))
}

async fn pass_lines(stream: Option<impl AsyncRead + Unpin>, sender: mpsc::Sender<String>) {
    let Some(stream) = stream else { return };
    let mut lines = BufReader::new(stream).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if !line.trim().is_empty() {
            drop(sender.send(line).await);
        }
    }
}

/// Whether this Python can execute notebooks.
async fn check(python: &Path) -> Result<(), EnvironmentError> {
    let wrong = |detail| EnvironmentError::Configured { python: python.display().to_string(), detail };
    let mut command = Command::new(python);
    let command = command.args(["-I", "-c", "import nbclient, ipykernel"]).stdin(Stdio::null());
    match command.output().await {
        Err(error) => Err(wrong(error.to_string())),
        Ok(answer) if !answer.status.success() => Err(wrong(last_line(&answer.stderr))),
        Ok(_) => Ok(()),
    }
}

fn last_line(text: &[u8]) -> String {
    String::from_utf8_lossy(text).trim_end().lines().next_back().unwrap_or("it says nothing").to_owned()
}

#[cfg(test)]
mod tests;
