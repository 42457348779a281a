//! `isochrone task explain`: when a task fires next, and why its last fires ended as they did.

use std::fmt::Write;

use anyhow::Result;
use isochrone_domain::{EpochMillis, Run, RunStatus, Task, TaskId, TaskState, plan_fires};
use isochrone_quartz::Schedule;
use isochrone_store::{Page, RunFilter};
use serde::Serialize;

use crate::args::OutputFormat;
use crate::commands::task::state_name;
use crate::output::{self, printable};
use crate::wiring::House;

const FIRES_AHEAD: usize = 10;
const FIRES_BACK: u64 = 10;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Explained {
    id: String,
    state: &'static str,
    why: String,
    schedule: String,
    warnings: Vec<String>,
    occurrences: u64,
    max_occurrences: Option<u64>,
    unfinished_runs: u64,
    next: Vec<i64>,
    would_do_now: Vec<Told>,
    last: Vec<Told>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    planned: i64,
    fired: &'static str,
    outcome: Option<String>,
    why: &'static str,
}

pub(crate) async fn explain(
    house: &House,
    task: TaskId,
    at: Option<i64>,
    output: OutputFormat,
) -> Result<()> {
    let task = house.submissions.task(&House::operator(), task).await?;
    let at = match at {
        Some(at) => EpochMillis(at),
        None => house.store.now().await?,
    };
    let unfinished = house.store.unfinished(task.id).await?;
    let of_task = RunFilter { task: Some(task.id), ..RunFilter::default() };
    let last = house.store.runs(&of_task, Page { offset: 0, limit: FIRES_BACK }).await?;
    let explained = explained(&task, unfinished, &last.rows, at);
    match output {
        OutputFormat::Json => output::one(output, &explained),
        OutputFormat::Text => {
            print!("{}", text(&explained)?);
            Ok(())
        }
    }
}

fn explained(task: &Task, unfinished: u64, last: &[Run], at: EpochMillis) -> Explained {
    let schedule = task.schedule();
    let fields = isochrone_quartz::repair_day_fields(task.cron.as_fields());
    let plan = plan_fires(task, &schedule, unfinished, at, FIRES_AHEAD);
    let next = task.next_fire.into_iter().flat_map(|first| {
        std::iter::once(first.0)
            .chain(schedule.iter_after(first.0))
            .take_while(|ms| task.end.is_none_or(|end| *ms <= end.0))
    });
    Explained {
        id: task.id.to_string(),
        state: state_name(task),
        why: why(task),
        schedule: schedule.describe(),
        warnings: Schedule::warnings(&fields).iter().map(ToString::to_string).collect(),
        occurrences: task.occurrences,
        max_occurrences: task.max_occurrences,
        unfinished_runs: unfinished,
        next: next
            .take(FIRES_AHEAD.min(usize::try_from(task.occurrences_left()).unwrap_or(usize::MAX)))
            .collect(),
        would_do_now: plan
            .fires
            .iter()
            .map(|fire| Told {
                planned: fire.planned.0,
                fired: fire.reason.code(),
                outcome: None,
                why: fire.reason.sentence(),
            })
            .collect(),
        last: last.iter().map(told).collect(),
    }
}

fn told(run: &Run) -> Told {
    let ended = match run.status {
        RunStatus::Ended { outcome, reason, .. } => Some((outcome, reason)),
        _ => None,
    };
    Told {
        planned: run.planned.0,
        fired: run.fired.code(),
        outcome: ended.map(|(outcome, _)| outcome.to_string()),
        why: ended.map_or(run.fired, |(_, reason)| reason).sentence(),
    }
}

/// Why the task is in its state.
fn why(task: &Task) -> String {
    match (task.state, task.next_fire) {
        (TaskState::Active, Some(next)) => format!("It fires next at {next}."),
        (TaskState::Active, None) if task.occurrences_left() == 0 => {
            "It has made as many runs as maxOccurrences allows.".to_owned()
        }
        (TaskState::Active, None) => match task.end {
            Some(end) => format!("No fire is left before its endDate, {end}."),
            None => "Its schedule has no fire left.".to_owned(),
        },
        (TaskState::Paused, _) => format!("It was disabled by hand at {}.", task.updated),
        (TaskState::Disabled, _) => {
            format!(
                "It was disabled at {} after {} failed runs in a row.",
                task.updated, task.consecutive_failures
            )
        }
    }
}

fn text(explained: &Explained) -> Result<String> {
    let mut text = String::new();
    writeln!(text, "Task {} is {}. {}", explained.id, explained.state, explained.why)?;
    writeln!(text, "Schedule: {}.", printable(&explained.schedule))?;
    for warning in &explained.warnings {
        writeln!(text, "Warning: {}.", printable(warning))?;
    }
    let limit = explained.max_occurrences.map_or_else(|| "any number".to_owned(), |max| max.to_string());
    writeln!(
        text,
        "Runs made: {} of {limit}; not ended: {}.",
        explained.occurrences, explained.unfinished_runs
    )?;
    section(&mut text, "Next fires", explained.next.iter().map(|ms| EpochMillis(*ms).to_string()))?;
    section(&mut text, "Due now", explained.would_do_now.iter().map(line))?;
    section(&mut text, "Last fires", explained.last.iter().map(line))?;
    Ok(text)
}

fn line(told: &Told) -> String {
    let outcome = told.outcome.as_deref().unwrap_or("not ended");
    format!("{}  {}  {outcome}: {}", EpochMillis(told.planned), told.fired, told.why)
}

fn section(text: &mut String, title: &str, lines: impl Iterator<Item = String>) -> Result<()> {
    let mut lines = lines.peekable();
    if lines.peek().is_some() {
        writeln!(text, "{title}:")?;
        for line in lines {
            writeln!(text, "  {line}")?;
        }
    }
    Ok(())
}
