//! SIGKILL of Redis while tasks fire and are made: what was acknowledged is there, and counts are exact.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use isochrone_domain::TaskId;
use isochrone_store::redis::RedisStore;
use isochrone_store::{Page, TaskFilter, TaskStore};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::limits::{Counted, counted, each_fired_its_limit};
use super::{MAKE_UP, on_fleet, random_between, seconds};
use crate::fleet::{Fleet, TASKS, minutely};
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
            "Redis killed {kills} times; {acknowledged} tasks acknowledged and there as sent, {refused} calls refused in \
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
    all_there(&scheduler, &acknowledged).await?;
    let limits = limits(&store, &acknowledged).await?;
    each_fired_its_limit(&store, &limits, Duration::from_mins(2)).await?;
    let counted = counted(&store, &fleet.drill, &limits).await?;
    Ok(Seen { kills: plan.kills, acknowledged: acknowledged.len(), refused, counted, slowest })
}

/// The API has each task as it was acknowledged.
async fn all_there(server: &Server, acknowledged: &BTreeMap<TaskId, Made>) -> Result<()> {
    for (id, made) in acknowledged {
        let kept = server.get(&format!("{TASKS}/{id}"), &[]).await?;
        let title = kept["title"].as_str().with_context(|| format!("task {id} is gone: {kept}"))?;
        ensure!(made.titles.iter().any(|sent| sent == title), "{made:?} was sent, {kept} is kept");
        ensure!(kept["maxOccurrences"] == made.limit, "{made:?} was made, {kept} is kept");
        for (name, sent) in minutely("") {
            let kept = match name {
                "title" => continue,
                "parameters" => {
                    ensure!(
                        kept[name] == serde_json::from_str::<Value>(sent)?,
                        "{sent} was sent, {kept} is kept"
                    );
                    continue;
                }
                "minute" | "hour" | "dayOfMonth" | "month" | "dayOfWeek" => &kept["cronSchedule"][name],
                _ => &kept[name],
            };
            ensure!(kept == sent, "task {id}: {name} was sent as {sent}, {kept} is kept");
        }
    }
    Ok(())
}

/// How often each task may run: those that were acknowledged, and those that were kept although the answer
/// was an error, because Redis died between the two.
async fn limits(store: &RedisStore, acknowledged: &BTreeMap<TaskId, Made>) -> Result<BTreeMap<TaskId, u64>> {
    let all = Page { offset: 0, limit: u64::MAX };
    let tasks = store.tasks(&TaskFilter::default(), all).await?.rows.into_iter();
    let limits: BTreeMap<_, _> =
        tasks.map(|task| (task.id, task.max_occurrences.unwrap_or(u64::MAX))).collect();
    ensure!(acknowledged.keys().all(|id| limits.contains_key(id)), "a task is not listed");
    Ok(limits)
}

/// What createTask acknowledged.
#[derive(Clone, Debug)]
struct Made {
    /// The one that was acknowledged last, and those that were sent after it.
    titles: Vec<String>,
    limit: u64,
}

/// Makes tasks over the API all the while, and gives each another title.
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

    /// Gives what was acknowledged, and how many calls were refused.
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
        let (title, limit) = (format!("made {n}"), 1 + n % MOST);
        let limit_sent = limit.to_string();
        let mut form = minutely(&title);
        form.extend([("maxOccurrences", limit_sent.as_str()), MAKE_UP]);
        let answer = server.post(&format!("{TASKS}/createTask"), &form).await?;
        if let Some(id) = acknowledged(&answer)? {
            let task = Made { titles: vec![title.clone()], limit };
            made.lock().unwrap_or_else(PoisonError::into_inner).insert(id, task);
            refused += u64::from(!rename(&server, id, &form, &made).await?);
        } else {
            refused += 1;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(refused)
}

/// Gives a task another title; answers whether that was acknowledged.
async fn rename(
    server: &Server,
    id: TaskId,
    form: &[(&str, &str)],
    made: &Mutex<BTreeMap<TaskId, Made>>,
) -> Result<bool> {
    let title = format!("{id} renamed");
    let sent = |acknowledged: bool| {
        let mut made = made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = made.get_mut(&id) {
            if acknowledged {
                task.titles.clear();
            }
            task.titles.push(title.clone());
        }
    };
    // Without an answer it may be either.
    sent(false);
    let form: Vec<_> =
        form.iter().map(|(name, value)| (*name, if *name == "title" { &*title } else { *value })).collect();
    let answer = server.post(&format!("{TASKS}/{id}/update"), &form).await?;
    let renamed = acknowledged(&answer)?.is_some();
    if renamed {
        sent(true);
    }
    Ok(renamed)
}

/// The task that the answer acknowledges; none: it is an error in ArcGIS's shape.
fn acknowledged(answer: &Value) -> Result<Option<TaskId>> {
    if let Some(id) = answer["taskId"].as_str() {
        return Ok(Some(id.parse()?));
    }
    let shape = answer["error"]["code"].is_u64() && answer["error"]["message"].is_string();
    ensure!(shape, "the API answered {answer}");
    Ok(None)
}
