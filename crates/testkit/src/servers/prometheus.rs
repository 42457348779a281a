//! A Prometheus that scrapes what it is told to, each second, with the house's own rules.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::dir::ServerDir;
use super::free_port;
use super::process::{NotReady, Process, installed, on_free_ports};

const READY_WITHIN: Duration = Duration::from_secs(30);

/// A Prometheus. Dropped, it is gone.
pub struct PrometheusServer {
    process: Process,
    port: u16,
    /// Its data lie there.
    _dir: ServerDir,
}

impl PrometheusServer {
    /// Watches these addresses, with the rules of this folder. An alert fires as soon as its expression holds: nobody
    /// waits for minutes here.
    pub async fn start(targets: &[SocketAddr], rules: &Path) -> Result<PrometheusServer> {
        let binary = server_binary()?;
        on_free_ports(|| async {
            let port = free_port()?;
            let dir = prepare(targets, rules)?;
            let mut command = Command::new(&binary);
            command
                .arg(format!("--config.file={}", dir.join("prometheus.yml").display()))
                .arg(format!("--storage.tsdb.path={}", dir.join("data").display()))
                .arg(format!("--web.listen-address=127.0.0.1:{port}"));
            let process = Process::spawn("prometheus", &command, dir.join("log"))?;
            let mut server = PrometheusServer { process, port, _dir: dir };
            server.until_ready().await?;
            Ok(server)
        })
        .await
    }

    async fn until_ready(&mut self) -> Result<(), NotReady> {
        let url = format!("{}/-/ready", self.url());
        let answers =
            || async { reqwest::get(&url).await.is_ok_and(|response| response.status().is_success()) };
        self.process.until_ready(READY_WITHIN, answers).await
    }

    fn url(&self) -> String {
        format!("http://{}", SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)))
    }

    /// What an expression is at the moment, a row a series; an error: it can't be read.
    pub async fn query(&self, expression: &str) -> Result<Vec<Value>> {
        let query = [("query", expression)];
        let request = reqwest::Client::new().get(format!("{}/api/v1/query", self.url())).query(&query);
        let answer: Value = serde_json::from_slice(&request.send().await?.bytes().await?)?;
        ensure!(answer["status"] == "success", "{expression}: {answer}");
        answer["data"]["result"].as_array().cloned().with_context(|| format!("{expression}: {answer}"))
    }

    /// The names of the alerts that fire.
    pub async fn firing(&self) -> Result<Vec<String>> {
        let alerts = self.query(r#"ALERTS{alertstate="firing"}"#).await?;
        let name = |alert: &Value| alert["metric"]["alertname"].as_str().unwrap_or_default().to_owned();
        Ok(alerts.iter().map(name).collect())
    }
}

fn prepare(targets: &[SocketAddr], rules: &Path) -> Result<ServerDir> {
    let dir = ServerDir::new()?;
    std::fs::create_dir(dir.join("rules"))?;
    for file in std::fs::read_dir(rules)? {
        let file = file?;
        let text = std::fs::read_to_string(file.path())?;
        let hasty = |line: &str| !line.trim_start().starts_with("for: ");
        let lines: Vec<&str> = text.lines().filter(|line| hasty(line)).collect();
        std::fs::write(dir.join("rules").join(file.file_name()), lines.join("\n"))?;
    }
    let targets: Vec<String> = targets.iter().map(|target| format!("\"{target}\"")).collect();
    let config = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [rules/*.yml]\nscrape_configs:\n  \
         - job_name: isochrone\n    static_configs: [{{targets: [{}]}}]\n",
        targets.join(", ")
    );
    std::fs::write(dir.join("prometheus.yml"), config)?;
    Ok(dir)
}

pub(super) fn server_binary() -> Result<PathBuf> {
    installed("prometheus", &["/usr/bin"], "prometheus")
}
