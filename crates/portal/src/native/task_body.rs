//! Tasks as they are sent. What is sent becomes the sharing API's parameters, so that both have the same rules.

use isochrone_domain::{Change, Policies, Submission, TaskType};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use utoipa::openapi::schema::{self, ObjectBuilder};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::problem::Problem;
use crate::operations::TYPE_NAMES;
use crate::request::Parameters;
use crate::tasks::fields;

/// How the description has a task type.
pub(super) struct Type;

impl PartialSchema for Type {
    fn schema() -> RefOr<Schema> {
        let names = ObjectBuilder::new().schema_type(schema::Type::String).enum_values(Some(TYPE_NAMES));
        names.description(Some("What kind of work a task does.")).into()
    }
}

impl ToSchema for Type {}

/// A new task. Moments are milliseconds since 1970 UTC.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct NewTask {
    /// Whose task it is; not given: the caller's.
    pub(super) owner: Option<String>,
    #[serde(rename = "type")]
    #[schema(value_type = Type)]
    kind: TaskType,
    title: Option<String>,
    /// 32 hex digits; required but for ExecuteReport.
    item_id: Option<String>,
    /// Of a geoprocessing task; required for GPService.
    task_url: Option<String>,
    #[schema(value_type = Option<Object>)]
    parameters: Option<Box<RawValue>>,
    schedule: NewSchedule,
    start_date: Option<i64>,
    end_date: Option<i64>,
    /// At least 1; not given: any number.
    max_occurrences: Option<i64>,
    /// runLatest, runAll, runAll:<most runs>, skip or skip:<grace seconds>.
    misfire_policy: Option<String>,
    /// skip, queue or allow.
    overlap_policy: Option<String>,
    /// 0 to 100.
    max_retries: Option<i64>,
    /// 0 to 3600.
    retry_backoff_seconds: Option<i64>,
    /// 1 to 2592000, or -1 for the executor's own.
    timeout_seconds: Option<i64>,
    /// atLeastOnce or atMostOnce.
    crash_policy: Option<String>,
    /// 1 to 1000000, or -1 for "never disable".
    max_consecutive_failures: Option<i64>,
    /// pinned or follow: what a run does where somebody else changed the item.
    item_changes: Option<String>,
    /// Whether parameters are passed on that what runs does not declare, or declares otherwise.
    allow_unknown_parameters: Option<bool>,
}

/// Quartz's five fields, in UTC.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewSchedule {
    #[schema(example = "0")]
    minute: String,
    #[schema(example = "6")]
    hour: String,
    #[schema(example = "*")]
    day_of_month: String,
    #[schema(example = "*")]
    month: String,
    #[schema(example = "?")]
    day_of_week: String,
}

/// What changes of a task (a JSON merge patch): what is not given stays; dates and limit go away by null.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct TaskPatch {
    #[serde(rename = "type")]
    #[schema(value_type = Option<Type>)]
    kind: Option<TaskType>,
    title: Option<String>,
    item_id: Option<String>,
    task_url: Option<String>,
    #[schema(value_type = Option<Object>)]
    parameters: Option<Box<RawValue>>,
    schedule: Option<SchedulePatch>,
    #[serde(default)]
    #[schema(value_type = Option<i64>)]
    start_date: Patched,
    #[serde(default)]
    #[schema(value_type = Option<i64>)]
    end_date: Patched,
    #[serde(default)]
    #[schema(value_type = Option<i64>)]
    max_occurrences: Patched,
    /// Whether it plans fires.
    active: Option<bool>,
    misfire_policy: Option<String>,
    overlap_policy: Option<String>,
    max_retries: Option<i64>,
    retry_backoff_seconds: Option<i64>,
    timeout_seconds: Option<i64>,
    crash_policy: Option<String>,
    max_consecutive_failures: Option<i64>,
    item_changes: Option<String>,
    allow_unknown_parameters: Option<bool>,
}

/// What changes of a schedule.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SchedulePatch {
    minute: Option<String>,
    hour: Option<String>,
    day_of_month: Option<String>,
    month: Option<String>,
    day_of_week: Option<String>,
}

/// What becomes of something that need not be there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Patched {
    /// It was not given.
    #[default]
    Stays,
    /// It was null.
    Goes,
    Becomes(i64),
}

impl Patched {
    fn number(self) -> Option<i64> {
        match self {
            Patched::Becomes(number) => Some(number),
            Patched::Stays | Patched::Goes => None,
        }
    }
}

impl<'de> Deserialize<'de> for Patched {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Patched, D::Error> {
        Option::deserialize(deserializer).map(|given| given.map_or(Patched::Goes, Patched::Becomes))
    }
}

fn flag(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

/// What was sent, as the sharing API's parameters.
#[derive(Default)]
struct Sending(Parameters);

impl Sending {
    fn text(&mut self, name: &'static str, value: Option<&str>) -> Result<(), Problem> {
        match value {
            None => Ok(()),
            Some("") => Err(Problem::field(name, "is empty")),
            Some(value) if value.contains('\0') => Err(Problem::field(name, "has a NUL character")),
            Some(value) => Ok(self.0.add(name.to_owned(), value.to_owned())?),
        }
    }

    fn texts(&mut self, texts: &[(&'static str, Option<&str>)]) -> Result<(), Problem> {
        texts.iter().try_for_each(|(name, value)| self.text(name, *value))
    }

    fn numbers(&mut self, numbers: &[(&'static str, Option<i64>)]) -> Result<(), Problem> {
        let text = |number: i64| number.to_string();
        numbers.iter().try_for_each(|(name, value)| self.text(name, value.map(text).as_deref()))
    }
}

impl NewTask {
    /// What is asked for. `policies`: of a task that says nothing of its own.
    pub(super) fn submission(&self, policies: &Policies) -> Result<Submission, Problem> {
        let NewSchedule { minute, hour, day_of_month, month, day_of_week } = &self.schedule;
        let mut sending = Sending::default();
        sending.texts(&[
            ("type", Some(self.kind.name())),
            ("title", self.title.as_deref().filter(|title| !title.is_empty())),
            ("itemId", self.item_id.as_deref()),
            ("taskURL", self.task_url.as_deref()),
            ("parameters", self.parameters.as_ref().map(|json| json.get())),
            ("minute", Some(minute)),
            ("hour", Some(hour)),
            ("dayOfMonth", Some(day_of_month)),
            ("month", Some(month)),
            ("dayOfWeek", Some(day_of_week)),
            ("misfirePolicy", self.misfire_policy.as_deref()),
            ("overlapPolicy", self.overlap_policy.as_deref()),
            ("crashPolicy", self.crash_policy.as_deref()),
            ("itemChanges", self.item_changes.as_deref()),
            ("allowUnknownParameters", self.allow_unknown_parameters.map(flag)),
        ])?;
        sending.numbers(&[
            ("startDate", self.start_date),
            ("endDate", self.end_date),
            ("maxOccurrences", self.max_occurrences),
            ("maxRetries", self.max_retries),
            ("retryBackoffSeconds", self.retry_backoff_seconds),
            ("timeoutSeconds", self.timeout_seconds),
            ("maxConsecutiveFailures", self.max_consecutive_failures),
        ])?;
        Ok(fields::submission(&sending.0, policies)?)
    }
}

impl TaskPatch {
    /// What changes.
    pub(super) fn change(&self) -> Result<Change, Problem> {
        let none = SchedulePatch::default();
        let SchedulePatch { minute, hour, day_of_month, month, day_of_week } =
            self.schedule.as_ref().unwrap_or(&none);
        let mut sending = Sending::default();
        sending.texts(&[
            ("type", self.kind.map(TaskType::name)),
            ("itemId", self.item_id.as_deref()),
            ("taskURL", self.task_url.as_deref()),
            ("parameters", self.parameters.as_ref().map(|json| json.get())),
            ("minute", minute.as_deref()),
            ("hour", hour.as_deref()),
            ("dayOfMonth", day_of_month.as_deref()),
            ("month", month.as_deref()),
            ("dayOfWeek", day_of_week.as_deref()),
            ("isActive", self.active.map(flag)),
            ("misfirePolicy", self.misfire_policy.as_deref()),
            ("overlapPolicy", self.overlap_policy.as_deref()),
            ("crashPolicy", self.crash_policy.as_deref()),
            ("itemChanges", self.item_changes.as_deref()),
            ("allowUnknownParameters", self.allow_unknown_parameters.map(flag)),
        ])?;
        sending.numbers(&[
            ("startDate", self.start_date.number()),
            ("endDate", self.end_date.number()),
            ("maxOccurrences", self.max_occurrences.number()),
            ("maxRetries", self.max_retries),
            ("retryBackoffSeconds", self.retry_backoff_seconds),
            ("timeoutSeconds", self.timeout_seconds),
            ("maxConsecutiveFailures", self.max_consecutive_failures),
        ])?;
        let mut change = fields::change(&sending.0)?;
        change.title.clone_from(&self.title);
        if self.start_date == Patched::Goes {
            change.start = Some(None);
        }
        if self.end_date == Patched::Goes {
            change.end = Some(None);
        }
        if self.max_occurrences == Patched::Goes {
            change.max_occurrences = Some(None);
        }
        Ok(change)
    }
}
