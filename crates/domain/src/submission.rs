//! What a client asks createTask for, and whether it is accepted.

use crate::window::{check_units, check_window};
use crate::written_schedule::check_schedule;
use crate::{
    CronFields, EpochMillis, Generation, ItemId, Policies, SceneCook, Task, TaskId, TaskState, TaskType,
    UnknownFields, first_fire,
};

/// A request that can't be accepted, told so that its sender can mend it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{parameter}' {problem}")]
pub struct Problem {
    /// The parameter's name on ArcGIS's wire.
    pub parameter: &'static str,
    /// What is wrong with it and what was expected.
    pub problem: String,
}

impl Problem {
    /// A problem with a parameter.
    pub fn new(parameter: &'static str, problem: impl Into<String>) -> Problem {
        Problem { parameter, problem: problem.into() }
    }
}

/// The operator's limits on what is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Refuse what Quartz accepts by accident (`5x` for 5).
    pub strict_cron: bool,
    /// Longest title in bytes.
    pub title_bytes: usize,
    /// Longest `parameters` in bytes.
    pub parameters_bytes: usize,
    /// Deepest nesting of `parameters`.
    pub parameters_depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { strict_cron: false, title_bytes: 1_024, parameters_bytes: 1 << 20, parameters_depth: 64 }
    }
}

/// What a client asks createTask for.
#[derive(Clone, PartialEq, Eq)]
pub struct Submission {
    /// For people; may be empty.
    pub title: String,
    /// What kind of work.
    pub kind: TaskType,
    /// The item that it works on.
    pub item_id: Option<ItemId>,
    /// A geoprocessing task's URL.
    pub task_url: Option<String>,
    /// A JSON object.
    pub parameters: Option<String>,
    /// The schedule.
    pub cron: CronFields,
    /// No fire before this moment.
    pub start: Option<EpochMillis>,
    /// No fire after this moment.
    pub end: Option<EpochMillis>,
    /// How many runs the task may make.
    pub max_occurrences: Option<u64>,
    /// The owner's choices.
    pub policies: Policies,
}

/// Without what may be secret.
impl std::fmt::Debug for Submission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Submission")
            .field("title", &self.title)
            .field("kind", &self.kind)
            .field("cron", &self.cron)
            .finish_non_exhaustive()
    }
}

/// The task that a submission makes, its first fire computed; or what is wrong with it.
///
/// Dates that leave the schedule no fire are refused, unless they have passed: ArcGIS's own examples have such.
pub fn accept(
    submission: Submission,
    id: TaskId,
    owner: &str,
    now: EpochMillis,
    limits: &Limits,
) -> Result<Task, Problem> {
    let task = take(submission, id, owner, now, limits)?;
    check_window(&task, now, now)?;
    Ok(task)
}

/// The same, whatever fires it has left.
pub(crate) fn take(
    submission: Submission,
    id: TaskId,
    owner: &str,
    now: EpochMillis,
    limits: &Limits,
) -> Result<Task, Problem> {
    let mut task = Task {
        id,
        owner: owner.to_owned(),
        title: submission.title,
        kind: submission.kind,
        item_id: submission.item_id,
        task_url: submission.task_url,
        parameters: submission.parameters,
        cron: submission.cron,
        start: submission.start,
        end: submission.end,
        max_occurrences: submission.max_occurrences,
        occurrences: 0,
        policies: submission.policies,
        pinned: None,
        generation: Generation(1),
        state: TaskState::Active,
        next_fire: None,
        last_fire: None,
        consecutive_failures: 0,
        created: now,
        updated: now,
        request: None,
        version: 0,
        unknown: UnknownFields::NONE,
    };
    check(&task, limits)?;
    check_schedule(&task.cron, limits.strict_cron)?;
    check_units(task.start, task.end)?;
    task.next_fire = first_fire(&task, &task.schedule(), now);
    Ok(task)
}

/// The rules that hold for every task that is stored.
pub(crate) fn check(task: &Task, limits: &Limits) -> Result<(), Problem> {
    check_text("title", &task.title, limits.title_bytes)?;
    check_dates(task.start, task.end)?;
    if task.max_occurrences == Some(0) {
        return Err(Problem::new("maxOccurrences", "is 0; expected a whole number of at least 1"));
    }
    if task.item_id.is_none() && task.kind != TaskType::ExecuteReport {
        return Err(Problem::new("itemId", format!("is required for tasks of type {}", task.kind)));
    }
    if task.kind == TaskType::GPService && task.task_url.is_none() {
        return Err(Problem::new("taskURL", "is required for tasks of type GPService"));
    }
    if let Some(url) = &task.task_url {
        check_text("taskURL", url, 8_192)?;
        if !(url.starts_with("https://") || url.starts_with("http://")) {
            return Err(Problem::new("taskURL", "is no URL; expected https://host/..."));
        }
    }
    check_parameters(task, limits)
}

fn check_text(parameter: &'static str, text: &str, max: usize) -> Result<(), Problem> {
    if text.len() > max {
        return Err(Problem::new(
            parameter,
            format!("is {} bytes long; at most {max} are allowed", text.len()),
        ));
    }
    if text.contains('\0') {
        return Err(Problem::new(parameter, "has a NUL character"));
    }
    Ok(())
}

fn check_dates(start: Option<EpochMillis>, end: Option<EpochMillis>) -> Result<(), Problem> {
    check_date("startDate", start)?;
    check_date("endDate", end)?;
    match (start, end) {
        (Some(start), Some(end)) if end < start => {
            Err(Problem::new("endDate", format!("is {end}, before startDate, {start}")))
        }
        _ => Ok(()),
    }
}

pub(crate) fn check_date(parameter: &'static str, date: Option<EpochMillis>) -> Result<(), Problem> {
    if date.is_some_and(|date| date.0 < 0 || date > EpochMillis::MAX) {
        return Err(Problem::new(
            parameter,
            "is out of range; expected milliseconds since 1970-01-01 UTC, up to the year 9999",
        ));
    }
    Ok(())
}

fn check_parameters(task: &Task, limits: &Limits) -> Result<(), Problem> {
    let Some(text) = &task.parameters else {
        return if task.kind.needs_parameters() {
            Err(Problem::new("parameters", format!("is required for tasks of type {}", task.kind)))
        } else {
            Ok(())
        };
    };
    check_text("parameters", text, limits.parameters_bytes)?;
    // Before the JSON parser sees it: depth costs a parser its stack, here it costs a counter.
    if nesting(text) > limits.parameters_depth {
        return Err(Problem::new(
            "parameters",
            format!("is nested deeper than {} levels", limits.parameters_depth),
        ));
    }
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(serde_json::Value::Object(_)) if task.kind == TaskType::ExecuteSceneCook => {
            SceneCook::read(text).map(drop)
        }
        Ok(serde_json::Value::Object(_)) => Ok(()),
        Ok(_) => Err(Problem::new("parameters", "is no JSON object; expected {\"name\": value, ...}")),
        Err(error) => Err(Problem::new(
            "parameters",
            format!("is no valid JSON: {error} (text and URLs must stand in double quotes)"),
        )),
    }
}

/// How deep brackets and braces outside of strings are nested.
fn nesting(json: &str) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_counts_outside_of_strings_only() {
        assert_eq!(nesting(r#"{"a":[1,{"b":"[[[["}]}"#), 3);
        assert_eq!(nesting(r#"{"a\"[":1}"#), 1);
        assert_eq!(nesting(&"[".repeat(10_000)), 10_000);
    }
}
