//! Whether a task's dates leave its schedule any fire.

use crate::fire::first_fire;
use crate::{EpochMillis, Problem, Task};

/// What looks like seconds since 1970: in milliseconds it would be a moment before April 1973, and in seconds it is one
/// after it.
const SECONDS: std::ops::Range<i64> = 100_000_000..100_000_000_000;

/// Refuses dates that were given in seconds.
pub(crate) fn check_units(start: Option<EpochMillis>, end: Option<EpochMillis>) -> Result<(), Problem> {
    for (parameter, date) in [("startDate", start), ("endDate", end)] {
        if let Some(date) = date.filter(|date| SECONDS.contains(&date.0)) {
            let problem = format!(
                "is {}, which is {date} in milliseconds and {} in seconds; expected milliseconds since 1970-01-01 UTC",
                date.0,
                EpochMillis(date.0.saturating_mul(1_000))
            );
            return Err(Problem::new(parameter, problem));
        }
    }
    Ok(())
}

/// Refuses dates between which the schedule plans no fire after `from`. Those that have passed at `now` are good.
pub(crate) fn check_window(task: &Task, from: EpochMillis, now: EpochMillis) -> Result<(), Problem> {
    if task.end.is_some_and(|end| end <= now) {
        return Ok(());
    }
    let unlimited = Task { max_occurrences: None, ..task.clone() };
    if first_fire(&unlimited, &task.schedule(), from).is_some() {
        return Ok(());
    }
    let from = task.start.map_or(from, |start| start.max(from));
    Err(match (task.start, task.end) {
        (_, Some(end)) => Problem::new(
            "endDate",
            format!("leaves the schedule no fire: it plans none between {from} and {end}"),
        ),
        _ => Problem::new("startDate", format!("leaves the schedule no fire: it plans none after {from}")),
    })
}
