//! Tasks, runs and what belongs to them, as JSON.

use std::collections::BTreeMap;

use isochrone_domain::{
    CronFields, EpochMillis, ItemId, LogLine, LogStream, Role, Run, RunStatus, Task, TaskType, Trigger, User,
};
use isochrone_scheduler::StoredTask;
use isochrone_store::Present;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::task_body::Type;
use crate::tasks::{policies, wire};

/// A scheduled task.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct TaskView {
    /// 32 hex digits.
    id: String,
    /// The user whose task it is.
    owner: String,
    #[serde(rename = "type")]
    #[schema(value_type = Type)]
    kind: TaskType,
    title: String,
    item_id: Option<String>,
    task_url: Option<String>,
    /// As they were sent.
    #[schema(value_type = Option<Object>)]
    parameters: Option<Box<RawValue>>,
    schedule: ScheduleView,
    start_date: Option<i64>,
    end_date: Option<i64>,
    /// How many runs the task may make; null: any number.
    max_occurrences: Option<u64>,
    /// How many it has made.
    occurrences: u64,
    /// active, paused (by somebody), disabled (too many failures) or completed (no fire is left).
    state: &'static str,
    /// The next planned moment.
    next_start: Option<i64>,
    /// Failed runs since the last success.
    consecutive_failures: u32,
    created: i64,
    updated: i64,
    #[serde(flatten)]
    policies: policies::Shown,
    /// What the owner agreed to run of somebody else's item; null: nothing is pinned.
    pinned_item: Option<wire::ItemVersionDocument>,
    /// What could not be checked as the task was made or changed just now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// Quartz's five fields, in UTC.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ScheduleView {
    minute: String,
    hour: String,
    day_of_month: String,
    month: String,
    day_of_week: String,
    /// In words.
    description: String,
}

impl From<Task> for TaskView {
    fn from(task: Task) -> TaskView {
        let description = task.schedule().describe();
        let state = wire::state(&task);
        let CronFields { minute, hour, day_of_month, month, day_of_week } = task.cron;
        TaskView {
            id: task.id.to_string(),
            owner: task.owner,
            kind: task.kind,
            title: task.title,
            item_id: task.item_id.map(|id: ItemId| id.to_string()),
            task_url: task.task_url,
            parameters: task.parameters.map(|text| wire::object_as_sent(Some(text))),
            schedule: ScheduleView { minute, hour, day_of_month, month, day_of_week, description },
            start_date: ms(task.start),
            end_date: ms(task.end),
            max_occurrences: task.max_occurrences,
            occurrences: task.occurrences,
            state,
            next_start: ms(task.next_fire),
            consecutive_failures: task.consecutive_failures,
            created: task.created.0,
            updated: task.updated.0,
            policies: (&task.policies).into(),
            pinned_item: task.pinned.map(Into::into),
            warnings: Vec::new(),
        }
    }
}

impl From<StoredTask> for TaskView {
    fn from(StoredTask { task, warnings }: StoredTask) -> TaskView {
        TaskView { warnings, ..task.into() }
    }
}

/// What a fire made.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RunView {
    /// 32 hex digits.
    id: String,
    task_id: String,
    #[serde(rename = "type")]
    #[schema(value_type = Type)]
    kind: TaskType,
    /// The minute that it is for.
    planned: i64,
    /// waiting, queued, executing, succeeded, failed, skipped or submitfailed.
    pub(super) status: &'static str,
    /// Why it is so, as a code.
    reason: &'static str,
    /// The same in words.
    reason_text: &'static str,
    /// What the work said of itself.
    result: Option<String>,
    /// How many tries were begun.
    attempt: u32,
    created: i64,
    started: Option<i64>,
    ended: Option<i64>,
    /// From when on a worker may take it.
    due: Option<i64>,
    progress: Option<ProgressView>,
    artifacts: Vec<ArtifactView>,
    /// The item as the run found it.
    item: Option<wire::ItemFoundDocument>,
    /// Who asked for it; null: the schedule.
    requested_by: Option<String>,
    /// Who wants it to end.
    cancel_requested_by: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct ProgressView {
    /// 0 to 100.
    percent: Option<u8>,
    message: String,
}

/// Something that a run left.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ArtifactView {
    name: String,
    content_type: String,
    /// In bytes.
    size: u64,
}

impl From<Run> for RunView {
    fn from(run: Run) -> RunView {
        let (status, reason, ended, due) = match run.status {
            RunStatus::Waiting => ("waiting", run.fired, None, None),
            RunStatus::Queued { due } => ("queued", run.fired, None, Some(due)),
            RunStatus::Executing { .. } => ("executing", run.fired, None, None),
            RunStatus::Ended { outcome, reason, at } => (outcome.name(), reason, Some(at), None),
        };
        RunView {
            id: run.id.to_string(),
            task_id: run.task.to_string(),
            kind: run.kind,
            planned: run.planned.0,
            status,
            reason: reason.code(),
            reason_text: reason.sentence(),
            result: run.result,
            attempt: run.attempt,
            created: run.created.0,
            started: ms(run.started),
            ended: ms(ended),
            due: ms(due),
            progress: run.progress.map(|at| ProgressView { percent: at.percent, message: at.message }),
            artifacts: run.artifacts.into_iter().map(ArtifactView::from).collect(),
            item: run.item.map(Into::into),
            requested_by: match run.trigger {
                Trigger::Request { by } => Some(by),
                Trigger::Schedule { .. } => None,
            },
            cancel_requested_by: run.cancel.map(|cancel| cancel.by),
        }
    }
}

impl From<isochrone_domain::Artifact> for ArtifactView {
    fn from(artifact: isochrone_domain::Artifact) -> ArtifactView {
        let isochrone_domain::Artifact { name, content_type, size, .. } = artifact;
        ArtifactView { name, content_type, size }
    }
}

/// A line of a run's log.
#[derive(Serialize, ToSchema)]
pub(super) struct LineView {
    time: i64,
    /// stdout, stderr or system.
    #[schema(value_type = String)]
    stream: LogStream,
    text: String,
}

impl From<LogLine> for LineView {
    fn from(line: LogLine) -> LineView {
        LineView { time: line.at.0, stream: line.stream, text: line.text }
    }
}

/// A process of the fleet.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct WorkerView {
    name: String,
    /// scheduler, worker, portal.
    #[schema(value_type = Vec<String>)]
    roles: Vec<isochrone_store::Role>,
    version: String,
    host: String,
    pid: u32,
    since: i64,
    /// When it was heard of last.
    seen: i64,
    /// Whether it fires what is due.
    leads: bool,
    /// Runs that it can carry at a time, by type.
    #[schema(value_type = BTreeMap<String, u64>)]
    slots: BTreeMap<TaskType, u64>,
    /// Runs that it carries.
    runs: Vec<String>,
}

impl From<Present> for WorkerView {
    fn from(Present { member, seen, leads }: Present) -> WorkerView {
        WorkerView {
            name: member.name,
            roles: member.roles,
            version: member.version,
            host: member.host,
            pid: member.pid,
            since: member.since.0,
            seen: seen.0,
            leads,
            slots: member.slots,
            runs: member.runs.iter().map(ToString::to_string).collect(),
        }
    }
}

/// Somebody who signs in.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct UserView {
    name: String,
    /// admin, publisher or viewer.
    #[schema(value_type = String)]
    role: Role,
    created: i64,
    last_login: Option<i64>,
    /// Since when nobody signs in as the user.
    disabled: Option<i64>,
}

impl From<User> for UserView {
    fn from(user: User) -> UserView {
        UserView {
            name: user.name,
            role: user.role,
            created: user.created.0,
            last_login: ms(user.last_login),
            disabled: ms(user.disabled),
        }
    }
}

fn ms(moment: Option<EpochMillis>) -> Option<i64> {
    moment.map(|at| at.0)
}
