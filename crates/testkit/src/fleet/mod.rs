//! A fleet of real processes on a real Redis and a real RabbitMQ, whose work is rehearsed.
//!
//! Its workers execute nothing: they ask the [`DrillServer`], which decides how long each attempt takes and
//! keeps count of what was begun, in a place that has no part in the fleet.

mod drill;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use isochrone_domain::TaskId;
use isochrone_store::redis::{Options, RedisStore};
use serde_json::Value;

pub use drill::{Begun, DrillServer, Script, lives, state};

use crate::{RabbitServer, RedisServer, Server, ServerOptions};

/// Where `admin`'s tasks are.
pub const TASKS: &str = "/sharing/rest/community/users/admin/tasks";

/// The parts of a fleet that has no process yet.
pub struct Fleet {
    /// The store.
    pub redis: RedisServer,
    /// The queue.
    pub rabbit: RabbitServer,
    /// Where attempts are counted.
    pub drill: DrillServer,
    dir: tempfile::TempDir,
    options: ServerOptions,
    processes: u32,
}

impl Fleet {
    /// Servers of its own, and none of Isochrone's processes yet. Its clock runs `speed` times as fast as
    /// the world's.
    pub async fn start(binary: impl Into<PathBuf>, speed: u32) -> Result<Fleet> {
        let (redis, rabbit) = tokio::try_join!(RedisServer::start(), RabbitServer::start())?;
        Fleet::on(redis, rabbit, binary, speed).await
    }

    /// The same on these servers.
    pub async fn on(
        redis: RedisServer,
        rabbit: RabbitServer,
        binary: impl Into<PathBuf>,
        speed: u32,
    ) -> Result<Fleet> {
        let (dir, drill) = (tempfile::tempdir()?, DrillServer::start().await?);
        let options = ServerOptions::new(binary, dir.path().join("unused"))
            .env("ISOCHRONE_REDIS_URL", redis.url())
            .env("ISOCHRONE_AMQP_URL", rabbit.url())
            .env("ISOCHRONE__ARTIFACTS__DIR", dir.path().join("artifacts").display())
            .env("ISOCHRONE__WORKER__DRILL_URL", drill.url());
        let options = if speed > 1 { options.clock(speed) } else { options };
        Ok(Fleet { redis, rabbit, drill, dir, options, processes: 0 })
    }

    /// With an environment variable, for processes that are started from now on.
    pub fn env(&mut self, name: &str, value: impl ToString) {
        self.options = self.options.clone().env(name, value);
    }

    /// Another binary, for processes that are started from now on.
    pub fn binary(&mut self, binary: &Path) {
        binary.clone_into(&mut self.options.binary);
    }

    /// How the fleet's processes are started: with a data directory of their own each.
    pub fn options(&mut self) -> ServerOptions {
        self.processes += 1;
        ServerOptions {
            data_dir: self.dir.path().join(format!("process-{}", self.processes)),
            ..self.options.clone()
        }
    }

    /// Another scheduler with a portal, signed in.
    pub async fn scheduler(&mut self) -> Result<Server> {
        let options = self.options().command(&["scheduler", "--http", "127.0.0.1:0"]);
        Server::start(&options).await?.sign_in().await
    }

    /// Another worker with so many slots for each type.
    pub async fn worker(&mut self, slots: u32) -> Result<Server> {
        Server::start(&self.options().command(&["worker", "--slots", &slots.to_string()])).await
    }

    /// How long the world waits for the next minute of the fleet's clock.
    pub fn until_minute(&self) -> Duration {
        self.options.until_minute()
    }

    /// The fleet's store, as its processes see it.
    pub async fn store(&self) -> Result<RedisStore> {
        let options = Options { clock: self.options.clock, ..Options::default() };
        Ok(RedisStore::open(&self.redis.url(), options).await?)
    }

    /// The members that the fleet knows, as `isochrone fleet` lists them.
    pub fn members(&self) -> Result<Vec<Value>> {
        let listed = self.options.cli_json(&["fleet"])?;
        Ok(listed.as_array().context("a list of members")?.clone())
    }

    /// The process that leads.
    pub fn leader(&self) -> Result<Option<u32>> {
        let members = self.members()?;
        let leader = members.iter().find(|member| member["leads"] == true);
        Ok(leader.and_then(|leader| leader["pid"].as_u64()).and_then(|pid| u32::try_from(pid).ok()))
    }

    /// Keeps what the processes wrote, for a person to look at; gives where.
    pub fn keep(self) -> PathBuf {
        self.dir.keep()
    }
}

/// createTask's form for every minute, with runs that may overlap.
pub fn minutely(title: &str) -> Vec<(&str, &str)> {
    vec![
        ("title", title),
        ("type", "ExecuteReport"),
        ("parameters", r#"{"reportType":"org","reportSubType":"content","title":"Tasks"}"#),
        ("minute", "*"),
        ("hour", "*"),
        ("dayOfMonth", "*"),
        ("month", "*"),
        ("dayOfWeek", "?"),
        ("overlapPolicy", "allow"),
    ]
}

/// createTask's form for a moment that no test lives to see.
pub fn never(title: &str) -> Vec<(&str, &str)> {
    let mut form = minutely(title);
    for (name, value) in &mut form {
        match *name {
            "minute" | "hour" => *value = "0",
            "dayOfMonth" => *value = "29",
            "month" => *value = "2",
            _ => {}
        }
    }
    form
}

/// Makes a task for every minute.
pub async fn create_minutely(server: &Server, title: &str, more: &[(&str, &str)]) -> Result<TaskId> {
    let mut form = minutely(title);
    form.extend_from_slice(more);
    Ok(server.create_task(&form).await?.parse()?)
}

/// Disables a task.
pub async fn disable(server: &Server, task: TaskId) -> Result<()> {
    let answer = server.post(&format!("{TASKS}/{task}/disable"), &[]).await?;
    ensure!(answer["success"] == Value::Bool(true), "disable answered {answer}");
    Ok(())
}
