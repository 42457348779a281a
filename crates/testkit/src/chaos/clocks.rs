//! Redis's clock is off for a while, for all and then for the scheduler that leads: nothing fires, is planned or expires
//! while clocks disagree, and everything goes on after. A proxy changes what Redis says of the time.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use isochrone_domain::EpochMillis;
use isochrone_store::TaskStore;
use isochrone_store::redis::RedisStore;

use super::{agree, all_ended, create, disable_all, leader, on_fleet, seconds};
use crate::fleet::{Fleet, Script, TASKS, minutely};
use crate::{Ledger, Proxy, Server, eventually_within};

/// How far off, in seconds, and for how long.
type Step = (i64, Duration);

/// A step is seen, and what was under way is over.
const SEEN: Duration = Duration::from_secs(2);

/// A clock is believed again after half a minute.
const BELIEVED: Duration = Duration::from_mins(1);

/// How hard.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Tasks that fire every minute.
    pub tasks: u32,
    /// How much faster than the world the fleet's clock runs.
    pub speed: u32,
    /// What happens to Redis's clock, one after the other.
    pub steps: &'static [Step],
    /// How often it then goes forth by an hour and back, within each ten seconds.
    pub swings: u32,
}

impl Plan {
    /// For every day.
    pub const SMOKE: Plan =
        Plan { tasks: 5, speed: 15, steps: &[(3_600, Duration::from_secs(6))], swings: 0 };
    /// As much as is promised.
    pub const FULL: Plan = Plan {
        tasks: 50,
        speed: 6,
        steps: &[
            (3_600, Duration::from_secs(6)),
            (-3_600, Duration::from_secs(6)),
            (60, Duration::from_secs(20)),
            (-60, Duration::from_secs(20)),
        ],
        swings: 12,
    };
}

/// What was seen.
#[derive(Debug)]
pub struct Seen {
    steps: usize,
    fires: usize,
    longest: Duration,
    taken: Duration,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Seen { steps, fires, longest, taken } = self;
        write!(
            f,
            "Redis's clock off {steps} times: no fire and 503 for createTask meanwhile, all as ever at most {} after; \
             a leader with a wrong clock replaced after {}; {fires} fires, 0 missing, 0 doubled, 0 invented, each run \
             executed once",
            seconds(*longest),
            seconds(*taken)
        )
    }
}

/// The processes, each with a way of its own to Redis.
struct Processes {
    schedulers: [Server; 2],
    proxies: [Proxy; 3],
}

impl Processes {
    fn shift(&self, seconds: i64) {
        for proxy in &self.proxies {
            proxy.shift_redis_time(seconds);
        }
    }
}

/// Sets Redis's clock, as its clients see it.
pub async fn run(binary: &Path, plan: Plan) -> Result<Seen> {
    on_fleet(binary, plan.speed, async |fleet| shift(fleet, plan).await).await
}

async fn shift(fleet: &mut Fleet, plan: Plan) -> Result<Seen> {
    fleet.drill.script(|_| Script { hold_ms: 20, succeed: true });
    let mut proxies = Vec::new();
    for _ in 0..3 {
        proxies.push(Proxy::start(fleet.redis.address()).await?);
    }
    let through = |proxy: &Proxy| format!("redis://{}/", proxy.address());
    fleet.env("ISOCHRONE_REDIS_URL", through(&proxies[0]));
    let first = fleet.scheduler().await?;
    fleet.env("ISOCHRONE_REDIS_URL", through(&proxies[1]));
    let second = fleet.scheduler().await?;
    fleet.env("ISOCHRONE_REDIS_URL", through(&proxies[2]));
    let _worker = fleet.worker(plan.tasks * 4).await?;
    let proxies = <[Proxy; 3]>::try_from(proxies).ok().context("three ways")?;
    let processes = Processes { schedulers: [first, second], proxies };
    let store = fleet.store().await?;
    let mut tasks = create(&processes.schedulers[0], plan.tasks, &[]).await?;
    fires_go_on(&store).await?;

    let mut longest = Duration::ZERO;
    for (by, hold) in plan.steps {
        stands(&processes, &store, &[(*by, *hold)])
            .await
            .with_context(|| format!("Redis's clock off by {by} s"))?;
        longest = longest.max(goes_on(&processes, &store).await?);
    }
    if plan.swings > 0 {
        let swing = [(3_600, Duration::from_secs(5)), (0, Duration::from_secs(5))];
        let swings: Vec<Step> = (0..plan.swings).flat_map(|_| swing).collect();
        stands(&processes, &store, &swings).await.context("Redis's clock going back and forth")?;
        longest = longest.max(goes_on(&processes, &store).await?);
    }
    let taken = a_good_one_takes_over(&processes, &store).await?;

    // What was made meanwhile by nobody is no task; one that is made now is.
    tasks.extend(create(&processes.schedulers[1], 1, &[]).await?);
    eventually_within(Duration::from_mins(1), "every task to fire", async || {
        Ok((Ledger::of(&store).await?.tasks.len() == tasks.len()).then_some(()))
    })
    .await?;
    disable_all(&processes.schedulers[0], &tasks).await?;
    let ledger = all_ended(&store, 1, Duration::from_mins(1)).await?;
    let now = store.now().await?;
    let future = ledger.tasks.values().flat_map(|fires| &fires.0).find(|fire| fire.planned > now);
    ensure!(future.is_none(), "a fire of the future is in the ledger: {future:?}");
    let agreed = agree(&ledger, &fleet.drill, tasks.len())?;
    ensure!(agreed.attempts == agreed.fires, "{} attempts for {} runs", agreed.attempts, agreed.fires);
    let steps = plan.steps.len() + plan.swings as usize;
    Ok(Seen { steps, fires: agreed.fires, longest, taken })
}

async fn fires(store: &RedisStore) -> Result<Vec<EpochMillis>> {
    let ledger = Ledger::of(store).await?;
    Ok(ledger.tasks.values().flat_map(|fires| fires.0.iter().map(|fire| fire.planned)).collect())
}

/// While the clock is off nobody leads, nothing fires and nothing is planned.
async fn stands(processes: &Processes, store: &RedisStore, steps: &[Step]) -> Result<()> {
    let mut before = None;
    for (by, hold) in steps {
        processes.shift(*by);
        tokio::time::sleep(SEEN.min(*hold)).await;
        let stood = fires(store).await?.len();
        let before = *before.get_or_insert(stood);
        for scheduler in &processes.schedulers {
            let answer = scheduler.post(&format!("{TASKS}/createTask"), &minutely("not now")).await?;
            ensure!(answer["error"]["code"] == 503, "createTask answers {answer}");
        }
        tokio::time::sleep(hold.saturating_sub(SEEN)).await;
        let after = fires(store).await?.len();
        ensure!(after == before, "{} fires were decided", after - before);
        ensure!(leader(store).await?.is_none(), "somebody leads");
    }
    processes.shift(0);
    Ok(())
}

/// Everything goes on by itself. Gives how long that took.
async fn goes_on(processes: &Processes, store: &RedisStore) -> Result<Duration> {
    let began = Instant::now();
    eventually_within(BELIEVED, "a leader", async || leader(store).await).await?;
    fires_go_on(store).await?;
    let took = began.elapsed();
    for scheduler in &processes.schedulers {
        eventually_within(BELIEVED, "clocks that are believed", async || {
            tokio::time::sleep(Duration::from_millis(250)).await;
            let tasks = scheduler.get(TASKS, &[]).await?;
            let tasks = tasks["tasks"].as_array().context("tasks are listed")?;
            let id = tasks.first().and_then(|task| task["id"].as_str()).context("there are tasks")?;
            let changed = scheduler.post(&format!("{TASKS}/{id}/update"), &[("title", "again")]).await?;
            Ok((changed["success"] == true).then_some(()))
        })
        .await?;
    }
    Ok(took)
}

async fn fires_go_on(store: &RedisStore) -> Result<()> {
    let before = fires(store).await?.len();
    eventually_within(Duration::from_mins(1), "further fires", async || {
        tokio::time::sleep(Duration::from_millis(250)).await;
        Ok((fires(store).await?.len() > before).then_some(()))
    })
    .await
}

/// The clock of one scheduler is off: another one leads. Gives how long that took.
async fn a_good_one_takes_over(processes: &Processes, store: &RedisStore) -> Result<Duration> {
    let leads = eventually_within(BELIEVED, "a leader", async || leader(store).await).await?;
    let place = processes.schedulers.iter().position(|scheduler| scheduler.pid() == leads);
    let place = place.context("one of the two leads")?;
    processes.proxies[place].shift_redis_time(60);
    let began = Instant::now();
    let other = processes.schedulers[1 - place].pid();
    eventually_within(Duration::from_secs(10), "another leader", async || {
        Ok((leader(store).await? == Some(other)).then_some(()))
    })
    .await?;
    let took = began.elapsed();
    fires_go_on(store).await?;
    processes.proxies[place].shift_redis_time(0);
    goes_on(processes, store).await?;
    Ok(took)
}
