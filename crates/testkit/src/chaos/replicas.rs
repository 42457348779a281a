//! Redis's master dies while its replicas lag: what the API acknowledged is there, and what it could not promise it
//! refused.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::seconds;
use crate::fleet::{TASKS, never};
use crate::servers::RedisSentinel;
use crate::{Server, ServerOptions, eventually_within};

/// The sentinels have named another master, and it takes writes, within this time.
const WITHIN: Duration = Duration::from_mins(1);

/// How hard.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How many masters die.
    pub deaths: u32,
    /// Tasks that are made while one replica follows and the other is stopped.
    pub tasks: u32,
}

impl Plan {
    /// For every day.
    pub const SMOKE: Plan = Plan { deaths: 1, tasks: 10 };
    /// As much as is promised.
    pub const FULL: Plan = Plan { deaths: 20, tasks: 200 };
}

/// What was seen.
#[derive(Debug)]
pub struct Seen {
    plan: Plan,
    acknowledged: usize,
    refused: u32,
    slowest_return: Duration,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Seen { plan, acknowledged, refused, slowest_return } = self;
        write!(
            f,
            "{} masters killed with a replica stopped, {acknowledged} tasks acknowledged, 0 of them lost; {refused} refused \
             while no replica followed; the API took tasks again after {} at the latest",
            plan.deaths,
            seconds(*slowest_return)
        )
    }
}

/// Runs it on a portal of its own for each death.
///
/// # Errors
/// Something acknowledged is lost, something was acknowledged that one server had alone, or a part does not start.
pub async fn run(binary: &Path, plan: Plan) -> Result<Seen> {
    let mut seen = Seen { plan, acknowledged: 0, refused: 0, slowest_return: Duration::ZERO };
    for _ in 0..plan.deaths {
        one_death(binary, &mut seen).await?;
    }
    Ok(seen)
}

async fn one_death(binary: &Path, seen: &mut Seen) -> Result<()> {
    let mut redis = RedisSentinel::start().await?;
    let dir = tempfile::tempdir()?;
    let sentinels: Vec<_> =
        redis.sentinel_urls().iter().map(|url| url.replace("redis://", "").replace('/', "")).collect();
    let url = format!("redis+sentinel://{}/{}", sentinels.join(","), RedisSentinel::SERVICE);
    let options = ServerOptions::new(binary, dir.path().join("portal")).env("ISOCHRONE_REDIS_URL", url);
    let portal =
        Server::start(&options.command(&["portal", "--http", "127.0.0.1:0"])).await?.sign_in().await?;

    for replica in &redis.replicas {
        replica.pause()?;
    }
    for _ in 0..3 {
        let answer = portal.create_task(&never("alone")).await;
        let refused = answer.as_ref().is_err_and(|error| error.to_string().contains("503"));
        ensure!(refused, "acknowledged, and only the master has it: {answer:?}");
        seen.refused += 1;
    }
    redis.replicas[1].resume()?;
    let mut tasks = vec![first_task(&portal).await?];
    for _ in 1..seen.plan.tasks {
        tasks.push(portal.create_task(&never("kept")).await?);
    }

    redis.master.kill()?;
    let killed = Instant::now();
    redis.replicas[0].resume()?;
    tasks.push(first_task(&portal).await?);
    seen.slowest_return = seen.slowest_return.max(killed.elapsed());
    for task in &tasks {
        let answer = portal.get(&format!("{TASKS}/{task}"), &[]).await?;
        ensure!(
            answer.get("error").is_none() && answer.to_string().contains(task.as_str()),
            "task {task} was acknowledged and is lost: {answer}"
        );
    }
    seen.acknowledged += tasks.len();
    Ok(())
}

/// The first one that is acknowledged again.
async fn first_task(portal: &Server) -> Result<String> {
    eventually_within(WITHIN, "the API to take tasks", async || {
        Ok(portal.create_task(&never("back")).await.ok())
    })
    .await
}
