//! pygeoapi: a server that nobody of this house wrote, with jobs in the dialect of OGC API - Processes.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::dir::ServerDir;
use super::free_port;
use super::process::{NotReady, Process, on_free_ports};
use crate::PythonClient;

const READY_WITHIN: Duration = Duration::from_mins(1);
/// The process `slow`, which takes as many `seconds` as it is told, and fails where they are fewer than none.
const SLOW: &str = include_str!("pygeoapi_slow.py");

/// How it keeps jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jobs {
    /// In a file, by TinyDB.
    Kept,
    /// It has none: whoever asks waits for the results.
    None,
}

/// A pygeoapi with the processes `hello-world`, `slow` and `waiting`, which is `slow` without jobs. It counts in a file
/// how often it was executed. Dropped, it is gone.
pub struct PygeoapiServer {
    process: Process,
    port: u16,
    client: PythonClient,
    dir: ServerDir,
}

impl PygeoapiServer {
    /// A server that is installed where it is not there yet, with jobs.
    pub async fn start() -> Result<PygeoapiServer> {
        PygeoapiServer::start_with(Jobs::Kept).await
    }

    /// The same, with or without jobs.
    pub async fn start_with(jobs: Jobs) -> Result<PygeoapiServer> {
        crate::server::choose_cryptography();
        let client = PythonClient::install("pygeoapi", &[&["pygeoapi==0.21.0"]])?;
        on_free_ports(|| async {
            let port = free_port()?;
            let dir = prepare(&client, port, jobs)?;
            let process = spawn(&client, &dir)?;
            let mut server = PygeoapiServer { process, port, client: client.clone(), dir };
            server.until_ready().await?;
            Ok(server)
        })
        .await
    }

    async fn until_ready(&mut self) -> Result<(), NotReady> {
        let url = format!("{}/processes/slow?f=json", self.url());
        let answers =
            || async { reqwest::get(&url).await.is_ok_and(|response| response.status().is_success()) };
        self.process.until_ready(READY_WITHIN, answers).await
    }

    /// Its root.
    pub fn url(&self) -> String {
        format!("http://{}", SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)))
    }

    /// The URL of one of its processes.
    pub fn process(&self, id: &str) -> String {
        format!("{}/processes/{id}", self.url())
    }

    /// Its jobs, in no order.
    pub async fn jobs(&self) -> Result<Vec<serde_json::Value>> {
        let listed = reqwest::get(format!("{}/jobs?f=json&limit=1000", self.url())).await?.bytes().await?;
        let listed: serde_json::Value = serde_json::from_slice(&listed)?;
        listed["jobs"].as_array().cloned().context("a list of jobs")
    }

    /// How often `slow` and `waiting` were executed.
    pub fn executions(&self) -> usize {
        std::fs::read_to_string(self.dir.join("executions")).map_or(0, |lines| lines.lines().count())
    }

    /// SIGKILL, and a new start at the same address: its jobs' work is lost, their records are there.
    pub async fn restart(&mut self) -> Result<()> {
        self.process.kill()?;
        self.process = spawn(&self.client, &self.dir)?;
        self.until_ready().await.map_err(Into::into)
    }
}

fn prepare(client: &PythonClient, port: u16, jobs: Jobs) -> Result<ServerDir> {
    let dir = ServerDir::new()?;
    let path = dir.path().display();
    let metadata = r#"
  identification: {title: Test, description: Test, keywords: [test], keywords_type: theme, terms_of_service: none, url: "http://127.0.0.1"}
  license: {name: none, url: "http://127.0.0.1"}
  provider: {name: none, url: "http://127.0.0.1"}
  contact: {name: none}"#;
    let manager = match jobs {
        Jobs::Kept => format!("manager: {{name: TinyDB, connection: {path}/jobs.db, output_dir: {path}}}"),
        Jobs::None => String::new(),
    };
    let config = format!(
        "server:
  bind: {{host: 127.0.0.1, port: {port}}}
  url: http://127.0.0.1:{port}
  mimetype: application/json
  encoding: utf-8
  languages: [en-US]
  limits: {{default_items: 10, max_items: 1000}}
  map: {{url: \"http://127.0.0.1/none\", attribution: none}}
  {manager}
logging: {{level: ERROR}}
metadata:{metadata}
resources:
  hello-world: {{type: process, processor: {{name: HelloWorld}}}}
  slow: {{type: process, processor: {{name: pygeoapi_slow.Slow}}}}
  waiting: {{type: process, processor: {{name: pygeoapi_slow.Waiting}}}}
"
    );
    std::fs::write(dir.join("config.yml"), config)?;
    std::fs::write(dir.join("pygeoapi_slow.py"), SLOW)?;
    let generate = ["openapi", "generate", "config.yml", "--output-file", "openapi.yml"];
    let mut command = command(client, &dir);
    let output = command.args(generate).output().context("pygeoapi")?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(dir)
}

fn spawn(client: &PythonClient, dir: &ServerDir) -> Result<Process> {
    let mut command = command(client, dir);
    Process::spawn("pygeoapi", command.arg("serve"), dir.join("log"))
}

fn command(client: &PythonClient, dir: &ServerDir) -> Command {
    let mut command = Command::new(client.program("pygeoapi"));
    command
        .env("PYGEOAPI_CONFIG", dir.join("config.yml"))
        .env("PYGEOAPI_OPENAPI", dir.join("openapi.yml"))
        .env("PYTHONPATH", dir.path())
        .current_dir(dir.path());
    command
}
