//! Task types whose work is done by another server: simulated here, with all that such servers do wrong.

mod chaos;
mod egress;
mod fleet;
mod gp_service;
mod hostile;
mod http_job;
mod notebook_server;
mod ogc_process;
mod report;
mod scene_cook;
mod tokens;
mod workflow_manager;

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use isochrone_sandbox::SimulatedPortal;
use isochrone_testkit::{ADMIN_PASSWORD, Server, ServerOptions, eventually_within};
use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_isochrone");
const USERS: &str = "/sharing/rest/community/users";
/// A dead worker's lease is over by then.
const LONG: Duration = Duration::from_mins(1);

/// A house and its data.
struct Place {
    options: ServerOptions,
    /// Gone with the place.
    #[expect(dead_code, reason = "it is here to be dropped")]
    dir: tempfile::TempDir,
}

impl Place {
    /// SIGKILL, and another server on the same data.
    async fn restart(&self, server: Server) -> Result<Server> {
        server.kill()?;
        Server::start(&self.options).await?.sign_in().await
    }
}

/// A house whose tasks may go to these servers.
fn place(servers: &[&str]) -> Result<Place> {
    let dir = tempfile::tempdir()?;
    let options = ServerOptions::new(BINARY, dir.path().join("data"))
        .env("ISOCHRONE__EGRESS__SERVERS", servers.join(","))
        .env("ISOCHRONE__WORKER__LEASE_SECONDS", 3);
    Ok(Place { options, dir })
}

/// The same in front of this portal, where `admin` is an administrator, too.
fn beside_portal(options: ServerOptions, portal: &SimulatedPortal) -> ServerOptions {
    portal.add_user("admin", "org_admin", ADMIN_PASSWORD);
    options
        .env("ISOCHRONE__PORTAL__URL", portal.url())
        .env("ISOCHRONE__PORTAL__USER", "siteadmin")
        .env("ISOCHRONE_PORTAL_PASSWORD", "site-password")
}

/// A task of admin's that is run once, by hand.
struct Running<'a> {
    server: &'a Server,
    task: String,
    run: String,
}

/// Makes a task and asks for a run.
async fn begin<'a>(server: &'a Server, form: &[(&str, &str)]) -> Result<Running<'a>> {
    let cron = [("minute", "0"), ("hour", "0"), ("dayOfMonth", "29"), ("month", "2"), ("dayOfWeek", "?")];
    let task = server.create_task(&[&cron[..], form].concat()).await?;
    let asked = server.post(&format!("{USERS}/admin/tasks/{task}/run"), &[]).await?;
    let run = asked["runId"].as_str().with_context(|| format!("{asked}"))?.to_owned();
    Ok(Running { server, task, run })
}

impl<'a> Running<'a> {
    /// The task and the run: what names it at another server.
    fn names(&self) -> (String, String) {
        (self.task.clone(), self.run.clone())
    }

    fn at(server: &'a Server, (task, run): (String, String)) -> Running<'a> {
        Running { server, task, run }
    }

    fn path(&self) -> String {
        format!("{USERS}/admin/tasks/{}/runs/{}", self.task, self.run)
    }

    async fn now(&self) -> Result<Value> {
        self.server.get(&self.path(), &[]).await
    }

    /// The run, once this holds of it.
    async fn once(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Result<Value> {
        self.once_within(LONG, what, holds).await
    }

    async fn once_within(
        &self,
        deadline: Duration,
        what: &str,
        holds: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        eventually_within(deadline, what, async || {
            let run = self.now().await?;
            Ok(holds(&run).then_some(run))
        })
        .await
    }

    /// The run once it has ended.
    async fn ended(&self) -> Result<Value> {
        self.ended_within(LONG).await
    }

    async fn ended_within(&self, deadline: Duration) -> Result<Value> {
        self.once_within(deadline, "the run to end", |run| run["endTime"].is_i64()).await
    }

    async fn cancel(&self) -> Result<Value> {
        self.server.post(&format!("{}/cancel", self.path()), &[]).await
    }

    /// Deletes its task, with the run in it.
    async fn delete_task(&self) -> Result<()> {
        let answer = self.server.post(&format!("{USERS}/admin/tasks/{}/delete", self.task), &[]).await?;
        anyhow::ensure!(answer["success"] == true, "{answer}");
        Ok(())
    }

    /// The log's lines, one text.
    async fn log(&self) -> Result<String> {
        let log = self.server.get(&format!("{}/log", self.path()), &[("num", "1000")]).await?;
        Ok(log.to_string())
    }
}

/// The first request was told to come again in so many seconds; the second did.
fn assert_no_sooner(times: &[Instant], seconds: u64) {
    let pause = times.get(1).zip(times.first()).map(|(second, first)| *second - *first);
    assert!(pause.is_some_and(|pause| pause >= Duration::from_secs(seconds)), "{pause:?} of {}", times.len());
}

/// A run's outcome and the reason for it.
fn outcome(run: &Value) -> (&str, &str) {
    (run["status"].as_str().unwrap_or_default(), run["reason"].as_str().unwrap_or_default())
}
