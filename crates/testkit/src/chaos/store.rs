//! SIGKILL of Redis while tasks fire and are made: what was acknowledged is there, and counts are exact.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use isochrone_domain::TaskId;
use isochrone_store::TaskStore;
use isochrone_store::redis::RedisStore;
use tokio_util::sync::CancellationToken;

use super::limits::{Counted, counted, each_fired_its_limit};
use super::{MAKE_UP, on_fleet, random_between, seconds};
use crate::fleet::{Fleet, TASKS};
use crate::{Server, eventually_within};

/// After Redis is back the API works again within this time.
const BACK: Duration = Duration::from_secs(10);

/// The most runs of a task here.
const MOST: u64 = 8;

/// How hard.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many kills.
    pub kills: u32,
    /// How long Redis is away each time.
    pub away: RangeInclusive<Duration>,
    /// Between its return and the next kill.
    pub pause: RangeInclusive<Duration>,
    /// How much faster than the world the fleet's clock runs.
    pub speed: u32,
}

impl Plan {
    /// For every day.
    pub const SMOKE: Plan = Plan {
        kills: 3,
        away: Duration::from_millis(200)..=Duration::from_secs(1),
        pause: Duration::from_secs(1)..=Duration::from_secs(3),
        speed: 30,
    };
    /// As much as is promised.
    pub const FULL: Plan = Plan { kills: 20, away: Duration::ZERO..=Duration::from_secs(5), ..Plan::SMOKE };
}

/// What was seen.
#[derive(Debug)]
pub struct Seen {
    kills: u32,
    acknowledged: usize,
    refused: u64,
    counted: Counted,
    slowest: Duration,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Seen { kills, acknowledged, refused, counted, slowest } = self;
        write!(
            f,
            "Redis killed {kills} times; {acknowledged} tasks acknowledged and there, {refused} refused in \
             ArcGIS's shape; {counted}; the API worked again after {} at the latest",
            seconds(*slowest)
        )
    }
}

/// Kills Redis again and again.
pub async fn run(binary: &Path, plan: Plan) -> Result<Seen> {
    on_fleet(binary, plan.speed, async |fleet| kill_redis(fleet, plan).await).await
}

async fn kill_redis(fleet: &mut Fleet, plan: Plan) -> Result<Seen> {
    let scheduler = Arc::new(fleet.scheduler().await?);
    let _standby = fleet.scheduler().await?;
    let _workers = [fleet.worker(50).await?, fleet.worker(50).await?];
    let maker = Maker::start(Arc::clone(&scheduler));
    let mut slowest = Duration::ZERO;
    for _ in 0..plan.kills {
        tokio::time::sleep(random_between(plan.pause.clone())).await;
        fleet.redis.kill()?;
        tokio::time::sleep(random_between(plan.away.clone())).await;
        fleet.redis.restart().await?;
        let back = Instant::now();
        let acknowledged = maker.acknowledged().len();
        eventually_within(BACK, "the API to work again", async || {
            Ok((maker.acknowledged().len() > acknowledged).then_some(()))
        })
        .await?;
        slowest = slowest.max(back.elapsed());
    }
    let (acknowledged, refused) = maker.stop().await?;
    let store = fleet.store().await?;
    all_there(&store, &acknowledged).await?;
    let limits = acknowledged.iter().map(|(id, made)| (*id, made.limit)).collect();
    each_fired_its_limit(&store, &limits, Duration::from_mins(2)).await?;
    let counted = counted(&store, &fleet.drill, &limits).await?;
    Ok(Seen { kills: plan.kills, acknowledged: acknowledged.len(), refused, counted, slowest })
}

async fn all_there(store: &RedisStore, acknowledged: &BTreeMap<TaskId, Made>) -> Result<()> {
    for (id, made) in acknowledged {
        let task =
            store.task(*id).await?.with_context(|| format!("task {id} was acknowledged and is gone"))?;
        let kept = (task.title.as_str(), task.max_occurrences);
        ensure!(kept == (made.title.as_str(), Some(made.limit)), "{made:?} was made, {kept:?} is kept");
    }
    Ok(())
}

/// What createTask acknowledged.
#[derive(Clone, Debug)]
struct Made {
    title: String,
    limit: u64,
}

/// Makes tasks over the API all the while.
struct Maker {
    made: Arc<Mutex<BTreeMap<TaskId, Made>>>,
    stop: CancellationToken,
    making: tokio::task::JoinHandle<Result<u64>>,
}

impl Maker {
    fn start(server: Arc<Server>) -> Maker {
        let made: Arc<Mutex<BTreeMap<TaskId, Made>>> = Arc::default();
        let stop = CancellationToken::new();
        let making = tokio::spawn(make(server, Arc::clone(&made), stop.clone()));
        Maker { made, stop, making }
    }

    fn acknowledged(&self) -> BTreeMap<TaskId, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Gives what was acknowledged, and how many tasks were refused.
    async fn stop(self) -> Result<(BTreeMap<TaskId, Made>, u64)> {
        self.stop.cancel();
        let refused = self.making.await??;
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok((made, refused))
    }
}

/// Every answer must be a task or an error in ArcGIS's shape; no answer at all is an error here.
async fn make(
    server: Arc<Server>,
    made: Arc<Mutex<BTreeMap<TaskId, Made>>>,
    stop: CancellationToken,
) -> Result<u64> {
    let mut refused = 0;
    for n in 0_u64.. {
        if stop.is_cancelled() {
            break;
        }
        let task = Made { title: format!("made {n}"), limit: 1 + n % MOST };
        let limit = task.limit.to_string();
        let mut form = crate::fleet::minutely(&task.title);
        form.extend([("maxOccurrences", limit.as_str()), MAKE_UP]);
        let answer = server.post(&format!("{TASKS}/createTask"), &form).await?;
        if let Some(id) = answer["taskId"].as_str() {
            made.lock().unwrap_or_else(PoisonError::into_inner).insert(id.parse()?, task);
        } else {
            let shape = answer["error"]["code"].is_u64() && answer["error"]["message"].is_string();
            ensure!(shape, "createTask answered {answer}");
            refused += 1;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(refused)
}
