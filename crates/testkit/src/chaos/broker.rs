//! RabbitMQ is stopped, loses its queue, closes channels and runs short of memory: nothing is lost, consumers
//! come back, and the API answers all the while.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use isochrone_domain::TaskId;
use reqwest::StatusCode;
use tokio_util::sync::CancellationToken;

use super::{agree, all_ended, create, disable_all, on_fleet, random_between, seconds};
use crate::fleet::{Fleet, Script, TASKS, never};
use crate::servers::free_port;
use crate::{Server, eventually_within};

/// Where the tasks' runs wait.
const QUEUE: &str = "isochrone.runs.ExecuteReport";

/// After the broker is well again, runs begin again within this time.
const BACK: Duration = Duration::from_secs(35);

/// How hard: how often each thing happens.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The broker is stopped and started again.
    pub stops: u32,
    /// The longest time that it is stopped; the shortest is 5 s.
    pub longest_stop: Duration,
    /// Its queue is deleted.
    pub deletions: u32,
    /// It closes every connection with an error.
    pub closings: u32,
    /// It has no memory left.
    pub alarms: u32,
}

impl Plan {
    /// For every day.
    pub const SMOKE: Plan =
        Plan { stops: 1, longest_stop: Duration::from_secs(5), deletions: 1, closings: 2, alarms: 1 };
    /// As much as is promised.
    pub const FULL: Plan =
        Plan { stops: 20, longest_stop: Duration::from_mins(1), deletions: 30, closings: 30, alarms: 5 };
}

const SHORTEST_STOP: Duration = Duration::from_secs(5);
const TASKS_MADE: u32 = 20;
/// A minute takes two seconds.
const SPEED: u32 = 30;
/// With as many fetched ahead fewer than the tasks: for a moment of each minute runs wait in the queue.
const SLOTS: u32 = 5;
const HOLD_MS: u64 = 200;
/// Of the worker that ends what is left.
const MANY_SLOTS: u32 = 200;

/// What was seen.
#[derive(Debug)]
pub struct Seen {
    plan: Plan,
    runs: usize,
    /// Runs that were in a queue when it was deleted.
    deleted: u64,
    slowest_return: Duration,
    answers: Answers,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Seen { plan, runs, deleted, slowest_return, answers } = self;
        write!(
            f,
            "broker stopped {}, queue deleted {} (with {deleted} runs in it), connections closed {}, memory alarm \
             {} times; {runs} runs, 0 lost, each executed once; runs began again after {} at the latest; {} API \
             answers, 0 failed, the slowest after {}",
            plan.stops,
            plan.deletions,
            plan.closings,
            plan.alarms,
            seconds(*slowest_return),
            answers.count,
            seconds(answers.slowest)
        )
    }
}

/// One thing that happens to the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Stop,
    Delete,
    Close,
    Alarm,
}

/// Does all of it, the kinds in turn.
pub async fn run(binary: &Path, plan: Plan) -> Result<Seen> {
    on_fleet(binary, SPEED, async |fleet| spoil(fleet, plan).await).await
}

async fn spoil(fleet: &mut Fleet, plan: Plan) -> Result<Seen> {
    let scheduler = Arc::new(fleet.scheduler().await?);
    let admin = SocketAddr::from(([127, 0, 0, 1], free_port()?));
    fleet.env("ISOCHRONE__ADMIN__LISTEN", admin);
    fleet.drill.script(|_| Script { hold_ms: HOLD_MS, succeed: true });
    let _worker = fleet.worker(SLOTS).await?;
    fleet.env("ISOCHRONE__ADMIN__LISTEN", "127.0.0.1:0");
    let tasks = create(&scheduler, TASKS_MADE, &[]).await?;
    let changed = scheduler.create_task(&never("changed all the while")).await?.parse()?;
    begins_again(fleet).await?;
    let asking = Asking::start(Arc::clone(&scheduler), changed);
    let mut left = [
        (Fault::Close, plan.closings),
        (Fault::Delete, plan.deletions),
        (Fault::Alarm, plan.alarms),
        (Fault::Stop, plan.stops),
    ];
    let (mut deleted, mut slowest_return) = (0, Duration::ZERO);
    while left.iter().any(|(_, times)| *times > 0) {
        for (fault, times) in left.iter_mut().filter(|(_, times)| *times > 0) {
            *times -= 1;
            deleted += happen(fleet, *fault, plan, admin).await.with_context(|| format!("{fault:?}"))?;
            let well = Instant::now();
            begins_again(fleet).await.with_context(|| format!("after {fault:?}"))?;
            slowest_return = slowest_return.max(well.elapsed());
            readiness(admin, StatusCode::OK).await.with_context(|| format!("after {fault:?}"))?;
        }
    }
    let answers = asking.stop().await?;
    disable_all(&scheduler, &tasks).await?;
    // What waits by now is more than one small worker does in time.
    let _another = fleet.worker(MANY_SLOTS).await?;
    // Of a deleted queue the runs are missed after 30 s.
    let store = fleet.store().await?;
    let ledger = all_ended(&store, 1, Duration::from_mins(2)).await?;
    let agreed = agree(&ledger, &fleet.drill, tasks.len())?;
    ensure!(agreed.attempts == agreed.fires, "{} attempts for {} runs", agreed.attempts, agreed.fires);
    ensure!(agreed.succeeded == agreed.fires, "{} of {} runs succeeded", agreed.succeeded, agreed.fires);
    Ok(Seen { plan, runs: agreed.fires, deleted, slowest_return, answers })
}

/// Does it; gives how many runs were deleted from the queue.
async fn happen(fleet: &mut Fleet, fault: Fault, plan: Plan, admin: SocketAddr) -> Result<u64> {
    match fault {
        Fault::Stop => {
            // A node that is killed forgets a queue that it declared a moment ago.
            fleet.rabbit.sync().await?;
            fleet.rabbit.stop().await?;
            readiness(admin, StatusCode::SERVICE_UNAVAILABLE).await?;
            tokio::time::sleep(random_between(SHORTEST_STOP..=plan.longest_stop)).await;
            fleet.rabbit.restart().await?;
        }
        Fault::Delete => return delete_in_use(fleet).await,
        Fault::Close => fleet.rabbit.close_all_connections().await?,
        Fault::Alarm => {
            fleet.rabbit.raise_memory_alarm().await?;
            // Long enough that publishes are given up.
            tokio::time::sleep(random_between(Duration::from_secs(1)..=Duration::from_secs(15))).await;
            fleet.rabbit.clear_memory_alarm().await?;
        }
    }
    Ok(0)
}

/// Deletes the queue while runs wait in it.
async fn delete_in_use(fleet: &Fleet) -> Result<u64> {
    eventually_within(BACK, "a queue with runs in it to be deleted", async || {
        if fleet.rabbit.queue_depth(QUEUE).await?.unwrap_or(0) == 0 {
            return Ok(None);
        }
        // A worker may have been faster.
        Ok(Some(fleet.rabbit.delete_queue(QUEUE).await?).filter(|deleted| *deleted > 0))
    })
    .await
}

/// Waits until more attempts have begun than the worker can have had the runs for.
async fn begins_again(fleet: &Fleet) -> Result<()> {
    let held = 2 * SLOTS as usize;
    let before = fleet.drill.count();
    eventually_within(BACK, "runs to begin again", async || {
        Ok((fleet.drill.count() > before + held).then_some(()))
    })
    .await
}

/// Waits until the worker answers the probe so.
async fn readiness(admin: SocketAddr, expected: StatusCode) -> Result<()> {
    eventually_within(BACK, &format!("the worker's /readyz to answer {expected}"), async || {
        let answer = reqwest::get(format!("http://{admin}/readyz")).await?;
        Ok((answer.status() == expected).then_some(()))
    })
    .await
}

/// How the API answered.
#[derive(Clone, Copy, Debug, Default)]
struct Answers {
    count: u64,
    slowest: Duration,
}

/// Reads from the API, and writes, all the while.
struct Asking {
    answers: Arc<Mutex<Answers>>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<Result<()>>,
}

impl Asking {
    fn start(server: Arc<Server>, changed: TaskId) -> Asking {
        let (answers, stop) = (Arc::<Mutex<Answers>>::default(), CancellationToken::new());
        let task = tokio::spawn(ask(server, changed, Arc::clone(&answers), stop.clone()));
        Asking { answers, stop, task }
    }

    /// An answer that was none is an error.
    async fn stop(self) -> Result<Answers> {
        self.stop.cancel();
        self.task.await??;
        let answers = *self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        ensure!(answers.count > 0, "the API was never asked");
        Ok(answers)
    }
}

async fn ask(
    server: Arc<Server>,
    changed: TaskId,
    answers: Arc<Mutex<Answers>>,
    stop: CancellationToken,
) -> Result<()> {
    for n in 0_u64.. {
        if stop.is_cancelled() {
            break;
        }
        let asked = Instant::now();
        if n % 2 == 0 {
            let answer = server.get(TASKS, &[("num", "5")]).await?;
            ensure!(answer["tasks"].is_array(), "the API answered {answer}");
        } else {
            let title = format!("changed {n} times");
            let answer = server.post(&format!("{TASKS}/{changed}/update"), &never(&title)).await?;
            ensure!(answer["success"] == true, "update answered {answer}");
        }
        {
            let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
            answers.count += 1;
            answers.slowest = answers.slowest.max(asked.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}
