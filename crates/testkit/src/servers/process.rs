//! A server's process: it ends with the test, however the test ends.

use std::fs::File;
use std::future::Future;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::eventually_within;

const PORTS_TRIED: usize = 5;
/// How much of a log an error shows.
const LINES_OF_LOG: usize = 100;

/// A server's process and all that it started. Dropped, they are killed.
pub(crate) struct Process {
    child: Child,
    name: &'static str,
    log: PathBuf,
}

/// Why a server is not ready.
pub(crate) enum NotReady {
    /// Another process has its port.
    PortInUse(anyhow::Error),
    /// Anything else.
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for NotReady {
    fn from(error: anyhow::Error) -> NotReady {
        NotReady::Failed(error)
    }
}

impl From<NotReady> for anyhow::Error {
    fn from(why: NotReady) -> anyhow::Error {
        let (NotReady::PortInUse(error) | NotReady::Failed(error)) = why;
        error
    }
}

/// What `start` starts on ports of its choice; on others, where another process has taken one meanwhile.
pub(super) async fn on_free_ports<T, F>(start: impl Fn() -> F) -> Result<T>
where
    F: Future<Output = Result<T, NotReady>>,
{
    let mut tried = 0;
    loop {
        tried += 1;
        match start().await {
            Err(NotReady::PortInUse(_)) if tried < PORTS_TRIED => {}
            started => return Ok(started?),
        }
    }
}

impl Process {
    /// Starts a program with its output in `log`, which is begun anew.
    pub(crate) fn spawn(name: &'static str, command: &Command, log: PathBuf) -> Result<Process> {
        let output = File::create(&log).with_context(|| format!("the log of {name}"))?;
        let mut with_parent = Command::new("setpriv");
        with_parent
            .args(["--pdeathsig", "KILL", "--"])
            .arg(command.get_program())
            .args(command.get_args())
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0);
        for (variable, value) in command.get_envs() {
            match value {
                Some(value) => with_parent.env(variable, value),
                None => with_parent.env_remove(variable),
            };
        }
        let child = spawn_from_lasting_thread(with_parent)
            .with_context(|| format!("{name}: setpriv (install util-linux) could not start it"))?;
        Ok(Process { child, name, log })
    }

    /// The id of the server's process: setpriv gives its own to what it starts.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the server answers; says why if it ends instead, or if the deadline passes.
    pub(crate) async fn until_ready<F>(
        &mut self,
        deadline: Duration,
        mut answers: impl FnMut() -> F,
    ) -> Result<(), NotReady>
    where
        F: Future<Output = bool>,
    {
        let end = Instant::now() + deadline;
        loop {
            match self.child.try_wait() {
                Ok(None) => {}
                Ok(Some(status)) => return Err(self.not_ready(&format!("ended ({status})"))),
                Err(error) => return Err(NotReady::Failed(error.into())),
            }
            if answers().await {
                return Ok(());
            }
            if Instant::now() > end {
                return Err(self.not_ready(&format!("does not answer after {deadline:?}")));
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    fn not_ready(&self, what: &str) -> NotReady {
        let log = tail(&self.log);
        let error = anyhow!("{} {what}; its log ends with:\n{log}", self.name);
        let log = log.to_lowercase();
        if log.contains("address already in use") || log.contains("eaddrinuse") {
            return NotReady::PortInUse(error);
        }
        NotReady::Failed(error)
    }

    /// Sends a signal to the server and to all that it started.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        kill_process_group(Pid::from_child(&self.child), signal)
            .with_context(|| format!("{}: a signal", self.name))
    }

    /// SIGKILL; it is dead when this returns.
    pub(crate) fn kill(&mut self) -> Result<()> {
        if self.child.try_wait()?.is_none() {
            self.signal(Signal::KILL)?;
            self.child.wait()?;
        }
        Ok(())
    }

    /// SIGTERM, then waits for the end.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        self.signal(Signal::TERM)?;
        let what = format!("{} to end after SIGTERM", self.name);
        eventually_within(Duration::from_mins(1), &what, || {
            let ended = self.child.try_wait();
            async move { Ok(ended?) }
        })
        .await?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Ended already: nothing to do.
        drop(self.kill());
    }
}

/// The last lines of a log, or why there are none.
fn tail(log: &Path) -> String {
    match std::fs::read(log) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let lines: Vec<_> = text.lines().collect();
            lines[lines.len().saturating_sub(LINES_OF_LOG)..].join("\n")
        }
        Err(error) => format!("(no log: {error})"),
    }
}

/// Where a program lies: in the search path or in one of `places`; else what to install.
pub(crate) fn installed(program: &str, places: &[&str], package: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = places.iter().map(PathBuf::from).chain(std::env::split_paths(&path));
    match places.map(|place| place.join(program)).find(|file| file.is_file()) {
        Some(file) => Ok(file),
        None => bail!("{program} is missing: install {package} (`apt-get install {package}`)"),
    }
}

struct Order {
    command: Command,
    answer: mpsc::Sender<io::Result<Child>>,
}

static SPAWNER: LazyLock<mpsc::Sender<Order>> = LazyLock::new(|| {
    let (sender, orders) = mpsc::channel::<Order>();
    std::thread::spawn(move || {
        for mut order in orders {
            // Whoever ordered it waits for it.
            drop(order.answer.send(order.command.spawn()));
        }
    });
    sender
});

/// The signal of a parent's death comes with the death of the thread that started the child: a test's own
/// thread may end before the server that its neighbours share.
fn spawn_from_lasting_thread(command: Command) -> io::Result<Child> {
    let (answer, child) = mpsc::channel();
    SPAWNER.send(Order { command, answer }).expect("the spawning thread lives as long as the process");
    child.recv().expect("the spawning thread answers each order")
}
