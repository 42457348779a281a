//! RabbitMQ is stopped, loses its queue, closes channels and runs short of memory: nothing is lost, consumers
//! come back, and the API answers all the while.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio_util::sync::CancellationToken;

use super::{agree, all_ended, create, disable_all, on_fleet, random_between, seconds};
use crate::fleet::{Fleet, TASKS};
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

/// What was seen.
#[derive(Debug)]
pub struct Seen {
    plan: Plan,
    runs: usize,
    slowest_return: Duration,
    answers: Answers,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Seen { plan, runs, slowest_return, answers } = self;
        write!(
            f,
            "broker stopped {}, queue deleted {}, connections closed {}, memory alarm {} times; {runs} runs, 0 \
             lost, each executed once; runs began again after {} at the latest; {} API answers, 0 failed, the \
             slowest after {}",
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
    let _worker = fleet.worker(50).await?;
    let tasks = create(&scheduler, TASKS_MADE, &[]).await?;
    begins_again(fleet).await?;
    let asking = Asking::start(Arc::clone(&scheduler));
    let mut left = [
        (Fault::Close, plan.closings),
        (Fault::Delete, plan.deletions),
        (Fault::Alarm, plan.alarms),
        (Fault::Stop, plan.stops),
    ];
    let mut slowest_return = Duration::ZERO;
    while left.iter().any(|(_, times)| *times > 0) {
        for (fault, times) in left.iter_mut().filter(|(_, times)| *times > 0) {
            *times -= 1;
            happen(fleet, *fault, plan, admin).await.with_context(|| format!("{fault:?}"))?;
            let well = Instant::now();
            begins_again(fleet).await.with_context(|| format!("after {fault:?}"))?;
            slowest_return = slowest_return.max(well.elapsed());
        }
    }
    readiness(admin, true).await?;
    let answers = asking.stop().await?;
    disable_all(&scheduler, &tasks).await?;
    // Of a deleted queue the runs are missed after 30 s.
    let store = fleet.store().await?;
    let ledger = all_ended(&store, 1, Duration::from_mins(2)).await?;
    let agreed = agree(&ledger, &fleet.drill, tasks.len())?;
    ensure!(agreed.attempts == agreed.fires, "{} attempts for {} runs", agreed.attempts, agreed.fires);
    Ok(Seen { plan, runs: agreed.fires, slowest_return, answers })
}

async fn happen(fleet: &mut Fleet, fault: Fault, plan: Plan, admin: SocketAddr) -> Result<()> {
    match fault {
        Fault::Stop => {
            // A node that is killed forgets a queue that it declared a moment ago.
            fleet.rabbit.sync().await?;
            fleet.rabbit.stop().await?;
            readiness(admin, false).await?;
            tokio::time::sleep(random_between(SHORTEST_STOP..=plan.longest_stop)).await;
            fleet.rabbit.restart().await
        }
        Fault::Delete => fleet.rabbit.delete_queue(QUEUE).await,
        Fault::Close => fleet.rabbit.close_all_connections().await,
        Fault::Alarm => {
            fleet.rabbit.raise_memory_alarm().await?;
            // Long enough that publishes are given up.
            tokio::time::sleep(random_between(Duration::from_secs(1)..=Duration::from_secs(15))).await;
            fleet.rabbit.clear_memory_alarm().await
        }
    }
}

/// Waits until another attempt has begun.
async fn begins_again(fleet: &Fleet) -> Result<()> {
    let before = fleet.drill.count();
    eventually_within(BACK, "runs to begin again", async || Ok((fleet.drill.count() > before).then_some(())))
        .await
}

/// Waits until the worker is ready, or is not.
async fn readiness(admin: SocketAddr, expected: bool) -> Result<()> {
    let what = if expected { "the worker to be ready" } else { "the worker to say that it is not ready" };
    eventually_within(BACK, what, async || {
        let answer = reqwest::get(format!("http://{admin}/readyz")).await?;
        Ok((answer.status().is_success() == expected).then_some(()))
    })
    .await
}

/// How the API answered.
#[derive(Clone, Copy, Debug, Default)]
struct Answers {
    count: u64,
    slowest: Duration,
}

/// Asks the API all the while.
struct Asking {
    answers: Arc<Mutex<Answers>>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<Result<()>>,
}

impl Asking {
    fn start(server: Arc<Server>) -> Asking {
        let (answers, stop) = (Arc::<Mutex<Answers>>::default(), CancellationToken::new());
        let task = tokio::spawn(ask(server, Arc::clone(&answers), stop.clone()));
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

async fn ask(server: Arc<Server>, answers: Arc<Mutex<Answers>>, stop: CancellationToken) -> Result<()> {
    while !stop.is_cancelled() {
        let asked = Instant::now();
        let answer = server.get(TASKS, &[("num", "5")]).await?;
        ensure!(answer["tasks"].is_array(), "the API answered {answer}");
        {
            let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
            answers.count += 1;
            answers.slowest = answers.slowest.max(asked.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}
