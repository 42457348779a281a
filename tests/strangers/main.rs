//! What anybody can do without an account: the server stays small, and it answers.
//!
//! Each attack is of a fixed size. The server may open 1,024 files and not one more, wherever the tests run.

mod bodies;
mod connections;
mod multipart;
mod sign_in;
mod uploads;

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use isochrone_testkit::{Server, ServerOptions, resident_memory};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const BINARY: &str = env!("CARGO_BIN_EXE_isochrone");

/// Within this the portal and the probes answer, whatever strangers do.
const PROMISED: Duration = Duration::from_secs(1);

/// How much the server may grow, in bytes.
const GROWTH: u64 = 60 << 20;

/// A server under attack.
struct Target {
    server: Server,
    http: SocketAddr,
    https: SocketAddr,
    admin: SocketAddr,
    /// Its resident memory before the attack.
    before: u64,
    _dir: TempDir,
}

impl Target {
    async fn start() -> Result<Target> {
        raise_own_limit()?;
        let dir = tempfile::tempdir()?;
        let limited = dir.path().join("isochrone");
        std::fs::write(&limited, format!("#!/bin/sh\nulimit -n 1024\nexec '{BINARY}' \"$@\"\n"))?;
        std::fs::set_permissions(&limited, std::fs::Permissions::from_mode(0o700))?;
        let admin = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let options =
            ServerOptions::new(&limited, dir.path().join("data")).env("ISOCHRONE__ADMIN__LISTEN", admin);
        let server = Server::start(&options).await?;
        let address = |url: &str| url.rsplit('/').next().context("an address")?.parse().context("an address");
        let (http, https) = (address(&server.url)?, address(&server.https_url)?);
        let mut target = Target { server, http, https, admin, before: 0, _dir: dir };
        target.check_answers().await?;
        target.before = resident_memory(target.server.pid())?;
        Ok(target)
    }

    /// The portal and both probes answer in time. Each is asked three times at most: other processes of a busy machine
    /// may take a second, a server that is stuck takes all three.
    async fn check_answers(&self) -> Result<()> {
        for (address, path) in
            [(self.http, "/sharing/rest/info?f=json"), (self.admin, "/livez"), (self.admin, "/readyz")]
        {
            let mut answer = Ok(());
            for _ in 0..3 {
                answer = match tokio::time::timeout(PROMISED, get(address, path)).await {
                    Ok(Ok(200)) => Ok(()),
                    Ok(Ok(status)) => bail!("{path} answers {status}"),
                    Ok(Err(error)) => Err(error.context(path)),
                    Err(_) => Err(anyhow::anyhow!("{path} did not answer within {PROMISED:?}")),
                };
                if answer.is_ok() {
                    break;
                }
            }
            answer?;
        }
        Ok(())
    }

    fn check_memory(&self) -> Result<()> {
        let now = resident_memory(self.server.pid())?;
        eprintln!("{} MiB at the start, {} MiB now", self.before >> 20, now >> 20);
        ensure!(now < self.before + GROWTH, "it grew from {} to {} MiB", self.before >> 20, now >> 20);
        Ok(())
    }

    async fn check(&self) -> Result<()> {
        self.check_answers().await?;
        self.check_memory()
    }
}

/// The status of the answer to a GET on a connection of its own.
async fn get(address: SocketAddr, path: &str) -> Result<u16> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    status(&mut stream).await
}

/// Reads an answer's status line.
async fn status(stream: &mut TcpStream) -> Result<u16> {
    let mut head = [0; 12];
    stream.read_exact(&mut head).await?;
    Ok(std::str::from_utf8(&head[9..])?.parse()?)
}

/// So many connections, each of which has sent this much and is left alone.
async fn connections(address: SocketAddr, count: usize, sent: &[u8]) -> Result<Vec<TcpStream>> {
    let mut streams = Vec::new();
    for _ in 0..count {
        let mut stream = TcpStream::connect(address).await?;
        // It may have been closed already.
        drop(stream.write_all(sent).await);
        streams.push(stream);
    }
    Ok(streams)
}

/// Waits until the server has closed each of them.
async fn all_closed(streams: Vec<TcpStream>, within: Duration) -> Result<()> {
    let closed = async {
        for mut stream in streams {
            // To the end of what it may have answered; a reset is an end, too.
            drop(tokio::io::copy(&mut stream, &mut tokio::io::sink()).await);
        }
    };
    tokio::time::timeout(within, closed).await.context("connections stayed open")
}

/// The attacker needs more files than the server.
fn raise_own_limit() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let enough = limit.maximum.unwrap_or(u64::MAX).min(8_192);
    ensure!(enough >= 4_096, "these tests need 4,096 open files (ulimit -Hn)");
    if limit.current.is_some_and(|now| now < enough) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(enough), ..limit })?;
    }
    Ok(())
}
