//! SIGKILL of the whole process at random moments while tasks fire: nothing is missing afterwards,
//! nothing is doubled, and every run reaches an outcome.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::chaos::random_between;
use crate::{Ledger, Server, ServerOptions, eventually_within};

/// How hard.
#[derive(Clone, Copy, Debug)]
pub struct Kills {
    /// How many kills.
    pub kills: u32,
    /// Tasks that fire every minute.
    pub tasks: u32,
    /// How much faster than the world the server's clock runs; 1 is the real one.
    pub speed: u32,
    /// The longest life of a process that is killed at any moment. Every second one is killed just after
    /// a minute of its clock began.
    pub longest_life: Duration,
}

/// What was seen.
#[derive(Debug)]
pub struct Seen {
    /// Fires in the ledger.
    pub fires: usize,
    /// How often each reason and outcome occurred.
    pub summary: std::collections::BTreeMap<String, usize>,
    /// The longest a restart on the existing data directory took until it was ready.
    pub slowest_start: Duration,
}

/// Kills the server again and again, then reads the ledger.
pub async fn run(options: &ServerOptions, plan: Kills) -> Result<Seen> {
    // A life of a lease is waited for after each kill; the shorter, the more of them are seen.
    let options = options.clone().env("ISOCHRONE__WORKER__LEASE_SECONDS", 2);
    let options = if plan.speed > 1 { options.clock(plan.speed) } else { options };
    let server = Server::start(&options).await?.sign_in().await?;
    for n in 0..plan.tasks {
        create_minutely(&server, n).await?;
    }
    let mut slowest_start = Duration::ZERO;
    let mut running = server;
    for n in 0..plan.kills {
        if n % 2 == 0 {
            tokio::time::sleep(random_between(Duration::ZERO..=plan.longest_life)).await;
        } else {
            // Where it hurts: while fires are decided, runs claimed and reports written.
            tokio::time::sleep(
                options.until_minute() + random_between(Duration::ZERO..=Duration::from_millis(60)),
            )
            .await;
        }
        running.kill()?;
        running = Server::start(&options).await?;
        slowest_start = slowest_start.max(running.ready_after);
    }
    let server = running.sign_in().await?;
    // One more minute in peace, then no more fires, then the end of every run.
    tokio::time::sleep(Duration::from_secs(70) / plan.speed).await;
    disable_all(&server).await?;
    eventually_within(Duration::from_mins(2), "every run to end", || {
        let ended = all_ended(&options);
        async { ended }
    })
    .await?;
    anyhow::ensure!(server.terminate().await?, "the server did not end well");
    let ledger = Ledger::read(&options.data_dir).await?;
    anyhow::ensure!(ledger.tasks.len() == plan.tasks as usize, "some task never fired");
    Ok(Seen { fires: ledger.check_every_minute()?, summary: ledger.summary(), slowest_start })
}

async fn create_minutely(server: &Server, n: u32) -> Result<()> {
    let parameters = r#"{"reportType":"org","reportSubType":"content","title":"Tasks"}"#;
    let title = format!("minutely {n}");
    let form = [
        ("title", title.as_str()),
        ("type", "ExecuteReport"),
        ("parameters", parameters),
        ("minute", "*"),
        ("hour", "*"),
        ("dayOfMonth", "*"),
        ("month", "*"),
        ("dayOfWeek", "?"),
    ];
    server.create_task(&form).await.map(|_| ())
}

async fn disable_all(server: &Server) -> Result<()> {
    let tasks = server.get("/sharing/rest/community/users/admin/tasks", &[("num", "100")]).await?;
    for task in tasks["tasks"].as_array().context("no tasks")? {
        let id = task["id"].as_str().context("a task without an id")?;
        let answer =
            server.post(&format!("/sharing/rest/community/users/admin/tasks/{id}/disable"), &[]).await?;
        anyhow::ensure!(answer["success"] == Value::Bool(true), "disable answered {answer}");
    }
    Ok(())
}

fn all_ended(options: &ServerOptions) -> Result<Option<()>> {
    let runs = options.cli_json(&["run", "list", "--limit", "1000000"])?;
    let runs = runs.as_array().context("no list of runs")?;
    let open = runs.iter().filter(|run| matches!(run["status"].as_str(), Some("scheduled" | "executing")));
    Ok((open.count() == 0).then_some(()))
}
