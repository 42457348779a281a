//! Everything at once, and `maxOccurrences` all the same.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use isochrone_domain::TaskId;
use isochrone_store::redis::RedisStore;

use super::limits::{Counted, counted, each_fired_its_limit};
use super::{MAKE_UP, leader, on_fleet, random_between};
use crate::fleet::{Fleet, Script, create_minutely};
use crate::{Proxy, Server, eventually};

/// How hard.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How long things go wrong.
    pub lasts: Duration,
    /// How many tasks; the n-th may run 1 to `most` times.
    pub tasks: u32,
    /// The most runs of a task.
    pub most: u32,
    /// How much faster than the world the fleet's clock runs.
    pub speed: u32,
}

impl Plan {
    /// For every day.
    pub const SMOKE: Plan = Plan { lasts: Duration::from_secs(40), tasks: 30, most: 10, speed: 20 };
    /// As much as is promised: the tasks have as many minutes as their limits, and half as many again.
    pub const FULL: Plan = Plan { lasts: Duration::from_mins(15), tasks: 300, most: 30, speed: 3 };
}

/// What was seen.
#[derive(Debug)]
pub struct Seen {
    lasted: Duration,
    happened: BTreeMap<&'static str, u32>,
    counted: Counted,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let happened = self.happened.iter().map(|(what, times)| format!("{what} {times}"));
        let happened = happened.collect::<Vec<_>>().join(", ");
        write!(f, "{} s of faults ({happened}): {}", self.lasted.as_secs(), self.counted)
    }
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    KillLeader,
    KillWorker,
    PauseWorker,
    KillRedis,
    RestartBroker,
    DeleteQueue,
    CloseConnections,
    CutConnections,
    MemoryAlarm,
}

impl Fault {
    const ALL: [Fault; 9] = [
        Fault::KillLeader,
        Fault::KillWorker,
        Fault::PauseWorker,
        Fault::KillRedis,
        Fault::DeleteQueue,
        Fault::CloseConnections,
        Fault::CutConnections,
        Fault::MemoryAlarm,
        Fault::RestartBroker,
    ];

    fn name(self) -> &'static str {
        match self {
            Fault::KillLeader => "leader killed",
            Fault::KillWorker => "worker killed",
            Fault::PauseWorker => "worker suspended",
            Fault::KillRedis => "Redis killed",
            Fault::RestartBroker => "RabbitMQ restarted",
            Fault::DeleteQueue => "queue deleted",
            Fault::CloseConnections => "connections closed",
            Fault::CutConnections => "connections cut",
            Fault::MemoryAlarm => "memory alarm",
        }
    }
}

/// A fleet to which things happen.
struct Victims<'a> {
    fleet: &'a mut Fleet,
    proxy: Proxy,
    store: RedisStore,
    schedulers: Vec<Server>,
    workers: Vec<Server>,
}

/// Lets things go wrong for a while, then in peace end what was begun.
pub async fn run(binary: &Path, plan: Plan) -> Result<Seen> {
    on_fleet(binary, plan.speed, async |fleet| everything(fleet, plan).await).await
}

async fn everything(fleet: &mut Fleet, plan: Plan) -> Result<Seen> {
    let proxy = Proxy::start(fleet.rabbit.address()).await?;
    let (port, through) = (fleet.rabbit.address().port().to_string(), proxy.address().port().to_string());
    let url = fleet.rabbit.url().replace(&port, &through);
    fleet.env("ISOCHRONE_AMQP_URL", url);
    fleet.env("ISOCHRONE__WORKER__LEASE_SECONDS", 5);
    fleet.drill.script(|_| Script { hold_ms: 300, succeed: true });
    let schedulers = vec![fleet.scheduler().await?, fleet.scheduler().await?];
    let workers = vec![fleet.worker(40).await?, fleet.worker(40).await?, fleet.worker(40).await?];
    let mut limits: BTreeMap<TaskId, u64> = BTreeMap::new();
    for n in 0..plan.tasks {
        let limit = u64::from(1 + n % plan.most);
        let more = [("maxOccurrences", &*limit.to_string()), MAKE_UP, ("maxConsecutiveFailures", "-1")];
        limits.insert(create_minutely(&schedulers[0], &format!("limited {n}"), &more).await?, limit);
    }
    let store = fleet.store().await?;
    let mut victims = Victims { fleet, proxy, store, schedulers, workers };
    let (began, mut happened) = (Instant::now(), BTreeMap::new());
    for fault in Fault::ALL.into_iter().cycle() {
        if began.elapsed() >= plan.lasts {
            break;
        }
        victims.suffer(fault).await.with_context(|| fault.name())?;
        *happened.entry(fault.name()).or_insert(0) += 1;
        tokio::time::sleep(random_between(Duration::ZERO..=Duration::from_secs(3))).await;
    }
    let lasted = began.elapsed();
    // As many minutes as the largest limit has, and what a lost wake-up takes.
    let peace = Duration::from_mins(2) + Duration::from_mins(1) * plan.most / plan.speed;
    each_fired_its_limit(&victims.store, &limits, peace).await?;
    let counted = counted(&victims.store, &victims.fleet.drill, &limits).await?;
    Ok(Seen { lasted, happened, counted })
}

impl Victims<'_> {
    async fn suffer(&mut self, fault: Fault) -> Result<()> {
        match fault {
            Fault::KillLeader => {
                // Redis may have been killed a moment ago.
                let leads =
                    eventually("a leader", async || Ok(leader(&self.store).await.unwrap_or(None))).await?;
                let place = self.schedulers.iter().position(|scheduler| scheduler.pid() == leads);
                self.schedulers.remove(place.unwrap_or(0)).kill()?;
                self.schedulers.push(self.fleet.scheduler().await?);
            }
            Fault::KillWorker => {
                self.workers.remove(0).kill()?;
                self.workers.push(self.fleet.worker(40).await?);
            }
            Fault::PauseWorker => {
                self.workers[0].pause()?;
                // Past its lease of 5 s.
                tokio::time::sleep(Duration::from_secs(7)).await;
                self.workers[0].resume()?;
            }
            Fault::KillRedis => {
                self.fleet.redis.kill()?;
                tokio::time::sleep(random_between(Duration::ZERO..=Duration::from_secs(2))).await;
                self.fleet.redis.restart().await?;
            }
            Fault::RestartBroker => {
                self.fleet.rabbit.sync().await?;
                self.fleet.rabbit.stop().await?;
                tokio::time::sleep(random_between(Duration::ZERO..=Duration::from_secs(3))).await;
                self.fleet.rabbit.restart().await?;
            }
            Fault::DeleteQueue => self.fleet.rabbit.delete_queue("isochrone.runs.ExecuteReport").await?,
            Fault::CloseConnections => self.fleet.rabbit.close_all_connections().await?,
            Fault::CutConnections => {
                self.proxy.cut();
                tokio::time::sleep(random_between(Duration::ZERO..=Duration::from_secs(1))).await;
                self.proxy.heal();
            }
            Fault::MemoryAlarm => {
                self.fleet.rabbit.raise_memory_alarm().await?;
                tokio::time::sleep(random_between(Duration::ZERO..=Duration::from_secs(3))).await;
                self.fleet.rabbit.clear_memory_alarm().await?;
            }
        }
        Ok(())
    }
}
