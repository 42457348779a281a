//! Tasks and runs as JSON documents, with ArcGIS's names.

use isochrone_domain::{
    CronFields, EpochMillis, ItemSnapshot, ItemVersion, LogLine, Run, RunStatus, Task, TaskId, TaskState,
    Trigger,
};
use isochrone_scheduler::StoredTask;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::policies;

/// The task resource. The keys up to `cronSchedule` are there even when they are empty: ArcGIS's Python
/// client reads them without a default.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TaskDocument {
    id: String,
    item_id: Option<String>,
    #[serde(rename = "type")]
    kind: &'static str,
    title: String,
    max_occurrences: i64,
    #[schema(value_type = Object)]
    parameters: Box<RawValue>,
    #[schema(value_type = CronSchedule)]
    cron_schedule: CronFields,
    user_id: String,
    task_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<i64>)]
    start_date: Option<EpochMillis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<i64>)]
    end_date: Option<EpochMillis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<i64>)]
    next_start: Option<EpochMillis>,
    run_interval_seconds: i64,
    #[schema(value_type = i64)]
    created: EpochMillis,
    #[schema(value_type = i64)]
    updated: EpochMillis,
    active: bool,
    task_state: &'static str,
    // From here on Isochrone's own.
    schedule_description: String,
    occurrences: u64,
    consecutive_failures: u32,
    #[serde(flatten)]
    policies: policies::Shown,
    #[serde(skip_serializing_if = "Option::is_none")]
    pinned_item: Option<ItemVersionDocument>,
}

/// A version of an item's data, by what it does.
#[derive(Serialize, ToSchema)]
#[schema(as = ItemVersion)]
pub(crate) struct ItemVersionDocument {
    /// The same as long as kernel and code cells are.
    digest: String,
    /// Since when the item does this.
    since: i64,
    /// Who made it so.
    by: String,
}

impl From<ItemVersion> for ItemVersionDocument {
    fn from(ItemVersion { digest, since, by }: ItemVersion) -> ItemVersionDocument {
        ItemVersionDocument { digest, since: since.0, by }
    }
}

/// An item as a run found it.
#[derive(Serialize, ToSchema)]
#[schema(as = ItemFound)]
pub(crate) struct ItemFoundDocument {
    owner: String,
    modified: i64,
    #[serde(flatten)]
    version: ItemVersionDocument,
}

impl From<ItemSnapshot> for ItemFoundDocument {
    fn from(ItemSnapshot { owner, modified, version }: ItemSnapshot) -> ItemFoundDocument {
        ItemFoundDocument { owner, modified: modified.0, version: version.into() }
    }
}

/// The schedule's fields, as they were sent.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "it describes the domain's type")]
struct CronSchedule {
    minute: String,
    hour: String,
    day_of_month: String,
    month: String,
    day_of_week: String,
}

impl From<Task> for TaskDocument {
    fn from(task: Task) -> TaskDocument {
        let schedule = task.schedule();
        let interval = task.next_fire.and_then(|next| Some((schedule.next(next.0)? - next.0) / 1_000));
        TaskDocument {
            id: task.id.to_string(),
            item_id: task.item_id.map(|id| id.to_string()),
            kind: task.kind.name(),
            max_occurrences: task.max_occurrences.map_or(-1, |max| i64::try_from(max).unwrap_or(i64::MAX)),
            parameters: object_as_sent(task.parameters.clone()),
            start_date: task.start,
            end_date: task.end,
            next_start: task.next_fire,
            run_interval_seconds: interval.unwrap_or(0),
            created: task.created,
            updated: task.updated,
            // As `isActive` set it, which clients send back; `taskState` says whether there is a fire left.
            active: task.state == TaskState::Active,
            task_state: state(&task),
            schedule_description: schedule.describe(),
            occurrences: task.occurrences,
            consecutive_failures: task.consecutive_failures,
            policies: (&task.policies).into(),
            pinned_item: task.pinned.map(Into::into),
            title: task.title,
            cron_schedule: task.cron,
            user_id: task.owner,
            task_url: task.task_url,
        }
    }
}

impl TaskDocument {
    /// What a page calls the task, and its path below the API's root.
    pub(super) fn link(&self) -> (String, String) {
        let label = if self.title.is_empty() { &self.id } else { &self.title };
        (label.clone(), format!("/community/users/{}/tasks/{}", self.user_id, self.id))
    }
}

/// The text as it was sent, so that no number is rounded and no key is moved; `{}` where there is none.
pub(crate) fn object_as_sent(text: Option<String>) -> Box<RawValue> {
    let empty = || RawValue::from_string("{}".to_owned()).expect("an empty object is JSON");
    // The domain has read it as an object before it was stored.
    text.and_then(|text| RawValue::from_string(text).ok()).unwrap_or_else(empty)
}

pub(crate) fn state(task: &Task) -> &'static str {
    match task.state {
        TaskState::Active if task.next_fire.is_none() => "completed",
        TaskState::Active => "active",
        TaskState::Paused => "paused",
        TaskState::Disabled => "disabled",
    }
}

/// The run resource. `result` is there even when it is empty.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunDocument {
    run_id: String,
    task_id: String,
    status: &'static str,
    result: String,
    #[schema(value_type = i64)]
    created: EpochMillis,
    #[schema(value_type = i64)]
    modified: EpochMillis,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<i64>)]
    start_time: Option<EpochMillis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<i64>)]
    end_time: Option<EpochMillis>,
    url: String,
    // From here on Isochrone's own.
    #[schema(value_type = i64)]
    planned: EpochMillis,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<i64>)]
    due: Option<EpochMillis>,
    reason: &'static str,
    reason_text: &'static str,
    attempt: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    requested_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancel_requested_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<ProgressDocument>,
    artifacts: Vec<ArtifactDocument>,
    #[serde(skip_serializing_if = "Option::is_none")]
    item: Option<ItemFoundDocument>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<TaskDocument>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ProgressDocument {
    percent: Option<u8>,
    message: String,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ArtifactDocument {
    name: String,
    content_type: String,
    size: u64,
    url: String,
}

impl RunDocument {
    /// The run whose resource is at `url`.
    pub(super) fn new(run: Run, url: String) -> RunDocument {
        let (reason, ended, due) = match run.status {
            RunStatus::Ended { reason, at, .. } => (reason, Some(at), None),
            RunStatus::Queued { due } => (run.fired, None, Some(due)),
            RunStatus::Waiting | RunStatus::Executing { .. } => (run.fired, None, None),
        };
        let artifacts = run.artifacts.into_iter().map(|artifact| ArtifactDocument {
            url: format!("{url}/artifacts/{}", super::artifacts::segment(&artifact.name)),
            name: artifact.name,
            content_type: artifact.content_type,
            size: artifact.size,
        });
        RunDocument {
            run_id: run.id.to_string(),
            task_id: run.task.to_string(),
            status: run.status.wire(),
            result: run.result.unwrap_or_default(),
            created: run.created,
            modified: ended.or(run.started).unwrap_or(run.created),
            start_time: run.started,
            end_time: ended,
            planned: run.planned,
            due,
            reason: reason.code(),
            reason_text: reason.sentence(),
            attempt: run.attempt,
            requested_by: match run.trigger {
                Trigger::Request { by } => Some(by),
                Trigger::Schedule { .. } => None,
            },
            cancel_requested_by: run.cancel.map(|cancel| cancel.by),
            progress: run
                .progress
                .map(|progress| ProgressDocument { percent: progress.percent, message: progress.message }),
            artifacts: artifacts.collect(),
            item: run.item.map(Into::into),
            url,
            task: None,
        }
    }

    /// Beside the run, its task.
    pub(super) fn with_task(mut self, task: Task) -> RunDocument {
        self.task = Some(task.into());
        self
    }
}

/// A change was made.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Changed {
    success: bool,
    task_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_id: Option<String>,
    /// Isochrone's own: what could not be checked of the task, for people.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

impl Changed {
    /// To a task.
    pub(super) fn task(id: TaskId) -> Changed {
        Changed { success: true, task_id: id.to_string(), run_id: None, warnings: Vec::new() }
    }

    /// To a task as it was sent.
    pub(super) fn stored(StoredTask { task, warnings }: StoredTask) -> Changed {
        Changed { warnings, ..Changed::task(task.id) }
    }

    /// To a run.
    pub(super) fn run(run: &Run) -> Changed {
        Changed { run_id: Some(run.id.to_string()), ..Changed::task(run.task) }
    }
}

/// A line of a run's log.
#[derive(Serialize, ToSchema)]
pub(crate) struct LineDocument {
    #[schema(value_type = i64)]
    time: EpochMillis,
    #[schema(value_type = String)]
    stream: isochrone_domain::LogStream,
    text: String,
}

impl From<LogLine> for LineDocument {
    fn from(line: LogLine) -> LineDocument {
        LineDocument { time: line.at, stream: line.stream, text: line.text }
    }
}

/// The path of a task below the API's root.
pub(super) fn task_path(owner: &str, task: TaskId) -> String {
    format!("/community/users/{owner}/tasks/{task}")
}
