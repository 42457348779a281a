//! Tasks that come from elsewhere, with their ids and their past.

use crate::edit::plan_anew;
use crate::pin::keeps_pin;
use crate::submission::{check_date, take};
use crate::{EpochMillis, Generation, Limits, Problem, Submission, Task, TaskId, TaskState};

/// A task of another store or another portal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// The id that it keeps.
    pub id: TaskId,
    /// Whose task it is.
    pub owner: String,
    /// What createTask would be asked for.
    pub submission: Submission,
    /// Whether it plans fires.
    pub state: TaskState,
    /// How many runs it has made: they count towards its limit.
    pub occurrences: u64,
    /// Failed runs since the last success.
    pub consecutive_failures: u32,
    /// When it was created; none: now.
    pub created: Option<EpochMillis>,
}

/// The task as it is kept here. Its first fire is after `now`: what was planned while it was nowhere was
/// planned by nobody here.
pub fn adopt(transfer: Transfer, now: EpochMillis, limits: &Limits) -> Result<Task, Problem> {
    let Transfer { id, owner, submission, state, occurrences, consecutive_failures, created } = transfer;
    check_date("created", created)?;
    let mut task = take(submission, id, &owner, now, limits)?;
    // It may have been here before, and fired.
    task.generation = Generation::never_used(now);
    task.state = state;
    task.occurrences = occurrences;
    task.consecutive_failures = consecutive_failures;
    task.created = created.unwrap_or(now);
    plan_anew(&mut task, now);
    Ok(task)
}

/// What a task becomes when another one of its id takes its place; none: they are the same but for what
/// firing changes. Occurrences that were counted in either stay counted. Fires that are due at `now` must
/// have been decided before.
pub fn replace(old: &Task, other: Task, now: EpochMillis) -> Option<Task> {
    let active = |state| state != TaskState::Paused;
    let same_state = active(old.state) == active(other.state);
    let same_parameters = written(old) == written(&other);
    let same = Task {
        pinned: if keeps_pin(old, &other) { old.pinned.clone() } else { other.pinned.clone() },
        parameters: if same_parameters { old.parameters.clone() } else { other.parameters.clone() },
        generation: old.generation,
        state: if same_state { old.state } else { other.state },
        next_fire: old.next_fire,
        last_fire: old.last_fire,
        occurrences: old.occurrences,
        consecutive_failures: old.consecutive_failures,
        created: old.created,
        updated: old.updated,
        request: old.request.clone(),
        version: old.version,
        unknown: old.unknown.clone(),
        ..other.clone()
    };
    if same == *old {
        return None;
    }
    let mut task = Task {
        generation: old.generation.next(),
        occurrences: old.occurrences.max(other.occurrences),
        consecutive_failures: other.consecutive_failures,
        state: other.state,
        updated: now,
        ..same
    };
    plan_anew(&mut task, now);
    Some(task)
}

/// The parameters but for how they are spread over lines; none are as good as empty ones.
fn written(task: &Task) -> Option<String> {
    let parameters = task.parameters.as_ref()?.replace(['\n', '\r'], " ");
    Some(parameters).filter(|parameters| parameters != "{}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CronFields, Policies, TaskType};

    const NOW: EpochMillis = EpochMillis(1_700_000_000_000);

    fn transfer() -> Transfer {
        let cron = ["0", "3", "*", "*", "?"].map(str::to_owned);
        let [minute, hour, day_of_month, month, day_of_week] = cron;
        Transfer {
            id: TaskId::from_bytes([7; 16]),
            owner: "ann".to_owned(),
            submission: Submission {
                title: "Nightly".to_owned(),
                kind: TaskType::ExecuteReport,
                item_id: None,
                task_url: None,
                parameters: Some("{}".to_owned()),
                cron: CronFields { minute, hour, day_of_month, month, day_of_week },
                start: None,
                end: None,
                max_occurrences: Some(3),
                policies: Policies::default(),
            },
            state: TaskState::Active,
            occurrences: 2,
            consecutive_failures: 1,
            created: Some(EpochMillis(5)),
        }
    }

    fn adopted(transfer: Transfer) -> Task {
        adopt(transfer, NOW, &Limits::default()).expect("it is a good task")
    }

    #[test]
    fn a_task_keeps_its_id_its_count_and_its_past_and_fires_from_now_on() {
        let task = adopted(transfer());
        assert_eq!((task.id, task.occurrences, task.consecutive_failures), (transfer().id, 2, 1));
        assert_eq!((task.created, task.updated), (EpochMillis(5), NOW));
        assert!(task.next_fire.is_some_and(|next| next > NOW));
        assert_eq!(
            adopted(Transfer { occurrences: 3, ..transfer() }).next_fire,
            None,
            "its limit is reached"
        );
        assert_eq!(adopted(Transfer { state: TaskState::Paused, ..transfer() }).next_fire, None);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let mut wrong = transfer();
        wrong.submission.cron.hour = "25".to_owned();
        assert_eq!(adopt(wrong, NOW, &Limits::default()).map_err(|problem| problem.parameter), Err("hour"));
        let wrong = Transfer { created: Some(EpochMillis(-1)), ..transfer() };
        assert_eq!(
            adopt(wrong, NOW, &Limits::default()).map_err(|problem| problem.parameter),
            Err("created")
        );
    }

    #[test]
    fn a_task_that_only_fired_is_the_same() {
        let old = adopted(transfer());
        let fired = Task {
            occurrences: 3,
            last_fire: old.next_fire,
            next_fire: None,
            state: TaskState::Disabled,
            version: 9,
            ..old.clone()
        };
        assert_eq!(replace(&fired, old.clone(), NOW), None);
        let paused = Task { state: TaskState::Paused, next_fire: None, ..old.clone() };
        assert!(replace(&old, paused, NOW).is_some_and(|task| task.next_fire.is_none()));
    }

    #[test]
    fn the_task_that_takes_its_place_begins_a_generation_and_forgets_no_occurrence() {
        let old = Task { occurrences: 3, version: 9, last_fire: Some(NOW), ..adopted(transfer()) };
        let mut other = transfer();
        other.submission.max_occurrences = Some(10);
        let task = replace(&old, adopted(other), NOW).expect("its limit is another one");
        assert_eq!((task.occurrences, task.generation, task.version), (3, old.generation.next(), 9));
        assert!(task.next_fire.is_some_and(|next| next > NOW));
    }
}
