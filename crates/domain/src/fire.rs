//! What fires now, what is skipped and why.

use std::ops::RangeInclusive;

use isochrone_quartz::Schedule;

use crate::{
    EpochMillis, FireId, MisfirePolicy, OverlapPolicy, Policies, Reason, Run, RunStatus, Task, TaskState,
    Trigger,
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
        failures: 0,
        crashes: 0,
        cancel: None,
        created: now,
        started: None,
        progress: None,
        handle: None,
        artifacts: Vec::new(),
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
    let mut plan = FirePlan { fires: Vec::new(), task: task.clone() };
    let active = task.state == TaskState::Active;
    let due = due_minutes(task, schedule, if active { now } else { now.min(task.updated) });
    let runs_from = due.len() - policy_runs(task.policies.misfire, &due, now);
    let mut of_this_plan = 0;
    for (index, &planned) in due.iter().enumerate().take(limit) {
        let (decision, reason) = if !active {
            (Decision::Skip, Reason::SkippedDisabled)
        } else if index < runs_from {
            (Decision::Skip, Reason::SkippedMisfire)
        } else {
            let latest = index + 1 == due.len();
            let reason = match (now.since(planned) > ON_TIME_MS, latest) {
                (false, _) => Reason::OnTime,
                (true, true) => Reason::Late,
                (true, false) => Reason::CaughtUp,
            };
            decide(&task.policies, unfinished, of_this_plan, reason)
        };
        if decision != Decision::Skip {
            of_this_plan += 1;
            plan.task.occurrences += 1;
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

/// The planned minutes from the task's next fire up to now.
fn due_minutes(task: &Task, schedule: &Schedule, now: EpochMillis) -> Vec<EpochMillis> {
    std::iter::successors(task.next_fire, |last| next_within(task, schedule, last.0))
        .take_while(|minute| *minute <= now)
        .collect()
}

/// How many of the due fires, counted from the last, the misfire policy lets run.
fn policy_runs(policy: MisfirePolicy, due: &[EpochMillis], now: EpochMillis) -> usize {
    match policy {
        MisfirePolicy::RunLatest => due.len().min(1),
        MisfirePolicy::RunAll { max } => due.len().min(max.max(1) as usize),
        MisfirePolicy::Skip { grace_ms } => {
            let grace = i64::try_from(grace_ms).unwrap_or(i64::MAX).max(ON_TIME_MS);
            due.iter().rev().take_while(|minute| now.since(**minute) <= grace).count()
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
/// Asked for twice it is the same fire. None: the task's limit is reached.
pub fn plan_backfill(
    task: &Task,
    unfinished: u64,
    by: &str,
    planned: EpochMillis,
    now: EpochMillis,
) -> Option<(Task, Run)> {
    let mut nonce = *b"backfill........";
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
    task.occurrences += 1;
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
