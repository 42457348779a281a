//! `isochrone run`: runs of tasks.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use isochrone_domain::{Artifact, EpochMillis, ItemSnapshot, Progress, Run, RunId, RunStatus};
use isochrone_store::{Page, RunFilter};
use serde::Serialize;

use crate::args::{OutputFormat, RunCommand};
use crate::config::Loaded;
use crate::output::{self, Row, printable};
use crate::wiring::House;

/// How often a command that waits for a run looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A run as commands show it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunView {
    id: String,
    task_id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    status: &'static str,
    reason: &'static str,
    planned: i64,
    fired: &'static str,
    attempt: u32,
    created: i64,
    started: Option<i64>,
    ended: Option<i64>,
    progress: Option<Progress>,
    result: Option<String>,
    artifacts: Vec<Artifact>,
    /// As the run found it.
    item: Option<ItemSnapshot>,
}

impl From<Run> for RunView {
    fn from(run: Run) -> Self {
        let (reason, ended) = match run.status {
            RunStatus::Ended { reason, at, .. } => (reason.code(), Some(at.0)),
            _ => ("", None),
        };
        RunView {
            id: run.id.to_string(),
            task_id: run.task.to_string(),
            kind: run.kind.name(),
            status: run.status.wire(),
            reason,
            planned: run.planned.0,
            fired: run.fired.code(),
            attempt: run.attempt,
            created: run.created.0,
            started: run.started.map(|at| at.0),
            ended,
            progress: run.progress,
            result: run.result,
            artifacts: run.artifacts,
            item: run.item,
        }
    }
}

impl Row for RunView {
    const COLUMNS: &'static [&'static str] =
        &["id", "type", "planned", "fired", "status", "reason", "attempt", "result"];

    fn cells(&self) -> Vec<String> {
        let result = self.result.as_deref().unwrap_or("");
        let short: String = result.chars().take(60).collect();
        vec![
            self.id.clone(),
            self.kind.to_owned(),
            EpochMillis(self.planned).to_string(),
            self.fired.to_owned(),
            self.status.to_owned(),
            self.reason.to_owned(),
            self.attempt.to_string(),
            short,
        ]
    }
}

pub(crate) async fn run(loaded: &Loaded, command: RunCommand, output: OutputFormat) -> Result<ExitCode> {
    let house = House::open_existing(&loaded.config).await?;
    let caller = &House::operator();
    let run = match command {
        RunCommand::List { task, owner, limit } => {
            let filter = RunFilter { task, owner, ended: None };
            let page = Page { offset: 0, limit };
            let runs = house.submissions.runs(caller, &filter, page).await?;
            let rows: Vec<RunView> = runs.rows.into_iter().map(RunView::from).collect();
            output::list(output, &rows)?;
            return Ok(ExitCode::SUCCESS);
        }
        RunCommand::Logs { run, follow } => {
            house.submissions.run(caller, run).await?;
            print_log(&house, run, follow, output).await?;
            return Ok(ExitCode::SUCCESS);
        }
        RunCommand::Show { run } => house.submissions.run(caller, run).await?,
        RunCommand::Cancel { run } => house.submissions.cancel_run(caller, run).await?,
        RunCommand::Retry { run } => house.submissions.retry_run(caller, run).await?,
    };
    output::one(output, &RunView::from(run))?;
    Ok(ExitCode::SUCCESS)
}

async fn print_log(house: &House, run: RunId, follow: bool, output: OutputFormat) -> Result<()> {
    let mut shown = 0;
    loop {
        // Asked before the lines are read: then none can come after the last look.
        let ended = house.store.run(run).await?.is_none_or(|run| run.status.ended());
        let lines = house.store.log(run, Page { offset: shown, limit: 1_000 }).await?.rows;
        let mut out = std::io::stdout().lock();
        for line in &lines {
            match output {
                OutputFormat::Json => writeln!(out, "{}", serde_json::to_string(line)?)?,
                OutputFormat::Text => writeln!(out, "{}  {}", line.at, printable(&line.text))?,
            }
        }
        drop(out);
        shown += lines.len() as u64;
        if lines.is_empty() {
            if ended || !follow {
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// Waits until a run has ended.
pub(crate) async fn wait_for_end(house: &House, run: RunId) -> Result<Run> {
    loop {
        let now = house.store.run(run).await?.context("the run was deleted")?;
        if now.status.ended() {
            return Ok(now);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
