//! How long the fleet's store takes for a busy minute, on a server that syncs every write:
//! `cargo bench -p isochrone-store --bench redis`.

#![allow(clippy::unwrap_used)] // A measurement that fails has nothing to tell.

mod work;

use std::sync::Arc;
use std::time::{Duration, Instant};

use isochrone_domain::{EpochMillis, Held, RunId};
use isochrone_store::redis::{Options, RedisStore};
use isochrone_store::{Clock, Store};
use isochrone_testkit::RedisServer;
use tokio::task::JoinSet;
use work::{FENCE, claim, finish, insert, plan, report, timed};

const TASKS: usize = 10_000;
/// Tasks that the scheduler fires in one go.
const GO: u64 = 200;
/// Runs that the workers claim or finish at the same time.
const AT_ONCE: usize = 200;
const ROUNDS: usize = 3;

#[tokio::main]
async fn main() {
    let server = RedisServer::start().await.unwrap();
    let mut rates: [Vec<f64>; 4] = Default::default();
    let (mut own, mut redis) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        server.flush().await.unwrap();
        let store: Arc<dyn Store> =
            Arc::new(RedisStore::open(&server.url(), Options::default()).await.unwrap());
        let inserted = timed(insert(&store, TASKS)).await;
        if round == 0 {
            println!("insert of {TASKS} tasks, each its own step: {inserted:?}");
            small(&store).await;
        }
        let start = Instant::now();
        let runs = fire_all(&store).await;
        rates[0].push(per_second(start.elapsed()));
        let start = Instant::now();
        for runs in runs.chunks(AT_ONCE) {
            claim(&store, runs).await;
        }
        rates[1].push(per_second(start.elapsed()));
        if round == 0 {
            renew(&store, &runs).await;
        }
        let start = Instant::now();
        for runs in runs.chunks(AT_ONCE) {
            finish(&store, runs).await;
        }
        rates[2].push(per_second(start.elapsed()));
        server.flush().await.unwrap();
        insert(&store, TASKS).await;
        let before = (own_cpu(), cpu_of(&server).await);
        rates[3].push(per_second(timed(whole_way(&store)).await));
        own.push((own_cpu() - before.0) * 1e6 / TASKS as f64);
        redis.push((cpu_of(&server).await - before.1) * 1e6 / TASKS as f64);
    }
    let [fired, claimed, finished, whole] = rates;
    rate(&format!("{TASKS} due at one minute: found, fired and marked as published, {GO} at a time"), fired);
    rate(&format!("claims, {AT_ONCE} at a time"), claimed);
    rate(&format!("finishes, {AT_ONCE} at a time"), finished);
    rate("the whole way, firing beside claims and finishes", whole);
    println!("processor for that: {:.0} us a run here, {:.0} us in Redis", median(own), median(redis));
}

/// Seconds of processor that this process has used.
fn own_cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    // User and system time, in hundredths of a second.
    fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<f64>().unwrap() / 100.0).sum()
}

/// And the server's.
async fn cpu_of(server: &RedisServer) -> f64 {
    let info = server.command("INFO cpu").await.unwrap();
    let seconds = |name: &str| -> f64 {
        info.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().parse().unwrap()
    };
    seconds("used_cpu_user:") + seconds("used_cpu_sys:")
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

fn per_second(took: Duration) -> f64 {
    TASKS as f64 / took.as_secs_f64()
}

fn rate(what: &str, mut rates: Vec<f64>) {
    rates.sort_unstable_by(f64::total_cmp);
    println!("{what}: median {:.0}/s, {:.0}-{:.0}", rates[rates.len() / 2], rates[0], rates[rates.len() - 1]);
}

/// What is asked for all the time.
async fn small(store: &Arc<dyn Store>) {
    let mut times: [Vec<Duration>; 2] = Default::default();
    for _ in 0..30 {
        times[0].push(timed(store.next_fire()).await);
        times[1].push(timed(store.due_tasks(Clock::SYSTEM.now(), GO)).await);
    }
    let [wake, due] = times;
    report(&format!("next_fire, {TASKS} tasks"), wake);
    report(&format!("due_tasks({GO}), {TASKS} due"), due);
}

async fn renew(store: &Arc<dyn Store>, runs: &[RunId]) {
    let held =
        |run: &RunId| Held { run: *run, fence: FENCE, started: EpochMillis(0), handle: None, progress: None };
    let held: Vec<Held> = runs[..100].iter().map(held).collect();
    let mut times = Vec::new();
    for _ in 0..30 {
        times.push(timed(store.renew("worker", &held, Duration::from_hours(1))).await);
    }
    report("renewal of 100 leases", times);
}

/// Fires what is due, go for go.
async fn fire_all(store: &Arc<dyn Store>) -> Vec<RunId> {
    let mut fired = Vec::with_capacity(TASKS);
    loop {
        let runs = fire_some(store).await;
        if runs.is_empty() {
            return fired;
        }
        fired.extend(runs);
    }
}

async fn fire_some(store: &Arc<dyn Store>) -> Vec<RunId> {
    let now = Clock::SYSTEM.now();
    let due = store.due_tasks(now, GO).await.unwrap();
    let commits: Vec<_> = due.into_iter().map(|due| plan(&due.task, due.unfinished, now)).collect();
    let runs = commits.iter().flat_map(|commit| &commit.runs).map(|run| run.id).collect();
    store.commit_fires(commits).await.unwrap();
    runs
}

async fn whole_way(store: &Arc<dyn Store>) {
    let mut workers = JoinSet::new();
    loop {
        let runs = fire_some(store).await;
        if runs.is_empty() {
            break;
        }
        let store = Arc::clone(store);
        workers.spawn(async move {
            claim(&store, &runs).await;
            finish(&store, &runs).await;
        });
    }
    workers.join_all().await;
}
