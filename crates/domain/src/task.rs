//! A task: what createTask makes.

use std::fmt;
use std::str::FromStr;

use isochrone_quartz::{Fields, ParseError, Schedule};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{EpochMillis, ItemId, ItemVersion, Policies, Record, TaskId, UnknownFields};

/// What kind of work a task does. The names are ArcGIS's, to the letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TaskType {
    /// Runs a notebook.
    ExecuteNotebook,
    /// Refreshes an Insights workbook's shared page.
    UpdateInsightsWorkbook,
    /// Rebuilds a scene layer's cache.
    ExecuteSceneCook,
    /// Creates jobs from a Workflow Manager template.
    ExecuteWorkflowManager,
    /// Writes an administrative report.
    ExecuteReport,
    /// Runs an asynchronous geoprocessing tool.
    GPService,
    /// ArcGIS Online's data pipelines: its Python client may send it, Enterprise has none.
    RunDataPipeline,
}

impl TaskType {
    /// Every type.
    pub const ALL: [TaskType; 7] = [
        TaskType::ExecuteNotebook,
        TaskType::UpdateInsightsWorkbook,
        TaskType::ExecuteSceneCook,
        TaskType::ExecuteWorkflowManager,
        TaskType::ExecuteReport,
        TaskType::GPService,
        TaskType::RunDataPipeline,
    ];

    /// Whether createTask wants `parameters` for it.
    pub fn needs_parameters(self) -> bool {
        matches!(self, TaskType::ExecuteSceneCook | TaskType::ExecuteReport | TaskType::GPService)
    }

    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            TaskType::ExecuteNotebook => "ExecuteNotebook",
            TaskType::UpdateInsightsWorkbook => "UpdateInsightsWorkbook",
            TaskType::ExecuteSceneCook => "ExecuteSceneCook",
            TaskType::ExecuteWorkflowManager => "ExecuteWorkflowManager",
            TaskType::ExecuteReport => "ExecuteReport",
            TaskType::GPService => "GPService",
            TaskType::RunDataPipeline => "RunDataPipeline",
        }
    }
}

impl fmt::Display for TaskType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No type has this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no task type has this name")]
pub struct UnknownTaskType;

impl FromStr for TaskType {
    type Err = UnknownTaskType;
    fn from_str(text: &str) -> Result<Self, UnknownTaskType> {
        TaskType::ALL.into_iter().find(|kind| kind.name() == text).ok_or(UnknownTaskType)
    }
}

/// The five fields of a schedule, as their sender wrote them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CronFields {
    /// 0-59.
    pub minute: String,
    /// 0-23, UTC.
    pub hour: String,
    /// 1-31 or `?`.
    pub day_of_month: String,
    /// 1-12.
    pub month: String,
    /// 1-7 (1 is Sunday) or `?`.
    pub day_of_week: String,
}

impl CronFields {
    /// The fields as the Quartz engine takes them.
    pub fn as_fields(&self) -> Fields<'_> {
        Fields {
            minute: &self.minute,
            hour: &self.hour,
            day_of_month: &self.day_of_month,
            month: &self.month,
            day_of_week: &self.day_of_week,
        }
    }

    /// The schedule, with the day fields repaired where a client of ArcGIS sent `* *`.
    /// `strict`: refuse what Quartz accepts by accident.
    pub fn compile(&self, strict: bool) -> Result<Schedule, ParseError> {
        let fields = isochrone_quartz::repair_day_fields(self.as_fields());
        if strict { Schedule::parse_strict(&fields) } else { Schedule::parse(&fields) }
    }
}

/// Counts the schedules that a task has had. An old generation can't fire any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u32);

impl Generation {
    /// One that no task of the same id had before, where nothing is known of an earlier one but that its fires may stand
    /// in the ledger: seconds since 1970. A task that is changed gets the next number, and so never comes near.
    pub fn never_used(now: EpochMillis) -> Generation {
        Generation(u32::try_from(now.0.div_euclid(1_000)).unwrap_or(u32::MAX / 2))
    }

    /// The next one.
    #[must_use]
    pub fn next(self) -> Generation {
        Generation(self.0.saturating_add(1))
    }
}

/// Whether a task plans fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskState {
    /// It does, as long as its schedule has any left.
    Active,
    /// Its owner disabled it.
    Paused,
    /// Too many runs in a row failed.
    Disabled,
}

/// What createTask makes: type, schedule, parameters, owner, limits, policies.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// Names the task for its whole life.
    pub id: TaskId,
    /// The user whose task it is.
    pub owner: String,
    /// For people; may be empty.
    pub title: String,
    /// What kind of work.
    pub kind: TaskType,
    /// The item that it works on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item_id: Option<ItemId>,
    /// A geoprocessing task's URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_url: Option<String>,
    /// A JSON object, text as it was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<String>,
    /// The schedule as it was written.
    pub cron: CronFields,
    /// No fire before this moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<EpochMillis>,
    /// No fire after this moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<EpochMillis>,
    /// How many runs the task may make.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_occurrences: Option<u64>,
    /// How many it has made.
    pub occurrences: u64,
    /// The owner's choices.
    pub policies: Policies,
    /// What the owner agreed to run of somebody else's item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<ItemVersion>,
    /// Which of the task's schedules this is.
    pub generation: Generation,
    /// Whether it plans fires.
    pub state: TaskState,
    /// The next planned minute. None: no fire is left, or the task is not active.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_fire: Option<EpochMillis>,
    /// The last planned minute that was decided, in any generation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_fire: Option<EpochMillis>,
    /// Failed runs since the last success.
    pub consecutive_failures: u32,
    /// When it was created.
    pub created: EpochMillis,
    /// When its owner last changed it.
    pub updated: EpochMillis,
    /// A digest of the request that made it, where its sender may send it again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// Grows with each write: a writer that read an older version is refused.
    pub version: u64,
    /// What a newer version stored with it.
    #[serde(skip)]
    pub unknown: UnknownFields,
}

impl Record for Task {
    fn unknown(&self) -> &UnknownFields {
        &self.unknown
    }

    fn unknown_mut(&mut self) -> &mut UnknownFields {
        &mut self.unknown
    }
}

/// What a secret is in a debug text.
pub(crate) fn hidden(secret: Option<&String>) -> Option<String> {
    secret.map(|_| "(hidden)".to_owned())
}

/// Without what may be secret.
impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = Task {
            parameters: hidden(self.parameters.as_ref()),
            task_url: hidden(self.task_url.as_ref()),
            request: hidden(self.request.as_ref()),
            ..self.clone()
        };
        write!(f, "Task {}", serde_json::to_string(&shown).map_err(|_| fmt::Error)?)
    }
}

impl Task {
    /// The compiled schedule.
    ///
    /// # Panics
    /// Never for a task that `accept` or `edit` made: they refuse what does not parse.
    pub fn schedule(&self) -> Schedule {
        self.cron.compile(false).expect("a stored task's schedule was parsed before it was stored")
    }

    /// Names what somebody can change of the task. It is another one after each change, and the same however
    /// often the task fires.
    pub fn edition(&self) -> String {
        let fired = Task {
            occurrences: 0,
            next_fire: None,
            last_fire: None,
            consecutive_failures: 0,
            version: 0,
            ..self.clone()
        };
        let written = serde_json::to_vec(&fired).expect("a task has only text as keys");
        hex::encode(&Sha256::digest(written)[..16])
    }

    /// Whether it counts among its owner's active tasks: it is enabled, and plans a fire or has a run that has not
    /// ended. `unfinished`: how many such runs it has.
    pub fn is_active(&self, unfinished: u64) -> bool {
        self.state == TaskState::Active && (self.next_fire.is_some() || unfinished > 0)
    }

    /// How many further runs the limit allows.
    pub fn occurrences_left(&self) -> u64 {
        self.max_occurrences.map_or(u64::MAX, |max| max.saturating_sub(self.occurrences))
    }
}

/// A URL without the parts that may hold a token or a password: user, query and fragment. For logs and reports.
pub fn public_url(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = rest.split_at(rest.find(['/', '\\']).unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_what_may_be_secret() {
        for (url, shown) in [
            ("https://host/a/b", "https://host/a/b"),
            ("https://ann:pw@host:8443/a?token=x#y", "https://host:8443/a"),
            ("https://a@b:c@host", "https://host"),
            ("https://host#token=x", "https://host"),
            ("https://host/a@b?c@d", "https://host/a@b"),
            ("https://ann:pw@host\\a", "https://host\\a"),
        ] {
            assert_eq!(public_url(url), shown);
        }
    }
}
