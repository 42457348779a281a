//! Decides what is due and keeps it: ledger rows, counts, runs and next fires, in one commit a batch.

use futures::stream::{Stream, StreamExt, TryStreamExt, try_unfold};
use isochrone_domain::{
    Decision, EpochMillis, FirePlan, PlannedFire, Reason, RunId, Task, TaskType, plan_fires,
    plan_fires_before,
};
use isochrone_store::{DueTask, FireCommit, Saved, Store, StoreError};
use isochrone_telemetry::Metrics;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, error_span, info, warn};

use crate::Event;
use crate::duties::Due;

/// Tasks that are committed together.
const TASKS: usize = 100;
/// Batches before the scheduler looks at everything else: a long backlog holds up nothing.
const BATCHES: usize = 150;
/// Batches that the store has at once: while it does the first, the next are made ready.
const BATCHES_AT_ONCE: usize = 3;
/// Fires of one task in one commit where it is alone; the rest of a long backlog is for the next one.
const FIRES_OF_A_TASK: usize = 500;
/// Fires of one task in one commit where many are due.
const FIRES_AMONG_MANY: usize = 10;
/// Fires in one commit, about: a task is not begun beyond them.
const FIRES: usize = 2_000;

/// What came of a batch of due tasks.
#[derive(Debug)]
pub(crate) struct Fired {
    /// What is kept: a plan a task.
    kept: Vec<FirePlan>,
    /// When it was decided.
    decided: EpochMillis,
}

/// Fires what is due, batch by batch, in order, until `stop`: what was begun then is ended. A task that
/// somebody else wrote meanwhile is left as it is; it is read again later.
pub(crate) fn fire_due(
    store: &dyn Store,
    stop: &CancellationToken,
) -> impl Stream<Item = Result<Fired, StoreError>> {
    let batches = try_unfold(Due::default(), move |mut due| async move {
        let batch = due.take(store, TASKS).await?;
        Ok(batch.map(|batch| (batch, due)))
    });
    let batches = batches.take(BATCHES).take_until(stop.cancelled());
    batches.map_ok(move |(batch, now)| fire_all(store, batch, now)).try_buffered(BATCHES_AT_ONCE)
}

/// Decides what of one task is due at `now`. False: nothing is, or somebody else was first.
///
/// It is about to become `changed`, or to be deleted: what is left out then is skipped.
pub(crate) async fn fire_task(
    store: &dyn Store,
    task: Task,
    changed: Option<&Task>,
    now: EpochMillis,
    metrics: &Metrics,
) -> Result<bool, StoreError> {
    let unfinished = store.unfinished(task.id).await?;
    let plans = plan(vec![DueTask { task, unfinished }], Occasion::Before(changed), now);
    let fired = keep(store, plans, now).await?;
    fired.tell(metrics);
    Ok(fired.any())
}

async fn fire_all(store: &dyn Store, due: Vec<DueTask>, now: EpochMillis) -> Result<Fired, StoreError> {
    keep(store, plan(due, Occasion::Due, now), now).await
}

async fn keep(store: &dyn Store, plans: Vec<FirePlan>, now: EpochMillis) -> Result<Fired, StoreError> {
    let answers = store.commit_fires(plans.iter().map(|plan| commit(plan, now)).collect()).await?;
    let mut fired = Fired { kept: Vec::new(), decided: now };
    for (plan, answer) in plans.into_iter().zip(answers) {
        match answer {
            Saved::Done => fired.kept.push(plan),
            Saved::Stale | Saved::Repeated => {
                debug!(task_id = %plan.task.id, ?answer, "somebody else was first with this task's fires");
            }
        }
    }
    Ok(fired)
}

/// Why fires are decided.
#[derive(Clone, Copy)]
enum Occasion<'a> {
    /// Their moment has come.
    Due,
    /// Their task is about to become this; none: to be deleted.
    Before(Option<&'a Task>),
}

fn plan(due: Vec<DueTask>, occasion: Occasion<'_>, now: EpochMillis) -> Vec<FirePlan> {
    let mut room = FIRES;
    // A share for each, so that those with a backlog leave room for those without.
    let share = (FIRES / due.len().max(1)).clamp(FIRES_AMONG_MANY, FIRES_OF_A_TASK);
    let mut plans = Vec::with_capacity(due.len());
    for DueTask { task, unfinished } in due {
        if room == 0 {
            break;
        }
        let Ok(schedule) = task.cron.compile(false) else {
            error!(task_id = %task.id, "a stored schedule can't be read; the task does not fire");
            continue;
        };
        let limit = share.min(room);
        let plan = match occasion {
            Occasion::Before(changed) => {
                plan_fires_before(&task, &schedule, unfinished, (changed, now), limit)
            }
            Occasion::Due => plan_fires(&task, &schedule, unfinished, now, limit),
        };
        // A disabled task without an undecided fire leaves the due index by its plan.
        if plan.fires.is_empty() && plan.task.next_fire == task.next_fire {
            warn!(task_id = %task.id, "the due index names a task that plans no fire");
            continue;
        }
        room -= plan.fires.len();
        plans.push(plan);
    }
    plans
}

fn commit(plan: &FirePlan, now: EpochMillis) -> FireCommit {
    FireCommit { task: plan.task.clone(), fires: plan.fires.clone(), runs: plan.runs(now) }
}

impl Fired {
    /// Whether anything is kept.
    pub(crate) fn any(&self) -> bool {
        !self.kept.is_empty()
    }

    /// Runs that a worker may take at once.
    pub(crate) fn runs(&self) -> impl Iterator<Item = (TaskType, RunId)> {
        self.fires()
            .filter(|(_, fire)| fire.decision == Decision::Run)
            .map(|(plan, fire)| (plan.task.kind, fire.id.run()))
    }

    /// When it was decided: its runs are due since then.
    pub(crate) fn decided(&self) -> EpochMillis {
        self.decided
    }

    /// What to tell watchers.
    pub(crate) fn events(&self) -> impl Iterator<Item = Event> {
        self.fires().map(|(plan, fire)| Event::Fired {
            task: plan.task.id,
            run: fire.id.run(),
            planned: fire.planned,
            decision: fire.decision,
            reason: fire.reason,
        })
    }

    /// One line a fire, and its count. It takes a while where there are many: work that waits comes first.
    pub(crate) fn tell(&self, metrics: &Metrics) {
        for (plan, fire) in self.fires() {
            let late_ms = self.decided.since(fire.planned);
            metrics.fire_decided(plan.task.kind, fire.decision, fire.reason, late_ms);
            tell(plan, fire, late_ms);
        }
    }

    fn fires(&self) -> impl Iterator<Item = (&FirePlan, &PlannedFire)> {
        self.kept.iter().flat_map(|plan| plan.fires.iter().map(move |fire| (plan, fire)))
    }
}

fn tell(plan: &FirePlan, fire: &PlannedFire, late_ms: i64) {
    let (run, planned, reason) = (fire.id.run(), fire.planned, fire.reason);
    // An error's level: no filter that shows the line leaves out what it is about.
    let span = error_span!("fire", task_id = %plan.task.id, run_id = %run, fire_id = %fire.id,
        kind = %plan.task.kind, %planned, late_ms, %reason);
    span.in_scope(|| match reason {
        Reason::SkippedMisfire | Reason::Late | Reason::CaughtUp => warn!("misfired"),
        _ => info!("fired"),
    });
}
