//! What fires now, what is skipped and why.

use std::ops::RangeInclusive;

use isochrone_quartz::Schedule;

use crate::{
    EpochMillis, FireId, MisfirePolicy, Nonce, OverlapPolicy, Policies, Reason, Run, RunStatus, Task,
    TaskState, Trigger, UnknownFields,
};

/// A fire later than this is "late": its scheduler was away or busy.
const ON_TIME_MS: i64 = 10_000;

/// What becomes of a planned fire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It makes a run.
    Run,
    /// It makes a run that waits until the runs before it have ended.
    RunAfterOthers,
    /// It makes no run.
    Skip,
}

/// A planned fire and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedFire {
    /// Task, generation and minute, digested.
    pub id: FireId,
    /// Its minute.
    pub planned: EpochMillis,
    /// What becomes of it.
    pub decision: Decision,
    /// Why.
    pub reason: Reason,
}

/// What a task does now: one commit, all or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirePlan {
    /// In the order of their minutes.
    pub fires: Vec<PlannedFire>,
    /// The task with its count and its next fire moved on.
    pub task: Task,
}

impl FirePlan {
    /// The runs of the plan, skipped ones included, as they are first stored.
    pub fn runs(&self, now: EpochMillis) -> Vec<Run> {
        let trigger = Trigger::Schedule { generation: self.task.generation };
        self.fires.iter().map(|fire| new_run(&self.task, fire, trigger.clone(), now)).collect()
    }
}

/// The run of a fire, as it is first stored.
pub(crate) fn new_run(task: &Task, fire: &PlannedFire, trigger: Trigger, now: EpochMillis) -> Run {
    let status = match fire.decision {
        Decision::Run => RunStatus::Queued { due: now },
        Decision::RunAfterOthers => RunStatus::Waiting,
        Decision::Skip => RunStatus::Ended { outcome: crate::Outcome::Skipped, reason: fire.reason, at: now },
    };
    Run {
        id: fire.id.run(),
        task: task.id,
        fire: fire.id,
        kind: task.kind,
        trigger,
        planned: fire.planned,
        fired: fire.reason,
        result: status.ended().then(|| fire.reason.sentence().to_owned()),
        status,
        attempt: 0,
        nonce: Nonce::NONE,
        expired: false,
        finished: Vec::new(),
        failures: 0,
        crashes: 0,
        cancel: None,
        created: now,
        started: None,
        progress: None,
        handle: None,
        item: None,
        artifacts: Vec::new(),
        unknown: UnknownFields::NONE,
    }
}

/// The first fire strictly after `after` and within the task's dates; none if its limit is reached.
///
/// Quartz cuts the start date to the second and includes it; the end date is included uncut.
pub fn first_fire(task: &Task, schedule: &Schedule, after: EpochMillis) -> Option<EpochMillis> {
    if task.occurrences_left() == 0 {
        return None;
    }
    let before_start = task.start.map_or(i64::MIN, |start| start.0.div_euclid(1_000) * 1_000 - 1);
    next_within(task, schedule, after.0.max(before_start))
}

fn next_within(task: &Task, schedule: &Schedule, after: i64) -> Option<EpochMillis> {
    let next = EpochMillis(schedule.next(after)?);
    task.end.is_none_or(|end| next <= end).then_some(next)
}

/// Decides every fire of a task that is due at `now`, at most `limit` of them (the rest is decided by
/// the next plan). `unfinished`: runs of the task that have not ended. A task that was disabled with
/// fires still undecided skips those.
pub fn plan_fires(
    task: &Task,
    schedule: &Schedule,
    unfinished: u64,
    now: EpochMillis,
    limit: usize,
) -> FirePlan {
    plan_fires_but(task, schedule, unfinished, now, limit, |_| None)
}

/// Decides them before the task becomes `changed` (none: it is deleted): those that are overdue and that it would not
/// have any more are skipped, with that reason. Somebody who disables a task while nobody fires wants no run of it.
pub fn plan_fires_before(
    task: &Task,
    schedule: &Schedule,
    unfinished: u64,
    (changed, now): (Option<&Task>, EpochMillis),
    limit: usize,
) -> FirePlan {
    let excluded = |planned: EpochMillis| {
        let Some(changed) = changed else { return Some(Reason::TaskDeleted) };
        if changed.state != TaskState::Active {
            Some(Reason::SkippedDisabled)
        } else if now.since(planned) > ON_TIME_MS && !has_minute(changed, planned) {
            Some(Reason::SkippedExcluded)
        } else {
            None
        }
    };
    plan_fires_but(task, schedule, unfinished, now, limit, excluded)
}

/// Whether a minute is within the task's dates.
fn has_minute(task: &Task, minute: EpochMillis) -> bool {
    let start = task.start.map_or(i64::MIN, |start| start.0.div_euclid(1_000) * 1_000);
    minute.0 >= start && task.end.is_none_or(|end| minute <= end)
}

fn plan_fires_but(
    task: &Task,
    schedule: &Schedule,
    unfinished: u64,
    now: EpochMillis,
    limit: usize,
    excluded: impl Fn(EpochMillis) -> Option<Reason>,
) -> FirePlan {
    let mut plan = FirePlan { fires: Vec::new(), task: task.clone() };
    let active = task.state == TaskState::Active;
    let misfire = task.policies.misfire;
    let until = if active { now } else { now.min(task.updated) };
    // As far ahead as the policy must see: a year's backlog is not walked again for each plan.
    let (mut due, mut ahead) = (Vec::new(), looks_ahead(misfire));
    for planned in due_minutes(task, schedule, until) {
        let excluded = excluded(planned).filter(|_| active);
        if due.len() >= limit && excluded.is_none() {
            ahead -= 1;
        }
        due.push((planned, excluded));
        if ahead == 0 {
            break;
        }
    }
    let mut from_last = due.iter().filter(|(_, excluded)| excluded.is_none()).count() + 1;
    let mut of_this_plan = 0;
    for &(planned, excluded) in due.iter().take(limit) {
        let late_ms = now.since(planned);
        if excluded.is_none() {
            from_last -= 1;
        }
        let (decision, reason) = if let Some(reason) = excluded {
            (Decision::Skip, reason)
        } else if active && may_run(misfire, from_last, late_ms) {
            let reason = match (late_ms > ON_TIME_MS, from_last) {
                (false, _) => Reason::OnTime,
                (true, 1) => Reason::Late,
                (true, _) => Reason::CaughtUp,
            };
            decide(&task.policies, unfinished, of_this_plan, reason)
        } else if active {
            (Decision::Skip, Reason::SkippedMisfire)
        } else {
            (Decision::Skip, Reason::SkippedDisabled)
        };
        if decision != Decision::Skip {
            of_this_plan += 1;
            plan.task.occurrences = plan.task.occurrences.saturating_add(1);
        }
        let id = FireId::scheduled(task.id, task.generation, planned);
        plan.fires.push(PlannedFire { id, planned, decision, reason });
        plan.task.last_fire = plan.task.last_fire.max(Some(planned));
        if plan.task.occurrences_left() == 0 {
            plan.task.next_fire = None;
            return plan;
        }
    }
    plan.task.next_fire = match plan.fires.last() {
        Some(last) if active || plan.fires.len() < due.len() => next_within(task, schedule, last.planned.0),
        None if active => task.next_fire,
        _ => None,
    };
    plan
}

/// The task of a plan of which only a part is kept: `left_out` of its runs are not made, as their fires were decided
/// before. They are no occurrences, and take no later fire away.
pub fn without_runs(task: &Task, left_out: u64) -> Task {
    let mut task = task.clone();
    let reached = task.occurrences_left() == 0;
    task.occurrences = task.occurrences.saturating_sub(left_out);
    if left_out > 0 && reached && task.next_fire.is_none() && task.state == TaskState::Active {
        let after = task.last_fire.map_or(i64::MIN, |last| last.0);
        task.next_fire = next_within(&task, &task.schedule(), after);
    }
    task
}

/// The planned minutes from the task's next fire up to now.
fn due_minutes(task: &Task, schedule: &Schedule, now: EpochMillis) -> impl Iterator<Item = EpochMillis> {
    std::iter::successors(task.next_fire, |last| next_within(task, schedule, last.0))
        .take_while(move |minute| *minute <= now)
}

/// How many due fires behind a fire tell whether it runs.
fn looks_ahead(policy: MisfirePolicy) -> usize {
    match policy {
        MisfirePolicy::RunAll { max } => max.max(1) as usize,
        MisfirePolicy::RunLatest | MisfirePolicy::Skip { .. } => 1,
    }
}

/// Whether the misfire policy lets a due fire run. `from_last`: 1 for the latest, 2 for the one before it;
/// exact up to what the policy looks ahead, and beyond that larger.
fn may_run(policy: MisfirePolicy, from_last: usize, late_ms: i64) -> bool {
    match policy {
        MisfirePolicy::RunLatest | MisfirePolicy::RunAll { .. } => from_last <= looks_ahead(policy),
        MisfirePolicy::Skip { grace_ms } => {
            late_ms <= i64::try_from(grace_ms).unwrap_or(i64::MAX).max(ON_TIME_MS)
        }
    }
}

/// A fire that may run by the misfire policy: does it, given the runs ahead of it that have not ended?
fn decide(policies: &Policies, before: u64, of_this_plan: u64, reason: Reason) -> (Decision, Reason) {
    // A catch-up of several fires is meant to run them all, one after the other.
    let catching_up = reason != Reason::OnTime && matches!(policies.misfire, MisfirePolicy::RunAll { .. });
    match policies.overlap {
        OverlapPolicy::Allow => (Decision::Run, reason),
        OverlapPolicy::Skip if before > 0 && !catching_up => (Decision::Skip, Reason::SkippedOverlap),
        _ if before + of_this_plan > 0 => (Decision::RunAfterOthers, reason),
        _ => (Decision::Run, reason),
    }
}

/// A run that a person asks for; it counts as an occurrence. `nonce` makes a repeated request the
/// same fire. None: the task's limit is reached.
pub fn plan_request(
    task: &Task,
    unfinished: u64,
    by: &str,
    nonce: [u8; 16],
    now: EpochMillis,
) -> Option<(Task, Run)> {
    let id = FireId::requested(task.id, nonce);
    plan_by_hand(task, unfinished, by, (id, now, Reason::Requested), now)
}

/// A run that a person asks for in place of a planned minute of the past; it counts as an occurrence.
/// `filled_before`: how often the minute was filled by a run that was never carried out. Asked for twice it is the
/// same fire. None: the task's limit is reached.
pub fn plan_backfill(
    task: &Task,
    unfinished: u64,
    by: &str,
    (planned, filled_before): (EpochMillis, u16),
    now: EpochMillis,
) -> Option<(Task, Run)> {
    let mut nonce = *b"backfill........";
    if filled_before > 0 {
        nonce[..6].copy_from_slice(b"refill");
        nonce[6..8].copy_from_slice(&filled_before.to_be_bytes());
    }
    nonce[8..].copy_from_slice(&planned.0.to_be_bytes());
    let id = FireId::requested(task.id, nonce);
    plan_by_hand(task, unfinished, by, (id, planned, Reason::Backfilled), now)
}

fn plan_by_hand(
    task: &Task,
    unfinished: u64,
    by: &str,
    (id, planned, reason): (FireId, EpochMillis, Reason),
    now: EpochMillis,
) -> Option<(Task, Run)> {
    if task.occurrences_left() == 0 {
        return None;
    }
    let waits = unfinished > 0 && task.policies.overlap != OverlapPolicy::Allow;
    let decision = if waits { Decision::RunAfterOthers } else { Decision::Run };
    let fire = PlannedFire { id, planned, decision, reason };
    let mut task = task.clone();
    task.occurrences = task.occurrences.saturating_add(1);
    if task.occurrences_left() == 0 {
        task.next_fire = None;
    }
    let run = new_run(&task, &fire, Trigger::Request { by: by.to_owned() }, now);
    Some((task, run))
}

/// The minutes of a span that the task's present schedule and dates plan, the earliest first.
pub fn planned_minutes(task: &Task, span: RangeInclusive<EpochMillis>) -> impl Iterator<Item = EpochMillis> {
    let schedule = task.schedule();
    let start = task.start.map_or(i64::MIN, |start| start.0.div_euclid(1_000) * 1_000);
    let from = span.start().0.max(start).max(0);
    let to = task.end.map_or(span.end().0, |end| end.0.min(span.end().0));
    std::iter::successors(schedule.next(from - 1), move |last| schedule.next(*last))
        .take_while(move |minute| *minute <= to)
        .map(EpochMillis)
}
