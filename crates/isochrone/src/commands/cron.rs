//! `isochrone cron next`: when a schedule fires next, and the schedule in words.

use std::io::{BufRead, Write};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use isochrone_domain::EpochMillis;
use isochrone_quartz::{Fields, Schedule};
use serde::{Deserialize, Serialize};

use crate::args::{CronCommand, OutputFormat};
use crate::output::printable;

/// More fires than anybody reads: a question for 10^18 of them would never be answered.
const MOST_FIRES: usize = 100_000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Question {
    minute: String,
    hour: String,
    day_of_month: String,
    month: String,
    day_of_week: String,
    after: i64,
    #[serde(default = "one")]
    count: usize,
}

fn one() -> usize {
    1
}

#[derive(Serialize)]
#[serde(untagged)]
enum Answer {
    Good { valid: bool, next: Vec<i64> },
    Bad { valid: bool, error: String },
}

#[derive(Serialize)]
struct Told {
    schedule: String,
    next: Vec<i64>,
    warnings: Vec<String>,
}

pub(crate) fn run(command: &CronCommand, output: OutputFormat) -> Result<ExitCode> {
    let CronCommand::Next { fields, count, after, stdin } = command;
    if *stdin {
        answer_lines()?;
        return Ok(ExitCode::SUCCESS);
    }
    let [minute, hour, day_of_month, month, day_of_week] = fields.as_slice() else {
        anyhow::bail!("five fields are needed: MINUTE HOUR DOM MONTH DOW, each in quotes");
    };
    let fields = Fields { minute, hour, day_of_month, month, day_of_week };
    let schedule = Schedule::parse(&fields)?.with_horizon(horizon());
    let after = after.unwrap_or_else(now);
    let told = Told {
        schedule: schedule.describe(),
        next: schedule.iter_after(after).take((*count).min(MOST_FIRES)).collect(),
        warnings: Schedule::warnings(&fields).iter().map(ToString::to_string).collect(),
    };
    tell(&told, output)?;
    Ok(ExitCode::SUCCESS)
}

fn tell(told: &Told, output: OutputFormat) -> Result<()> {
    if output == OutputFormat::Json {
        return crate::output::one(output, told);
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", printable(&told.schedule))?;
    for warning in &told.warnings {
        writeln!(out, "warning: {}", printable(warning))?;
    }
    for next in &told.next {
        writeln!(out, "{}", EpochMillis(*next))?;
    }
    if told.next.is_empty() {
        writeln!(out, "It never fires.")?;
    }
    Ok(())
}

fn answer_lines() -> Result<()> {
    let mut input = std::io::stdin().lock();
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let horizon = horizon();
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line)? > 0 {
        serde_json::to_writer(&mut out, &answer(&line, horizon))?;
        line.clear();
        out.write_all(b"\n")?;
        // Whoever asks line by line waits for each answer.
        out.flush()?;
    }
    Ok(())
}

fn answer(line: &[u8], horizon: u16) -> Answer {
    let question: Question = match serde_json::from_slice(line) {
        Ok(question) => question,
        Err(error) => return Answer::Bad { valid: false, error: format!("no question: {error}") },
    };
    let fields = Fields {
        minute: &question.minute,
        hour: &question.hour,
        day_of_month: &question.day_of_month,
        month: &question.month,
        day_of_week: &question.day_of_week,
    };
    match Schedule::parse(&fields) {
        Ok(schedule) => Answer::Good {
            valid: true,
            next: schedule
                .with_horizon(horizon)
                .iter_after(question.after)
                .take(question.count.min(MOST_FIRES))
                .collect(),
        },
        Err(error) => Answer::Bad { valid: false, error: error.to_string() },
    }
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

/// Quartz looks a hundred years ahead.
fn horizon() -> u16 {
    u16::try_from(EpochMillis(now()).civil().0 + 100).unwrap_or(isochrone_quartz::DEFAULT_HORIZON)
}
