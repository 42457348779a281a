//! `isochrone task`: scheduled tasks.

use std::process::ExitCode;

use anyhow::Result;
use isochrone_domain::{
    Change, CronFields, EpochMillis, ItemChanges, ItemVersion, Outcome, Policies, PolicyChange, RunStatus,
    Submission, Task, TaskState,
};
use isochrone_scheduler::{StoredTask, SubmitError};
use isochrone_store::{Page, TaskFilter};
use serde::Serialize;

use crate::args::{CronArgs, OutputFormat, TaskCommand, TaskCreate, TaskUpdate, WorkArgs};
use crate::commands::explain;
use crate::commands::run::{RunView, wait_for_end};
use crate::config::Loaded;
use crate::output::{self, Row};
use crate::wiring::House;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TaskView {
    id: String,
    owner: String,
    title: String,
    #[serde(rename = "type")]
    kind: &'static str,
    state: &'static str,
    schedule: String,
    cron_schedule: CronFields,
    next_start: Option<i64>,
    occurrences: u64,
    max_occurrences: Option<u64>,
    item_id: Option<String>,
    task_url: Option<String>,
    parameters: Option<String>,
    start_date: Option<i64>,
    end_date: Option<i64>,
    consecutive_failures: u32,
    max_consecutive_failures: Option<u32>,
    item_changes: ItemChanges,
    pinned_item: Option<ItemVersion>,
    created: i64,
    updated: i64,
}

impl From<Task> for TaskView {
    fn from(task: Task) -> Self {
        TaskView {
            id: task.id.to_string(),
            schedule: task.schedule().describe(),
            state: state_name(&task),
            owner: task.owner,
            title: task.title,
            kind: task.kind.name(),
            cron_schedule: task.cron,
            next_start: task.next_fire.map(|at| at.0),
            occurrences: task.occurrences,
            max_occurrences: task.max_occurrences,
            item_id: task.item_id.map(|id| id.to_string()),
            task_url: task.task_url,
            parameters: task.parameters,
            start_date: task.start.map(|at| at.0),
            end_date: task.end.map(|at| at.0),
            consecutive_failures: task.consecutive_failures,
            max_consecutive_failures: task.policies.max_consecutive_failures,
            item_changes: task.policies.item_changes,
            pinned_item: task.pinned,
            created: task.created.0,
            updated: task.updated.0,
        }
    }
}

impl Row for TaskView {
    const COLUMNS: &'static [&'static str] = &["id", "type", "title", "owner", "state", "next", "runs"];

    fn cells(&self) -> Vec<String> {
        let limit = self.max_occurrences.map_or_else(String::new, |max| format!("/{max}"));
        vec![
            self.id.clone(),
            self.kind.to_owned(),
            self.title.clone(),
            self.owner.clone(),
            self.state.to_owned(),
            self.next_start.map_or_else(|| "-".to_owned(), |ms| EpochMillis(ms).to_string()),
            format!("{}{limit}", self.occurrences),
        ]
    }
}

/// The task and its runs are gone; the ledger keeps its fires.
#[derive(Serialize)]
struct Deleted {
    id: String,
    deleted: bool,
}

pub(crate) fn state_name(task: &Task) -> &'static str {
    match task.state {
        TaskState::Active if task.next_fire.is_none() => "completed",
        TaskState::Active => "active",
        TaskState::Paused => "paused",
        TaskState::Disabled => "disabled",
    }
}

/// Tasks that are read together.
const PART: u64 = 500;

/// Gives the tasks of which the next fire is another one now.
async fn replan_all(house: &House, output: OutputFormat) -> Result<ExitCode> {
    let (tasks, caller, filter) = (&house.submissions, &House::operator(), TaskFilter::default());
    let (mut place, mut replanned, mut failed) = (None, Vec::new(), 0);
    loop {
        let part = tasks.tasks_from(caller, &filter, place, PART).await?;
        for task in part.rows {
            match tasks.replan(caller, task.id).await {
                Ok(new) if new.next_fire != task.next_fire => replanned.push(TaskView::from(new)),
                Ok(_) | Err(SubmitError::NotFound { .. }) => {}
                Err(error) => {
                    failed += 1;
                    eprintln!("{}: {error}", task.id);
                }
            }
        }
        place = part.next;
        if place.is_none() {
            break;
        }
    }
    output::list(output, &replanned)?;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

pub(crate) async fn run(loaded: &Loaded, command: TaskCommand, output: OutputFormat) -> Result<ExitCode> {
    let house = match command {
        TaskCommand::Create(_) => House::open(&loaded.config).await?,
        _ => House::open_existing(&loaded.config).await?,
    };
    let (tasks, caller) = (&house.submissions, &House::operator());
    let task = match command {
        TaskCommand::Create(create) => {
            let owner = create.owner.clone();
            with_warnings(tasks.create(caller, &owner, submission(*create, loaded.config.policies())?).await?)
        }
        TaskCommand::Update(update) => {
            with_warnings(tasks.update(caller, update.task, change(*update)).await?)
        }
        TaskCommand::Show { task } => tasks.task(caller, task).await?,
        TaskCommand::Enable { task } => tasks.enable(caller, task).await?,
        TaskCommand::Restart { task } => tasks.restart(caller, task).await?,
        TaskCommand::Replan { task: Some(task), .. } => tasks.replan(caller, task).await?,
        TaskCommand::Replan { task: None, .. } => return replan_all(&house, output).await,
        TaskCommand::Disable { task } => tasks.disable(caller, task).await?,
        TaskCommand::Accept { task, digest } => tasks.accept_item(caller, task, digest).await?,
        TaskCommand::HandOver { task, to } => tasks.hand_over(caller, task, &to).await?,
        TaskCommand::Delete { task } => {
            tasks.delete(caller, task).await?;
            output::one(output, &Deleted { id: task.to_string(), deleted: true })?;
            return Ok(ExitCode::SUCCESS);
        }
        TaskCommand::List { owner, limit } => {
            let filter = TaskFilter { owner, ..TaskFilter::default() };
            let page = Page { offset: 0, limit };
            let rows: Vec<TaskView> =
                tasks.tasks(caller, &filter, page).await?.rows.into_iter().map(TaskView::from).collect();
            output::list(output, &rows)?;
            return Ok(ExitCode::SUCCESS);
        }
        TaskCommand::Run { task, wait } => return run_now(&house, task, wait, output).await,
        TaskCommand::Explain { task, at } => {
            explain::explain(&house, task, at, output).await?;
            return Ok(ExitCode::SUCCESS);
        }
        TaskCommand::Backfill { task, from, to } => {
            let backfill = tasks.backfill(caller, task, EpochMillis(from)..=EpochMillis(to)).await?;
            let rows: Vec<RunView> = backfill.runs.into_iter().map(RunView::from).collect();
            output::list(output, &rows)?;
            for (planned, why) in &backfill.left_out {
                eprintln!("left out: {planned}: {why}");
            }
            if rows.is_empty() && backfill.left_out.is_empty() {
                eprintln!("the task's schedule and dates plan no minute there");
            }
            return Ok(ExitCode::SUCCESS);
        }
    };
    output::one(output, &TaskView::from(task))?;
    Ok(ExitCode::SUCCESS)
}

/// The task; its warnings go to standard error, so that standard output stays JSON.
fn with_warnings(StoredTask { task, warnings }: StoredTask) -> Task {
    for warning in warnings {
        eprintln!("warning: {warning}");
    }
    task
}

async fn run_now(
    house: &House,
    task: isochrone_domain::TaskId,
    wait: bool,
    output: OutputFormat,
) -> Result<ExitCode> {
    let nonce = *isochrone_domain::RunId::random().as_bytes();
    let mut run = house.submissions.run_now(&House::operator(), task, nonce).await?;
    if wait {
        run = wait_for_end(house, run.id).await?;
    }
    let good = !matches!(
        run.status,
        RunStatus::Ended { outcome: Outcome::Failed | Outcome::SubmitFailed | Outcome::Skipped, .. }
    );
    output::one(output, &RunView::from(run))?;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn submission(create: TaskCreate, policies: Policies) -> Result<Submission> {
    let WorkArgs {
        title,
        item,
        task_url,
        parameters,
        start,
        end,
        max_occurrences,
        item_changes,
        allow_unknown_parameters,
        cron,
    } = create.work;
    let CronArgs { minute, hour, day_of_month, month, day_of_week } = cron;
    let given = |name: &str, field: Option<String>| {
        field.ok_or_else(|| anyhow::anyhow!("--{name} is required (five Quartz fields, UTC)"))
    };
    Ok(Submission {
        title: title.unwrap_or_default(),
        kind: create.kind,
        item_id: item,
        task_url,
        parameters,
        cron: CronFields {
            minute: given("minute", minute)?,
            hour: given("hour", hour)?,
            day_of_month: given("day-of-month", day_of_month)?,
            month: given("month", month)?,
            day_of_week: given("day-of-week", day_of_week)?,
        },
        start: start.and_then(|date| date.0).map(EpochMillis),
        end: end.and_then(|date| date.0).map(EpochMillis),
        max_occurrences: max_occurrences.and_then(|most| most.0),
        policies: PolicyChange { item_changes, allow_unknown_parameters, ..PolicyChange::default() }
            .applied_to(&policies),
    })
}

fn change(update: TaskUpdate) -> Change {
    let WorkArgs {
        title,
        item,
        task_url,
        parameters,
        start,
        end,
        max_occurrences,
        item_changes,
        allow_unknown_parameters,
        cron,
    } = update.work;
    Change {
        title,
        kind: None,
        item_id: item,
        task_url,
        parameters,
        minute: cron.minute,
        hour: cron.hour,
        day_of_month: cron.day_of_month,
        month: cron.month,
        day_of_week: cron.day_of_week,
        start: start.map(|date| date.0.map(EpochMillis)),
        end: end.map(|date| date.0.map(EpochMillis)),
        max_occurrences: max_occurrences.map(|most| most.0),
        active: None,
        policies: PolicyChange { item_changes, allow_unknown_parameters, ..PolicyChange::default() },
    }
}
