//! The isochrone binary as a process of its own, and a client for it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use isochrone_domain::EpochMillis;
use isochrone_store::Clock;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{ADMIN_PASSWORD, OtherUser};

/// How a server is started.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// The binary.
    pub binary: PathBuf,
    /// Its data directory; it outlives the process.
    pub data_dir: PathBuf,
    /// Further environment variables (`ISOCHRONE__SECTION__KEY`).
    pub environment: BTreeMap<String, String>,
    /// The server's clock.
    pub clock: Clock,
    /// Which command is started, with its arguments.
    pub command: Vec<String>,
    /// What starts the binary, which follows as its last argument; nothing: it is started directly.
    pub starter: Vec<String>,
}

impl ServerOptions {
    /// A server with the defaults, on a port of its own.
    pub fn new(binary: impl Into<PathBuf>, data_dir: impl Into<PathBuf>) -> ServerOptions {
        ServerOptions {
            binary: binary.into(),
            data_dir: data_dir.into(),
            // The default port is for one server a machine.
            environment: BTreeMap::from([("ISOCHRONE__HTTPS__LISTEN".to_owned(), "127.0.0.1:0".to_owned())]),
            clock: Clock::SYSTEM,
            command: ["up", "--http", "127.0.0.1:0"].map(str::to_owned).to_vec(),
            starter: Vec::new(),
        }
    }

    /// Another command than `up`.
    pub fn command(mut self, command: &[&str]) -> ServerOptions {
        self.command = command.iter().map(|part| (*part).to_owned()).collect();
        self
    }

    /// As another user.
    pub fn as_user(mut self, user: &OtherUser) -> ServerOptions {
        self.starter = user.program().to_vec();
        self
    }

    /// With an environment variable.
    pub fn env(mut self, name: &str, value: impl ToString) -> ServerOptions {
        self.environment.insert(name.to_owned(), value.to_string());
        self
    }

    /// With a clock that runs `speed` times as fast as the world's from now on. The same at each start,
    /// so that it goes on where it was.
    pub fn clock(mut self, speed: u32) -> ServerOptions {
        let now = Clock::SYSTEM.now();
        self.clock = Clock::faster(speed, now);
        self.env("ISOCHRONE__CLOCK__SPEED", speed).env("ISOCHRONE__CLOCK__ORIGIN", now.0)
    }

    /// How long the world waits for the next minute of the server's clock.
    pub fn until_minute(&self) -> Duration {
        let minutes = self.clock.now().0.div_euclid(60_000);
        self.clock.until(EpochMillis((minutes + 1) * 60_000))
    }

    /// With the Python environment that all tests share: it is made once, in the cache folder.
    pub fn shared_python(self) -> Result<ServerOptions> {
        let cache = shared_python();
        std::fs::create_dir_all(&cache)?;
        std::fs::create_dir_all(&self.data_dir)?;
        let link = self.data_dir.join("python");
        if !link.exists() {
            std::os::unix::fs::symlink(&cache, &link)?;
        }
        Ok(self)
    }

    /// The command with the right environment and nothing of the caller's configuration.
    fn process(&self) -> Command {
        let mut command = match self.starter.split_first() {
            None => Command::new(&self.binary),
            Some((starter, arguments)) => {
                let mut command = Command::new(starter);
                command.args(arguments).arg(&self.binary);
                command
            }
        };
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("ISOCHRONE_") {
                command.env_remove(name);
            }
        }
        command
            .env("ISOCHRONE__ADMIN__LISTEN", "127.0.0.1:0")
            .env("ISOCHRONE_ADMIN_PASSWORD", ADMIN_PASSWORD)
            .envs(&self.environment)
            .arg("--data-dir")
            .arg(&self.data_dir);
        command
    }

    /// Runs a command of the command line on the same data directory, with this standard input.
    pub fn cli(&self, args: &[&str], stdin: &str) -> Result<Output> {
        let mut child = self
            .process()
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("the binary")?;
        let mut input = child.stdin.take().context("standard input")?;
        let text = stdin.to_owned();
        let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
        let output = child.wait_with_output()?;
        // A command that needs no input may end before it is written.
        drop(writer.join());
        Ok(output)
    }

    /// Runs a command with `--output json` and gives what it printed.
    pub fn cli_json(&self, args: &[&str]) -> Result<Value> {
        let output = self.cli(&[&["--output", "json"], args].concat(), "")?;
        if !output.status.success() {
            bail!("{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        serde_json::from_slice(&output.stdout).with_context(|| format!("{args:?} printed no JSON"))
    }
}

/// Where the Python environments are that all tests share.
pub fn shared_python() -> PathBuf {
    crate::cache_dir().join("python")
}

/// A running server. Dropped, it is killed.
pub struct Server {
    child: Child,
    /// `http://127.0.0.1:port`; empty where the process serves no portal.
    pub url: String,
    /// The same over TLS, with a certificate that signs itself; empty where there is none.
    pub https_url: String,
    /// From start to its first answer.
    pub ready_after: Duration,
    http: reqwest::Client,
    token: Option<String>,
}

impl Server {
    /// Starts a server and waits until it is ready.
    pub async fn start(options: &ServerOptions) -> Result<Server> {
        let began = Instant::now();
        let mut child = options
            .process()
            .args(&options.command)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("{}", options.binary.display()))?;
        let stderr = child.stderr.take().context("standard error")?;
        let (sender, receiver) = mpsc::channel();
        let log = options.data_dir.with_extension("log");
        std::thread::spawn(move || copy_log(stderr, &log, &sender));
        choose_cryptography();
        let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).build()?;
        let (url, ready_after) = (String::new(), Duration::ZERO);
        // From now on it is killed if this fails.
        let mut server = Server { child, url, https_url: String::new(), ready_after, http, token: None };
        let ready = tokio::task::spawn_blocking(move || receiver.recv_timeout(Duration::from_secs(30)))
            .await?
            .context("the server did not become ready; its log lies beside its data directory")?;
        (server.url, server.https_url) = (ready.http, ready.https);
        server.ready_after = began.elapsed();
        Ok(server)
    }

    /// Signs in as `admin`; later calls carry the token.
    pub async fn sign_in(mut self) -> Result<Server> {
        let form = [("username", "admin"), ("password", ADMIN_PASSWORD), ("expiration", "1440")];
        let answer = self.post("/sharing/rest/generateToken", &form).await?;
        let token = answer["token"].as_str().with_context(|| format!("no token: {answer}"))?;
        self.token = Some(token.to_owned());
        Ok(self)
    }

    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGSTOP: it stands still, and knows nothing of it. Linux wakes it if the process that started this one
    /// ends meanwhile (its process group is an orphan then).
    pub fn pause(&self) -> Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), Signal::STOP)?)
    }

    /// SIGCONT.
    pub fn resume(&self) -> Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), Signal::CONT)?)
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// POSTs a form with `f=json`; gives the JSON answer.
    pub async fn post(&self, path: &str, form: &[(&str, &str)]) -> Result<Value> {
        let form: Vec<_> = form.iter().copied().chain([("f", "json")]).collect();
        self.send(self.http.post(format!("{}{path}", self.url)).form(&form)).await
    }

    /// GETs with `f=json`; gives the JSON answer.
    pub async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value> {
        let query: Vec<_> = query.iter().copied().chain([("f", "json")]).collect();
        self.send(self.http.get(format!("{}{path}", self.url)).query(&query)).await
    }

    /// GETs bytes.
    pub async fn bytes(&self, path: &str) -> Result<Vec<u8>> {
        let request = self.with_token(self.http.get(format!("{}{path}", self.url)));
        Ok(request.send().await?.error_for_status()?.bytes().await?.to_vec())
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Value> {
        let text = self.with_token(request).send().await?.text().await?;
        serde_json::from_str(&text).with_context(|| format!("no JSON: {text}"))
    }

    fn with_token(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// createTask for `admin`; gives the task's id.
    pub async fn create_task(&self, form: &[(&str, &str)]) -> Result<String> {
        let answer = self.post("/sharing/rest/community/users/admin/tasks/createTask", form).await?;
        let id = answer["taskId"].as_str().with_context(|| format!("createTask answered {answer}"))?;
        Ok(id.to_owned())
    }

    /// SIGKILL.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM, then waits for the end; gives whether it ended well.
    pub async fn terminate(mut self) -> Result<bool> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM)?;
        crate::eventually_within(Duration::from_mins(1), "the server to end", || {
            let ended = self.child.try_wait();
            async move { Ok(ended?) }
        })
        .await
        .map(|status| status.success())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Ended already: nothing to do.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// reqwest wants to be told, before it makes a client.
pub(crate) fn choose_cryptography() {
    // An error: it was told before.
    drop(rustls::crypto::ring::default_provider().install_default());
}

/// Where a server that is ready answers.
#[derive(Clone, Default)]
struct Ready {
    http: String,
    https: String,
}

/// Keeps the server's log in a file beside its data directory, and tells its addresses once it is ready.
fn copy_log(stderr: impl std::io::Read, log: &Path, ready: &mpsc::Sender<Ready>) {
    let mut addresses = Ready::default();
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(log).ok();
    for line in BufReader::new(stderr).lines().map_while(std::result::Result::ok) {
        if let Some(rest) = line.strip_prefix("Isochrone is ready at ") {
            rest.split("/sharing").next().unwrap_or_default().clone_into(&mut addresses.http);
            drop(ready.send(addresses.clone()));
        } else if let Some(rest) = line.strip_prefix("Isochrone answers HTTPS at ") {
            rest.split("/sharing").next().unwrap_or_default().clone_into(&mut addresses.https);
        } else if line.starts_with("Isochrone's ") && line.contains(" is ready") {
            drop(ready.send(addresses.clone()));
        }
        if let Some(file) = &mut file {
            drop(writeln!(file, "{line}"));
        }
    }
}
