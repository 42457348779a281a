//! What update, enable and disable do to a task.

use crate::submission::check;
use crate::window::{check_units, check_window};
use crate::written_schedule::check_schedule;
use crate::{
    CronFields, EpochMillis, ItemId, Limits, PolicyChange, Problem, Task, TaskState, TaskType, first_fire,
};

/// What an update changes; what is absent stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// For people.
    pub title: Option<String>,
    /// What kind of work.
    pub kind: Option<TaskType>,
    /// The item that it works on.
    pub item_id: Option<ItemId>,
    /// A geoprocessing task's URL.
    pub task_url: Option<String>,
    /// A JSON object.
    pub parameters: Option<String>,
    /// Cron field by cron field.
    pub minute: Option<String>,
    /// 0-23, UTC.
    pub hour: Option<String>,
    /// 1-31 or `?`.
    pub day_of_month: Option<String>,
    /// 1-12.
    pub month: Option<String>,
    /// 1-7 (1 is Sunday) or `?`.
    pub day_of_week: Option<String>,
    /// No fire before this moment; `Some(None)`: from the beginning.
    pub start: Option<Option<EpochMillis>>,
    /// No fire after this moment; `Some(None)`: without an end.
    pub end: Option<Option<EpochMillis>>,
    /// How many runs the task may make; `Some(None)`: any number.
    pub max_occurrences: Option<Option<u64>>,
    /// Enable or disable.
    pub active: Option<bool>,
    /// The owner's choices, one by one: two changes of different ones keep both.
    pub policies: PolicyChange,
}

/// The task after a change. Another schedule, other dates or another limit start a new generation,
/// whose first fire is strictly after both now and the last minute that fired; occurrences stay counted.
/// Fires that are due at `now` must have been decided before: a change forgets them.
pub fn edit(task: &Task, change: Change, now: EpochMillis, limits: &Limits) -> Result<Task, Problem> {
    let old = task;
    let mut task = old.clone();
    let CronFields { minute, hour, day_of_month, month, day_of_week } = &mut task.cron;
    set(minute, change.minute);
    set(hour, change.hour);
    set(day_of_month, change.day_of_month);
    set(month, change.month);
    set(day_of_week, change.day_of_week);
    set(&mut task.title, change.title);
    set(&mut task.kind, change.kind);
    set(&mut task.max_occurrences, change.max_occurrences);
    task.policies = change.policies.applied_to(&old.policies);
    task.item_id = change.item_id.or(task.item_id);
    task.task_url = change.task_url.or(task.task_url);
    task.parameters = change.parameters.or(task.parameters);
    set(&mut task.start, change.start);
    set(&mut task.end, change.end);
    check(&task, limits)?;
    if task.cron != old.cron {
        check_schedule(&task.cron, limits.strict_cron)?;
    }
    if (&task.cron, task.start, task.end) != (&old.cron, old.start, old.end) {
        check_units(
            task.start.filter(|_| task.start != old.start),
            task.end.filter(|_| task.end != old.end),
        )?;
        // An end that is near ends the task, which somebody may want. Dates still to come must have a fire.
        if let Some(start) = task.start.filter(|start| *start > now) {
            check_window(&task, EpochMillis(start.0 - 1_000), now)?;
        }
    }
    task.updated = now;
    if (&task.cron, task.start, task.end, task.max_occurrences)
        != (&old.cron, old.start, old.end, old.max_occurrences)
    {
        task.generation = old.generation.next();
        plan_anew(&mut task, now);
    } else if is_ahead(&task, now, WAITED_FOR_MS) {
        plan_anew(&mut task, now);
    }
    Ok(match change.active {
        Some(true) => enable(&task, now),
        Some(false) => disable(&task, now),
        None => task,
    })
}

fn set<T>(slot: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *slot = value;
    }
}

/// The task, planning fires again from now on. What would have fired meanwhile was not planned.
/// Fires that are due at `now` must have been decided before.
pub fn enable(task: &Task, now: EpochMillis) -> Task {
    let mut task = task.clone();
    if task.state != TaskState::Active {
        task.state = TaskState::Active;
        task.consecutive_failures = 0;
        task.updated = now;
        plan_anew(&mut task, now);
    }
    task
}

/// The task, planning fires from now on, whatever ended that: somebody, too many failures, or that no fire was left. Its
/// failures are forgotten; its occurrences stay counted. Fires that are due at `now` must have been decided before.
///
/// # Errors
/// What of the task leaves it no fire, and so has to be changed first.
pub fn restart(task: &Task, now: EpochMillis) -> Result<Task, Problem> {
    let mut task = task.clone();
    task.state = TaskState::Active;
    task.consecutive_failures = 0;
    task.updated = now;
    plan_anew(&mut task, now);
    match (task.next_fire, task.max_occurrences, task.end) {
        (Some(_), ..) => Ok(task),
        (None, Some(most), _) if task.occurrences_left() == 0 => Err(Problem::new(
            "maxOccurrences",
            format!("is {most}, and so many runs were made; give a larger one"),
        )),
        (None, _, Some(end)) => {
            Err(Problem::new("endDate", format!("is {end}: the schedule plans no fire up to it any more")))
        }
        (None, _, None) => Err(Problem::new("cronSchedule", "plans no fire any more")),
    }
}

/// The task, planning no fires. Its runs go on.
pub fn disable(task: &Task, now: EpochMillis) -> Task {
    match task.state {
        TaskState::Active => stop_planning(task, TaskState::Paused, now),
        TaskState::Paused | TaskState::Disabled => Task { state: TaskState::Paused, ..task.clone() },
    }
}

/// A fire that is due already stays in the due index: it is planned, so the ledger must tell of it.
pub(crate) fn stop_planning(task: &Task, state: TaskState, now: EpochMillis) -> Task {
    let next_fire = task.next_fire.filter(|next| *next <= now);
    Task { state, updated: now, next_fire, ..task.clone() }
}

/// The task, planning from now on what its schedule plans: it fires again where a clock that was wrong had it decide minutes
/// that were still to come. A task that plans just that, or plans nothing, stays as it is. Fires that are due at `now` must
/// have been decided before.
pub fn replan(task: &Task, now: EpochMillis) -> Task {
    let mut task = task.clone();
    if is_ahead(&task, now, SERVERS_DIFFER_MS) {
        forget_ahead(&mut task);
    }
    plan_anew(&mut task, now);
    task
}

/// Servers' clocks may differ by as much, and no minute shall fire twice for that.
const SERVERS_DIFFER_MS: i64 = 10_000;

/// A clock that was set back by less is waited for where nobody asked for the contrary.
const WAITED_FOR_MS: i64 = 1_200_000;

/// Whether a clock that was wrong has had the task decide minutes that are still to come.
fn is_ahead(task: &Task, now: EpochMillis, by_ms: i64) -> bool {
    task.state == TaskState::Active && task.last_fire.is_some_and(|last| last.since(now) > by_ms)
}

/// Those minutes do not count, and a generation begins whose fires are none of those.
fn forget_ahead(task: &mut Task) {
    task.generation = task.generation.next();
    task.last_fire = None;
}

/// The next fire is after now and after the last one that was decided.
pub(crate) fn plan_anew(task: &mut Task, now: EpochMillis) {
    if is_ahead(task, now, WAITED_FOR_MS) {
        forget_ahead(task);
    }
    let after = task.last_fire.map_or(now, |last| last.max(now));
    task.next_fire = match task.state {
        TaskState::Active => first_fire(task, &task.schedule(), after),
        TaskState::Paused | TaskState::Disabled => None,
    };
}
