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
use crate::{Proxy, RabbitServer, RedisServer, Server, ServerOptions, eventually_within};

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
    pub const SMOKE: Plan = Plan { lasts: Duration::from_secs(40), tasks: 30, most: 10, speed: 15 };
    /// As much as is promised: things go wrong for as many minutes as the largest limit has.
    pub const FULL: Plan = Plan { lasts: Duration::from_mins(15), tasks: 300, most: 30, speed: 2 };
}

/// What was seen.
#[derive(Debug)]
pub struct Seen {
    lasted: Duration,
    happened: Vec<Happened>,
    counted: Counted,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let happened = self.happened.iter().flatten().map(|(what, times)| format!("{what} {times}"));
        let happened = happened.collect::<Vec<_>>().join(", ");
        write!(f, "{} s of faults ({happened}): {}", self.lasted.as_secs(), self.counted)
    }
}

/// How often each thing happened.
type Happened = BTreeMap<&'static str, u32>;

/// What happens to schedulers and workers.
#[derive(Clone, Copy, Debug)]
enum ProcessFault {
    KillLeader,
    KillWorker,
    PauseWorker,
}

const OF_PROCESSES: [(&str, ProcessFault); 3] = [
    ("leader killed", ProcessFault::KillLeader),
    ("worker killed", ProcessFault::KillWorker),
    ("worker suspended", ProcessFault::PauseWorker),
];

/// What happens to RabbitMQ.
#[derive(Clone, Copy, Debug)]
enum BrokerFault {
    Delete,
    Close,
    Cut,
    Alarm,
    Restart,
}

const OF_BROKER: [(&str, BrokerFault); 5] = [
    ("queue deleted", BrokerFault::Delete),
    ("connections closed", BrokerFault::Close),
    ("connections cut", BrokerFault::Cut),
    ("memory alarm", BrokerFault::Alarm),
    ("RabbitMQ restarted", BrokerFault::Restart),
];

/// Past the lease of [`LEASE_SECONDS`].
const PAUSE: Duration = Duration::from_secs(7);
const LEASE_SECONDS: u32 = 5;
const SLOTS: &str = "40";
/// So that many runs are under way when a worker dies.
const LONGEST_HOLD: Duration = Duration::from_secs(5);

/// Lets things go wrong for a while, then in peace end what was begun.
pub async fn run(binary: &Path, plan: Plan) -> Result<Seen> {
    on_fleet(binary, plan.speed, async |fleet| everything(fleet, plan).await).await
}

async fn everything(fleet: &mut Fleet, plan: Plan) -> Result<Seen> {
    let proxy = Proxy::start(fleet.rabbit.address()).await?;
    fleet.env("ISOCHRONE_AMQP_URL", fleet.rabbit.url_through(&proxy));
    fleet.env("ISOCHRONE__WORKER__LEASE_SECONDS", LEASE_SECONDS);
    fleet.drill.script(|_| {
        let hold = random_between(Duration::ZERO..=LONGEST_HOLD);
        Script { hold_ms: u64::try_from(hold.as_millis()).unwrap_or(u64::MAX), succeed: true }
    });
    let mut crew = Crew::start(fleet).await?;
    let portal = fleet.scheduler().await?;
    let mut limits: BTreeMap<TaskId, u64> = BTreeMap::new();
    for n in 0..plan.tasks {
        let limit = u64::from(1 + n % plan.most);
        let more = [("maxOccurrences", &*limit.to_string()), MAKE_UP, ("maxConsecutiveFailures", "-1")];
        limits.insert(create_minutely(&portal, &format!("limited {n}"), &more).await?, limit);
    }
    crew.schedulers.push(portal);
    let began = Instant::now();
    let until = began + plan.lasts;
    // Each part fails in its own time, so that any two fail together.
    let (processes, broker, store) = tokio::try_join!(
        in_turn(&OF_PROCESSES, until, async |fault| crew.suffer(fault).await),
        in_turn(&OF_BROKER, until, async |fault| spoil(&mut fleet.rabbit, &proxy, fault).await),
        in_turn(&[("Redis killed", ())], until, async |()| kill(&mut fleet.redis).await),
    )?;
    let lasted = began.elapsed();
    // As many minutes as the largest limit has, and what a lost wake-up takes.
    let peace = Duration::from_mins(2) + Duration::from_mins(1) * plan.most / plan.speed;
    each_fired_its_limit(&crew.store, &limits, peace).await?;
    let counted = counted(&crew.store, &fleet.drill, &limits).await?;
    Ok(Seen { lasted, happened: vec![processes, broker, store], counted })
}

/// Lets the faults of one part happen in turn until then.
async fn in_turn<F: Copy>(
    faults: &[(&'static str, F)],
    until: Instant,
    mut happen: impl AsyncFnMut(F) -> Result<()>,
) -> Result<Happened> {
    let mut happened = Happened::new();
    for (name, fault) in faults.iter().cycle() {
        tokio::time::sleep(random_between(Duration::ZERO..=Duration::from_secs(5))).await;
        if Instant::now() >= until {
            break;
        }
        happen(*fault).await.context(*name)?;
        *happened.entry(name).or_default() += 1;
    }
    Ok(happened)
}

/// The fleet's processes.
struct Crew {
    options: ServerOptions,
    started: u32,
    store: RedisStore,
    schedulers: Vec<Server>,
    workers: Vec<Server>,
}

impl Crew {
    async fn start(fleet: &mut Fleet) -> Result<Crew> {
        let (options, store) = (fleet.options(), fleet.store().await?);
        let mut crew = Crew { options, started: 0, store, schedulers: Vec::new(), workers: Vec::new() };
        crew.add_scheduler().await?;
        for _ in 0..3 {
            crew.add_worker().await?;
        }
        Ok(crew)
    }

    async fn add_scheduler(&mut self) -> Result<()> {
        let scheduler = self.member(&["scheduler", "--http", "127.0.0.1:0"]).await?;
        self.schedulers.push(scheduler);
        Ok(())
    }

    async fn add_worker(&mut self) -> Result<()> {
        let worker = self.member(&["worker", "--slots", SLOTS]).await?;
        self.workers.push(worker);
        Ok(())
    }

    /// Starts a process, as often as it takes while Redis or RabbitMQ is away.
    async fn member(&mut self, command: &[&str]) -> Result<Server> {
        self.started += 1;
        let data_dir = self.options.data_dir.with_file_name(format!("member-{}", self.started));
        let options = ServerOptions { data_dir, ..self.options.clone() }.command(command);
        let what = format!("{command:?} to start");
        eventually_within(Duration::from_mins(1), &what, async || Ok(Server::start(&options).await.ok()))
            .await
    }

    async fn suffer(&mut self, fault: ProcessFault) -> Result<()> {
        match fault {
            ProcessFault::KillLeader => {
                let leads = eventually_within(Duration::from_mins(1), "one of ours to lead", async || {
                    // Redis may have been killed a moment ago.
                    let leads = leader(&self.store).await.unwrap_or(None);
                    Ok(self.schedulers.iter().position(|scheduler| Some(scheduler.pid()) == leads))
                })
                .await?;
                self.schedulers.remove(leads).kill()?;
                self.add_scheduler().await
            }
            ProcessFault::KillWorker => {
                self.workers.remove(0).kill()?;
                self.add_worker().await
            }
            ProcessFault::PauseWorker => {
                self.workers[0].pause()?;
                tokio::time::sleep(PAUSE).await;
                self.workers[0].resume()
            }
        }
    }
}

async fn spoil(rabbit: &mut RabbitServer, proxy: &Proxy, fault: BrokerFault) -> Result<()> {
    let moment = random_between(Duration::ZERO..=Duration::from_secs(3));
    match fault {
        BrokerFault::Delete => rabbit.delete_queue("isochrone.runs.ExecuteReport").await.map(drop),
        BrokerFault::Close => rabbit.close_all_connections().await,
        BrokerFault::Cut => {
            proxy.cut();
            tokio::time::sleep(moment).await;
            proxy.heal();
            Ok(())
        }
        BrokerFault::Alarm => {
            rabbit.raise_memory_alarm().await?;
            tokio::time::sleep(moment).await;
            rabbit.clear_memory_alarm().await
        }
        BrokerFault::Restart => {
            // A node that is killed forgets a queue that it declared a moment ago.
            rabbit.sync().await?;
            rabbit.stop().await?;
            tokio::time::sleep(moment).await;
            rabbit.restart().await
        }
    }
}

async fn kill(redis: &mut RedisServer) -> Result<()> {
    redis.kill()?;
    tokio::time::sleep(random_between(Duration::ZERO..=Duration::from_secs(2))).await;
    redis.restart().await
}
