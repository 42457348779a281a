//! How long the embedded store takes for what a busy minute asks of it: `cargo bench -p isochrone-store`.

#![allow(clippy::unwrap_used)] // A measurement that fails has nothing to tell.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use isochrone_domain::{
    Action, AuditEntry, CronFields, EpochMillis, Limits, OverlapPolicy, Policies, RunId, Submission, Task,
    TaskId, TaskType, accept, plan_fires,
};
use isochrone_store::sqlite::SqliteStore;
use isochrone_store::{Claim, Clock, FireCommit, RunStore, TaskStore};
use tokio::task::JoinSet;

const TASKS: usize = 10_000;
const DUE: usize = 100;
const ROUNDS: usize = 30;

#[tokio::main]
async fn main() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteStore::open(dir.path(), Clock::SYSTEM).unwrap());

    let commits = store.commits();
    let inserted = timed(insert(&store)).await;
    let commits = store.commits() - commits;
    println!("insert of {TASKS} tasks, each its own step: {inserted:?} in {commits} commits");
    drop(store);

    let mut openings = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        drop(SqliteStore::open(dir.path(), Clock::SYSTEM).unwrap());
        openings.push(start.elapsed());
    }
    report("open and close", openings);
    let store = Arc::new(SqliteStore::open(dir.path(), Clock::SYSTEM).unwrap());

    let mut times: [Vec<Duration>; 7] = Default::default();
    for _ in 0..ROUNDS {
        let now = Clock::SYSTEM.now();
        times[0].push(timed(async { store.next_wake().await.unwrap() }).await);
        let start = Instant::now();
        let due = store.due_tasks(now, DUE as u64).await.unwrap();
        times[1].push(start.elapsed());
        assert_eq!(due.len(), DUE);
        let commits: Vec<_> = due.into_iter().map(|due| plan(&due.task, due.unfinished, now)).collect();
        let runs: Vec<_> = commits.iter().flat_map(|commit| commit.runs.iter().map(|run| run.id)).collect();
        times[2].push(timed(async { store.commit_fires(commits).await.unwrap() }).await);
        let start = Instant::now();
        let outbox = store.unpublished(EpochMillis::MAX, DUE as u64).await.unwrap();
        times[3].push(start.elapsed());
        times[4].push(timed(async { store.mark_published(&outbox).await.unwrap() }).await);
        times[5].push(timed(claim(&store, &runs)).await);
        times[6].push(timed(finish(&store, &runs)).await);
    }
    let [wake, due, fired, outbox, marked, claimed, finished] = times;
    report(&format!("next_wake, {TASKS} tasks"), wake);
    report(&format!("due_tasks({DUE}), {TASKS} tasks"), due);
    report(&format!("commit_fires of {DUE} tasks in one call"), fired);
    report(&format!("unpublished({DUE})"), outbox);
    report(&format!("mark_published({DUE})"), marked);
    report(&format!("{DUE} concurrent claims, all of them"), claimed);
    report(&format!("{DUE} concurrent finishes, all of them"), finished);
}

async fn timed<T>(work: impl Future<Output = T>) -> Duration {
    let start = Instant::now();
    work.await;
    start.elapsed()
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    println!("{what}: median {:?}, worst {:?}", times[times.len() / 2], times[times.len() - 1]);
}

async fn insert(store: &Arc<SqliteStore>) {
    let mut writers = JoinSet::new();
    let created = Clock::SYSTEM.now() - Duration::from_hours(1);
    for _ in 0..TASKS {
        let store = Arc::clone(store);
        writers.spawn(async move {
            let task = new_task(created);
            let _saved = store.insert_task(&task, entry(&task)).await.unwrap();
        });
    }
    writers.join_all().await;
}

async fn claim(store: &Arc<SqliteStore>, runs: &[RunId]) {
    let mut workers = JoinSet::new();
    for run in runs.iter().copied() {
        let store = Arc::clone(store);
        workers.spawn(async move {
            let claim = store.claim(run, "worker", Duration::from_hours(1)).await.unwrap();
            assert!(matches!(claim, Claim::Granted(_)), "{claim:?}");
        });
    }
    workers.join_all().await;
}

async fn finish(store: &Arc<SqliteStore>, runs: &[RunId]) {
    let mut workers = JoinSet::new();
    for run in runs.iter().copied() {
        let store = Arc::clone(store);
        workers.spawn(async move {
            let end = isochrone_domain::AttemptEnd::Succeeded { result: "done".to_owned() };
            let _kept = store.finish(run, 1, end, Vec::new()).await.unwrap();
        });
    }
    workers.join_all().await;
}

/// What the scheduler makes of a due task.
fn plan(task: &Task, unfinished: u64, now: EpochMillis) -> FireCommit {
    let mut plan = plan_fires(task, &task.schedule(), unfinished, now, 1);
    // The next round takes other tasks.
    plan.task.next_fire = Some(EpochMillis::MAX);
    FireCommit { runs: plan.runs(Clock::SYSTEM.now()), fires: plan.fires, task: plan.task }
}

fn new_task(created: EpochMillis) -> Task {
    let star = || "*".to_owned();
    let submission = Submission {
        title: "Activity of the last day".to_owned(),
        kind: TaskType::ExecuteReport,
        item_id: None,
        task_url: None,
        parameters: Some(r#"{"type":"activity","timeRange":"day"}"#.to_owned()),
        cron: CronFields {
            minute: star(),
            hour: star(),
            day_of_month: star(),
            month: star(),
            day_of_week: "?".to_owned(),
        },
        start: None,
        end: None,
        max_occurrences: None,
        policies: Policies { overlap: OverlapPolicy::Allow, ..Policies::default() },
    };
    let mut task = accept(submission, TaskId::random(), "ann", created, &Limits::default()).unwrap();
    // One minute is due.
    task.next_fire = Some(EpochMillis(Clock::SYSTEM.now().0.div_euclid(60_000) * 60_000));
    task
}

fn entry(task: &Task) -> AuditEntry {
    AuditEntry {
        at: task.created,
        actor: "ann".to_owned(),
        ip: None,
        action: Action::CreateTask,
        task: Some(task.id),
        run: None,
        item: None,
        title: task.title.clone(),
        owner: "ann".to_owned(),
    }
}
