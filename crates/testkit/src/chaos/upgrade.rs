//! A fleet that is brought to another version process by process, and back: every minute fires once, no run is lost or
//! begun again, and each version's portal serves what the other has written.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use isochrone_domain::TaskId;
use isochrone_store::redis::RedisStore;

use super::{agree, all_ended, create, disable_all, leader, on_fleet, random_between};
use crate::fleet::{Fleet, Script, TASKS, lives};
use crate::{Ledger, Server, eventually, eventually_within};

const DEAD_LETTERS: &str = "isochrone.dead";

/// How hard.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Tasks that fire every minute, of each of the two versions' making.
    pub tasks: u32,
    /// How much faster than the world the fleet's clock runs.
    pub speed: u32,
    /// How long the versions work side by side after each step.
    pub between: Duration,
    /// How often the fleet goes there and back.
    pub rounds: u32,
}

impl Plan {
    /// For every day.
    pub const SMOKE: Plan = Plan { tasks: 10, speed: 15, between: Duration::from_secs(2), rounds: 1 };
    /// As much as is promised.
    pub const FULL: Plan = Plan { tasks: 50, speed: 6, between: Duration::from_secs(15), rounds: 3 };
}

/// What was seen.
#[derive(Debug)]
pub struct Seen {
    replaced: u32,
    fires: usize,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Seen { replaced, fires } = self;
        write!(
            f,
            "{replaced} processes replaced by the other version's, {fires} fires, 0 missing, 0 doubled, each run \
             executed once and succeeded"
        )
    }
}

/// The processes of a fleet, in the order in which an upgrade takes them.
struct Processes {
    workers: [Server; 2],
    schedulers: [Server; 2],
}

/// Brings a fleet from one binary to another and back.
pub async fn run(from: &Path, to: &Path, plan: Plan) -> Result<Seen> {
    on_fleet(from, plan.speed, async |fleet| upgrade(fleet, from, to, plan).await).await
}

async fn upgrade(fleet: &mut Fleet, from: &Path, to: &Path, plan: Plan) -> Result<Seen> {
    fleet.drill.script(|_| Script {
        hold_ms: random_between(Duration::ZERO..=Duration::from_secs(1)).as_millis() as u64,
        succeed: true,
    });
    let slots = plan.tasks * 4;
    let schedulers = [fleet.scheduler().await?, fleet.scheduler().await?];
    let workers = [fleet.worker(slots).await?, fleet.worker(slots).await?];
    let mut processes = Processes { workers, schedulers };
    let store = fleet.store().await?;
    let mut tasks = create(&processes.schedulers[0], plan.tasks, &[]).await?;
    let mut replaced = 0;
    for round in 0..plan.rounds {
        for (binary, upwards) in [(to, true), (from, false)] {
            fleet.binary(binary);
            processes.replace_workers(fleet, slots, plan.between).await?;
            processes.replace_standby(fleet, &store).await?;
            tokio::time::sleep(plan.between).await;
            // The newcomer's tasks are led by the other version.
            if round == 0 && upwards {
                tasks.extend(create(processes.newest(), plan.tasks, &[]).await?);
            }
            processes.each_serves(&tasks).await?;
            processes.replace_leader(fleet, &store).await?;
            tokio::time::sleep(plan.between).await;
            processes.each_serves(&tasks).await?;
            replaced += 4;
        }
    }
    eventually_within(Duration::from_mins(1), "every task to fire", async || {
        Ok((Ledger::of(&store).await?.tasks.len() == tasks.len()).then_some(()))
    })
    .await?;
    disable_all(&processes.schedulers[0], &tasks).await?;
    let ledger = all_ended(&store, 1, Duration::from_mins(1)).await?;
    let agreed = agree(&ledger, &fleet.drill, tasks.len())?;
    ensure!(agreed.attempts == agreed.fires, "{} attempts for {} runs", agreed.attempts, agreed.fires);
    ensure!(agreed.succeeded == agreed.fires, "{} of {} runs succeeded", agreed.succeeded, agreed.fires);
    let dead = fleet.rabbit.queue_depth(DEAD_LETTERS).await?.unwrap_or(0);
    ensure!(dead == 0, "{dead} messages are dead letters");
    Ok(Seen { replaced, fires: agreed.fires })
}

impl Processes {
    async fn replace_workers(&mut self, fleet: &mut Fleet, slots: u32, between: Duration) -> Result<()> {
        for worker in &mut self.workers {
            end(std::mem::replace(worker, fleet.worker(slots).await?)).await?;
            tokio::time::sleep(between).await;
        }
        Ok(())
    }

    /// The scheduler that does not lead; the new one comes last in the list.
    async fn replace_standby(&mut self, fleet: &mut Fleet, store: &RedisStore) -> Result<()> {
        self.leader_first(store).await?;
        end(std::mem::replace(&mut self.schedulers[1], fleet.scheduler().await?)).await
    }

    /// The one that leads; the other takes over.
    async fn replace_leader(&mut self, fleet: &mut Fleet, store: &RedisStore) -> Result<()> {
        self.leader_first(store).await?;
        let pid = self.schedulers[0].pid();
        end(std::mem::replace(&mut self.schedulers[0], fleet.scheduler().await?)).await?;
        eventually("another leader", async || Ok(leader(store).await?.filter(|leads| *leads != pid))).await?;
        Ok(())
    }

    async fn leader_first(&mut self, store: &RedisStore) -> Result<()> {
        let leads =
            eventually("a leader", async || Ok(leader(store).await?.filter(|pid| lives(*pid)))).await?;
        if self.schedulers[1].pid() == leads {
            self.schedulers.swap(0, 1);
        }
        Ok(())
    }

    fn newest(&self) -> &Server {
        &self.schedulers[1]
    }

    /// Both portals know every task, whoever has made it, and its runs.
    async fn each_serves(&self, tasks: &[TaskId]) -> Result<()> {
        for scheduler in &self.schedulers {
            try_join_all(tasks.iter().map(async |task| {
                let shown = scheduler.get(&format!("{TASKS}/{task}"), &[]).await?;
                ensure!(shown["id"] == task.to_string(), "task {task} is shown as {shown}");
                let runs = scheduler.get(&format!("{TASKS}/{task}/runs"), &[]).await?;
                runs["runs"].as_array().with_context(|| format!("the runs of {task} are shown as {runs}"))?;
                anyhow::Ok(())
            }))
            .await?;
        }
        Ok(())
    }
}

/// In order: what it has, it ends or gives back.
async fn end(process: Server) -> Result<()> {
    ensure!(process.terminate().await?, "a process did not end in order");
    Ok(())
}
