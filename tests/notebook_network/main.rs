//! Unmodified clients in guarded notebooks: they reach what is listed, and what is Isochrone's own is out of reach.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use isochrone_testkit::fleet::{Fleet, TASKS, never};
use isochrone_testkit::{
    ADMIN_PASSWORD, OtherUser, PythonClient, Server, ServerOptions, base_of_python, eventually_within,
};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_isochrone");
const ITEM: &str = "029b61ca770e428d9468a2a55f40b9fb";
const RUNS_WITHIN: Duration = Duration::from_mins(4);

/// Beside this file.
fn here(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/notebook_network").join(name)
}

/// The servers that the notebook's clients talk to. Dropped, they end.
struct Servers {
    child: Child,
    ports: Value,
}

impl Servers {
    fn start(python: &Path) -> Result<Servers> {
        let mut child = Command::new(python)
            .arg(here("servers.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("the servers")?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("their output")?).read_line(&mut line)?;
        Ok(Servers { child, ports: serde_json::from_str(&line).context("their ports")? })
    }

    fn port(&self, name: &str) -> u64 {
        self.ports[name].as_u64().unwrap_or_default()
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// Adds a notebook of one cell, which prints.
fn add_notebook(options: &ServerOptions, source: &str) -> Result<()> {
    let cell = json!({"cell_type": "code", "id": "c0", "execution_count": null, "outputs": [], "metadata": {},
                      "source": source});
    let notebook = json!({"cells": [cell], "nbformat": 4, "nbformat_minor": 5,
                          "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}}});
    let file = options.data_dir.with_extension("ipynb");
    std::fs::write(&file, notebook.to_string())?;
    let added = options.cli(&["item", "add", file.to_str().context("a path of text")?, "--id", ITEM], "")?;
    ensure!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    Ok(())
}

/// Runs the notebook once; gives its log.
async fn run_notebook(server: &Server, options: &ServerOptions) -> Result<String> {
    let mut form = never("clients");
    form.retain(|(name, _)| !matches!(*name, "type" | "parameters"));
    form.extend([("type", "ExecuteNotebook"), ("itemId", ITEM)]);
    let task = server.create_task(&form).await?;
    server.post(&format!("{TASKS}/{task}/run"), &[]).await?;
    let run = eventually_within(RUNS_WITHIN, "the notebook's end", async || {
        let answer = server.get(&format!("{TASKS}/{task}/runs"), &[]).await?;
        let run = answer["runs"][0].clone();
        Ok(matches!(run["status"].as_str(), Some("succeeded" | "failed" | "submitfailed")).then_some(run))
    })
    .await?;
    let log = options.cli(&["run", "logs", run["runId"].as_str().context("a run's id")?], "")?;
    let log = String::from_utf8(log.stdout)?;
    ensure!(run["status"] == "succeeded", "{run}\n{log}");
    Ok(log)
}

#[tokio::test(flavor = "multi_thread")]
async fn unmodified_clients_reach_what_is_listed() -> Result<()> {
    let (python, dir) = (python()?, tempfile::tempdir()?);
    reach_what_is_listed(&python, ServerOptions::new(BINARY, dir.path().join("data"))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn so_they_do_where_the_worker_is_not_root() -> Result<()> {
    let python = python()?;
    let environment = python.ancestors().nth(2).context("bin/python")?;
    // Where this test may not become another user, it is not root itself: the test above has shown it.
    let Some(user) = OtherUser::new(&[Path::new(BINARY), environment, &base_of_python()?])? else {
        return Ok(());
    };
    let options = ServerOptions::new(BINARY, user.folder().join("data")).as_user(&user);
    reach_what_is_listed(&python, options.env("HOME", user.folder().display())).await
}

/// A Python with the clients.
fn python() -> Result<PathBuf> {
    let requirements = here("requirements.txt").display().to_string();
    Ok(PythonClient::install("notebook-network", &[&["-r", &requirements]])?.program("python"))
}

async fn reach_what_is_listed(python: &Path, options: ServerOptions) -> Result<()> {
    let servers = Servers::start(python)?;
    let admin = free_address()?;
    let [web, mail, database, unlisted] =
        ["web", "mail", "database", "unlisted"].map(|name| servers.port(name));
    let reach = json!([format!("tcp://127.0.0.1:{mail}"), format!("tcp://127.0.0.1:{database}")]);
    let options = options
        .env("ISOCHRONE__ADMIN__LISTEN", admin)
        .env("ISOCHRONE__NOTEBOOK__PYTHON", python.display())
        .env("ISOCHRONE__NOTEBOOK__NETWORK", "guarded")
        .env("ISOCHRONE__NOTEBOOK__REACH", reach)
        // That is how a package index is listed, and with it what else that server has.
        .env("PIP_INDEX_URL", format!("http://127.0.0.1:{web}/simple"))
        .env("PIP_CONFIG_FILE", "/dev/null")
        .env("PIP_FIND_LINKS", "")
        .env("NO_PROXY", "127.0.0.1,localhost");
    let server = Server::start(&options).await?.sign_in().await?;
    let setting = format!(
        "import os\nos.environ.update(WEB='{web}', MAIL='{mail}', DATABASE='{database}', UNLISTED='{unlisted}', \
         ADMIN='{}', PASSWORD='{ADMIN_PASSWORD}')\n",
        admin.port()
    );
    let script = std::fs::read_to_string(here("clients.py"))?;
    add_notebook(&options, &(setting + &script))?;
    let log = run_notebook(&server, &options).await?;
    println!("{log}");
    let passed = log.lines().filter(|line| line.contains("  ok ")).count();
    ensure!(passed == 10, "{passed} of 10 checks passed:\n{log}");
    for told in [
        "network: guarded".to_owned(),
        "add tcp://10.1.2.3:80".to_owned(),
        format!("127.0.0.1:{unlisted} is not in [notebook] reach: add tcp://127.0.0.1:{unlisted}"),
        "127.0.0.1:5432 is not in [notebook] reach: add tcp://127.0.0.1:5432".to_owned(),
        format!("127.0.0.1:{} is Isochrone's own", admin.port()),
    ] {
        ensure!(log.contains(&told), "the log does not say {told}:\n{log}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleets_redis_and_rabbitmq_are_out_of_reach() -> Result<()> {
    let admin = free_address()?;
    let mut fleet = Fleet::start(BINARY, 1).await?;
    let port = |url: &str| -> Result<u16> {
        let rest = url.split_once("://").context("a URL")?.1;
        let host = rest.rsplit('@').next().unwrap_or_default().split('/').next().unwrap_or_default();
        Ok(host.rsplit_once(':').context("a port")?.1.parse()?)
    };
    let (redis, rabbit) = (port(&fleet.redis.url())?, port(&fleet.rabbit.url())?);
    let scheduler = fleet.scheduler().await?;
    fleet.env("ISOCHRONE__ADMIN__LISTEN", admin);
    // Even what the operator lists by mistake.
    fleet.env("ISOCHRONE__NOTEBOOK__REACH", json!([format!("tcp://127.0.0.1:{redis}")]));
    let mut options = fleet.options().shared_python()?.command(&["worker"]);
    options.environment.remove("ISOCHRONE__WORKER__DRILL_URL");
    let _worker = Server::start(&options).await?;
    let ports = format!("{redis}, {rabbit}, {}, 4369", admin.port());
    let source = format!("PORTS = [{ports}]\n")
        + "import os, socket\n\
           def asked(connection, text):\n    \
               connection.sendall(text)\n    \
               return connection.recv(1000)\n\
           def tried(act):\n    \
               try: return act()\n    \
               except OSError: return b''\n\
           proxy = os.environ['http_proxy'].removeprefix('http://').split(':')\n\
           for port in PORTS:\n    \
               direct = tried(lambda: asked(socket.create_connection(('127.0.0.1', port), 20), b'PING\\r\\n\\r\\n'))\n    \
               request = f'CONNECT localhost:{port} HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n'.encode()\n    \
               proxied = tried(lambda: asked(socket.create_connection(proxy, 20), request)).split(b' ')[1]\n    \
               print('port', port, direct, proxied)";
    add_notebook(&options, &source)?;
    let log = run_notebook(&scheduler, &options).await?;
    println!("{log}");
    for port in [redis, rabbit, admin.port(), 4369] {
        ensure!(log.contains(&format!("port {port} b'' b'403'")), "{port}:\n{log}");
    }
    for port in [redis, rabbit, admin.port()] {
        ensure!(log.contains(&format!("127.0.0.1:{port} is Isochrone's own")), "{port}:\n{log}");
    }
    ensure!(log.contains("add tcp://127.0.0.1:4369") || log.contains("add tcp://localhost:4369"), "{log}");
    Ok(())
}
