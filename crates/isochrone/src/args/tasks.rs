//! What is done to tasks and their runs.

use clap::Subcommand;
use isochrone_domain::{ItemChanges, ItemId, RunId, TaskId, TaskType};

#[derive(Debug, Subcommand)]
pub(crate) enum TaskCommand {
    /// Make a task.
    Create(Box<TaskCreate>),
    /// List tasks.
    List {
        /// Of this owner only.
        #[arg(long)]
        owner: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 100)]
        limit: u64,
    },
    /// Show a task.
    Show { task: TaskId },
    /// Change a task; what is not given stays.
    Update(Box<TaskUpdate>),
    /// Let a task plan fires again.
    Enable { task: TaskId },
    /// Let a task plan fires again, whatever ended that; its failures are forgotten.
    Restart { task: TaskId },
    /// Plan a task's next fire anew, from now on, where a clock that was wrong has moved it.
    Replan {
        #[arg(required_unless_present = "all")]
        task: Option<TaskId>,
        /// Those of everybody.
        #[arg(long, conflicts_with = "task")]
        all: bool,
    },
    /// Make a task plan no fires.
    Disable { task: TaskId },
    /// Agree to what a task's item does now, where it is somebody else's and was changed.
    Accept {
        task: TaskId,
        /// Only if the item still has this digest, as `run show` tells it.
        #[arg(long)]
        digest: Option<String>,
    },
    /// Make a task another user's.
    HandOver {
        task: TaskId,
        /// Whose it becomes.
        #[arg(long, value_name = "USER")]
        to: String,
    },
    /// Delete a task and its runs.
    Delete { task: TaskId },
    /// Run a task now.
    Run {
        task: TaskId,
        /// Wait until the run has ended; the exit code tells how.
        #[arg(long)]
        wait: bool,
    },
    /// Tell when a task fires next, and why its last fires ended as they did.
    Explain {
        task: TaskId,
        /// As if it were this moment (epoch ms).
        #[arg(long, value_name = "MS")]
        at: Option<i64>,
    },
    /// Make runs for planned minutes of the past.
    Backfill {
        task: TaskId,
        /// From this moment on (epoch ms).
        #[arg(long, value_name = "MS")]
        from: i64,
        /// Up to and including this moment (epoch ms).
        #[arg(long, value_name = "MS")]
        to: i64,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct CronArgs {
    #[arg(long)]
    pub(crate) minute: Option<String>,
    #[arg(long)]
    pub(crate) hour: Option<String>,
    #[arg(long)]
    pub(crate) day_of_month: Option<String>,
    #[arg(long)]
    pub(crate) month: Option<String>,
    #[arg(long)]
    pub(crate) day_of_week: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct WorkArgs {
    #[arg(long)]
    pub(crate) title: Option<String>,
    /// The item that the task works on.
    #[arg(long, value_name = "ID")]
    pub(crate) item: Option<ItemId>,
    /// A geoprocessing task's URL.
    #[arg(long, value_name = "URL")]
    pub(crate) task_url: Option<String>,
    /// A JSON object.
    #[arg(long, value_name = "JSON")]
    pub(crate) parameters: Option<String>,
    /// No fire before this moment (epoch ms); none: from the beginning.
    #[arg(long, value_name = "MS|none", value_parser = date)]
    pub(crate) start: Option<Date>,
    /// No fire after this moment (epoch ms); none: without an end.
    #[arg(long, value_name = "MS|none", value_parser = date)]
    pub(crate) end: Option<Date>,
    /// How many runs the task may make; none: any number.
    #[arg(long, value_name = "N|none", value_parser = most)]
    pub(crate) max_occurrences: Option<Most>,
    /// What a run does where somebody else changed the item: refuse it, or follow.
    #[arg(long, value_name = "pinned|follow", value_parser = item_changes)]
    pub(crate) item_changes: Option<ItemChanges>,
    /// Whether parameters are passed on that what runs does not declare.
    #[arg(long, value_name = "true|false")]
    pub(crate) allow_unknown_parameters: Option<bool>,
    #[command(flatten)]
    pub(crate) cron: CronArgs,
}

/// A moment in milliseconds since 1970 UTC, or none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Date(pub(crate) Option<i64>);

fn date(text: &str) -> Result<Date, &'static str> {
    match text {
        "none" => Ok(Date(None)),
        text => {
            text.parse().map(|date| Date(Some(date))).map_err(|_| "expected milliseconds since 1970, or none")
        }
    }
}

/// A limit, or none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Most(pub(crate) Option<u64>);

fn most(text: &str) -> Result<Most, &'static str> {
    match text {
        "none" => Ok(Most(None)),
        text => text.parse().map(|most| Most(Some(most))).map_err(|_| "expected a whole number, or none"),
    }
}

fn item_changes(text: &str) -> Result<ItemChanges, &'static str> {
    match text {
        "pinned" => Ok(ItemChanges::Pinned),
        "follow" => Ok(ItemChanges::Follow),
        _ => Err("expected pinned or follow"),
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct TaskCreate {
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) kind: TaskType,
    /// Whose task it is.
    #[arg(long, default_value = "admin")]
    pub(crate) owner: String,
    #[command(flatten)]
    pub(crate) work: WorkArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct TaskUpdate {
    pub(crate) task: TaskId,
    #[command(flatten)]
    pub(crate) work: WorkArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunCommand {
    /// List runs, the latest planned first.
    List {
        /// Of this task only.
        #[arg(long)]
        task: Option<TaskId>,
        /// Of this owner's tasks only.
        #[arg(long)]
        owner: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 30)]
        limit: u64,
    },
    /// Show a run.
    Show { run: RunId },
    /// Print a run's log; as JSON, a line each.
    Logs {
        run: RunId,
        /// Go on until the run has ended.
        #[arg(long, short)]
        follow: bool,
    },
    /// Ask a run to end.
    Cancel { run: RunId },
    /// Try an ended run again.
    Retry { run: RunId },
}
