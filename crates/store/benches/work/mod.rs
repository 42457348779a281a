//! What the measurements have in common: a busy minute's tasks, and what is done with them.

#![allow(clippy::unwrap_used)] // A measurement that fails has nothing to tell.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use isochrone_domain::{
    Action, AttemptEnd, AuditEntry, Claimant, CronFields, EpochMillis, Fence, Limits, Nonce, OverlapPolicy,
    Policies, RunId, Submission, Task, TaskId, TaskType, accept, plan_fires,
};
use isochrone_store::{Claim, Clock, FireCommit, Store};
use tokio::task::JoinSet;

pub(crate) async fn timed<T>(work: impl Future<Output = T>) -> Duration {
    let start = Instant::now();
    work.await;
    start.elapsed()
}

pub(crate) fn report(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    println!("{what}: median {:?}, worst {:?}", times[times.len() / 2], times[times.len() - 1]);
}

pub(crate) async fn insert(store: &Arc<dyn Store>, tasks: usize) {
    let mut writers = JoinSet::new();
    let created = Clock::SYSTEM.now() - Duration::from_hours(1);
    for _ in 0..tasks {
        let store = Arc::clone(store);
        writers.spawn(async move {
            let task = new_task(created);
            let _saved = store.insert_task(&task, entry(&task)).await.unwrap();
        });
    }
    writers.join_all().await;
}

/// All runs' first attempts have the same.
const NONCE: Nonce = Nonce::NONE;
pub(crate) const FENCE: Fence = Fence { attempt: 1, nonce: NONCE };

pub(crate) async fn claim(store: &Arc<dyn Store>, runs: &[RunId]) {
    let mut workers = JoinSet::new();
    for run in runs.iter().copied() {
        let store = Arc::clone(store);
        workers.spawn(async move {
            let claim = store
                .claim(run, &Claimant { worker: "worker".to_owned(), nonce: NONCE }, Duration::from_hours(1))
                .await
                .unwrap();
            assert!(matches!(claim, Claim::Granted(_)), "{claim:?}");
        });
    }
    workers.join_all().await;
}

pub(crate) async fn finish(store: &Arc<dyn Store>, runs: &[RunId]) {
    let mut workers = JoinSet::new();
    for run in runs.iter().copied() {
        let store = Arc::clone(store);
        workers.spawn(async move {
            let end = AttemptEnd::Succeeded { result: "done".to_owned() };
            let _kept = store.finish(run, FENCE, end, Vec::new()).await.unwrap();
        });
    }
    workers.join_all().await;
}

/// What the scheduler makes of a due task.
pub(crate) fn plan(task: &Task, unfinished: u64, now: EpochMillis) -> FireCommit {
    // As if it were still the minute that is due: a slow machine skips none.
    let minute = task.next_fire.unwrap().min(now);
    let mut plan = plan_fires(task, &task.schedule(), unfinished, minute, 1);
    // The next round takes other tasks.
    plan.task.next_fire = Some(EpochMillis::MAX);
    FireCommit { runs: plan.runs(Clock::SYSTEM.now()), fires: plan.fires, task: plan.task }
}

pub(crate) fn new_task(created: EpochMillis) -> Task {
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

pub(crate) fn entry(task: &Task) -> AuditEntry {
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
