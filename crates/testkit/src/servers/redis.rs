//! A Redis server with the settings that a fleet demands.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::dir::ServerDir;
use super::free_port;
use super::process::{NotReady, Process, installed, on_free_ports};
use crate::eventually;

const READY_WITHIN: Duration = Duration::from_secs(30);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Where it has its data.
const APPEND_ONLY: &str = "appendonlydir";

/// A Redis server's data at a moment.
pub struct Remembered(tempfile::TempDir);

/// What a Redis process is for.
#[derive(Clone, Copy)]
pub(super) enum Mode {
    /// Data, with the settings that a fleet demands.
    Data,
    /// Watching over a master and its replicas.
    Sentinel,
}

/// A Redis server. Dropped, it is killed and its data is gone.
pub struct RedisServer {
    process: Process,
    binary: PathBuf,
    mode: Mode,
    port: u16,
    dir: ServerDir,
}

impl RedisServer {
    /// A server that syncs every write before it answers, and evicts nothing.
    pub async fn start() -> Result<RedisServer> {
        RedisServer::start_with(&[]).await
    }

    /// With settings of redis.conf (name, value) that replace the defaults or come to them.
    pub async fn start_with(settings: &[(&str, &str)]) -> Result<RedisServer> {
        RedisServer::start_as(Mode::Data, settings).await
    }

    /// A replica of this one, with settings that come to that. It follows when this returns.
    pub async fn start_replica(&self, settings: &[(&str, &str)]) -> Result<RedisServer> {
        let master = format!("127.0.0.1 {}", self.port);
        let mut all = vec![("replicaof", master.as_str())];
        all.extend(settings);
        let replica = RedisServer::start_with(&all).await?;
        let online = format!("port={},state=online", replica.port);
        eventually("the replica to follow", || async {
            Ok(self.command("INFO replication").await?.contains(&online).then_some(()))
        })
        .await?;
        Ok(replica)
    }

    pub(super) async fn start_as(mode: Mode, settings: &[(&str, &str)]) -> Result<RedisServer> {
        let binary = server_binary()?;
        on_free_ports(|| async {
            let port = free_port()?;
            let dir = prepare(mode, port, settings)?;
            let process = spawn(&binary, mode, &dir)?;
            let mut server = RedisServer { process, binary: binary.clone(), mode, port, dir };
            server.until_ready().await?;
            Ok(server)
        })
        .await
    }

    async fn until_ready(&mut self) -> Result<(), NotReady> {
        let address = self.address();
        // Only its own answer counts, not that of another server on this port.
        let pid = format!("process_id:{}\r", self.process.pid());
        let answers = || async {
            let own = command(address, "INFO server").await.is_ok_and(|info| info.contains(&pid));
            own && command(address, "PING").await.is_ok_and(|answer| answer == "PONG")
        };
        self.process.until_ready(READY_WITHIN, answers).await
    }

    /// `redis://127.0.0.1:PORT/`.
    pub fn url(&self) -> String {
        format!("redis://{}/", self.address())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The id of its process.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Sends one command, its words separated by blanks, and gives the answer: a line or a bulk string.
    pub async fn command(&self, line: &str) -> Result<String> {
        command(self.address(), line).await
    }

    /// Deletes all its data.
    pub async fn flush(&self) -> Result<()> {
        self.command("FLUSHALL").await.map(drop)
    }

    /// SIGKILL; it is dead when this returns.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// SIGTERM, then waits for the end.
    pub async fn stop(&mut self) -> Result<()> {
        self.process.stop().await
    }

    /// Starts it again on the same port and the same data, killing it first if it still runs. Ready when
    /// all data is loaded.
    pub async fn restart(&mut self) -> Result<()> {
        self.kill()?;
        self.process = spawn(&self.binary, self.mode, &self.dir)?;
        Ok(self.until_ready().await?)
    }

    /// What is on its disk now.
    pub fn remember(&self) -> Result<Remembered> {
        let copy = tempfile::tempdir()?;
        for entry in std::fs::read_dir(self.dir.join(APPEND_ONLY))? {
            let entry = entry?;
            std::fs::copy(entry.path(), copy.path().join(entry.file_name()))?;
        }
        Ok(Remembered(copy))
    }

    /// Kills it and starts it with what it had on its disk then: it has forgotten what was written since.
    pub async fn go_back_to(&mut self, then: &Remembered) -> Result<()> {
        self.kill()?;
        let data = self.dir.join(APPEND_ONLY);
        std::fs::remove_dir_all(&data)?;
        std::fs::create_dir(&data)?;
        for entry in std::fs::read_dir(then.0.path())? {
            let entry = entry?;
            std::fs::copy(entry.path(), data.join(entry.file_name()))?;
        }
        self.restart().await
    }

    /// SIGSTOP: it answers nothing until `resume`, and its connections stay open.
    pub fn pause(&self) -> Result<()> {
        self.process.signal(Signal::STOP)
    }

    /// SIGCONT.
    pub fn resume(&self) -> Result<()> {
        self.process.signal(Signal::CONT)
    }
}

pub(super) fn server_binary() -> Result<PathBuf> {
    installed("redis-server", &["/usr/bin", "/usr/local/bin"], "redis-server")
}

/// Its directory with its configuration.
fn prepare(mode: Mode, port: u16, settings: &[(&str, &str)]) -> Result<ServerDir> {
    let dir = ServerDir::new()?;
    let (port, place) = (port.to_string(), dir.path().display().to_string());
    let mut all: BTreeMap<&str, &str> = BTreeMap::new();
    if let Mode::Data = mode {
        all.extend(shipped());
    }
    all.extend([("bind", "127.0.0.1"), ("port", port.as_str()), ("dir", place.as_str())]);
    all.extend(settings.iter().copied());
    let mut text = String::new();
    for (name, value) in all {
        writeln!(text, "{name} {}", if value.is_empty() { "\"\"" } else { value })?;
    }
    std::fs::write(dir.join("redis.conf"), text)?;
    Ok(dir)
}

/// The settings that operators are given.
fn shipped<'a>() -> impl Iterator<Item = (&'a str, &'a str)> {
    let lines = include_str!("../../../../deploy/redis/redis.conf").lines();
    let settings = lines.filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(' '));
    settings.map(|(name, value)| (name, value.trim_matches('"')))
}

fn spawn(binary: &Path, mode: Mode, dir: &ServerDir) -> Result<Process> {
    let mut command = Command::new(binary);
    command.arg(dir.join("redis.conf"));
    if let Mode::Sentinel = mode {
        command.arg("--sentinel");
    }
    Process::spawn("redis-server", &command, dir.join("log"))
}

/// One command over a connection of its own.
pub(super) async fn command(address: SocketAddr, line: &str) -> Result<String> {
    let word = line.split(' ').next().unwrap_or_default();
    timeout(ANSWER_WITHIN, exchange(address, line))
        .await
        .with_context(|| format!("Redis: {word}: no answer"))?
}

async fn exchange(address: SocketAddr, line: &str) -> Result<String> {
    let mut stream = BufReader::new(TcpStream::connect(address).await?);
    stream.write_all(format!("{line}\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_line(&mut answer).await?;
    ensure!(answer.ends_with("\r\n"), "Redis closed the connection");
    let answer = answer.trim_end();
    match answer.split_at_checked(1) {
        Some(("+" | ":", value)) => Ok(value.to_owned()),
        Some(("$", length)) => {
            let mut value = vec![0; length.parse().context("Redis: no such value")?];
            stream.read_exact(&mut value).await?;
            Ok(String::from_utf8(value)?)
        }
        _ => bail!("Redis: {answer}"),
    }
}
