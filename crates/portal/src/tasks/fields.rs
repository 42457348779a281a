//! The parameters of createTask and update as the domain's types.

use isochrone_domain::{Change, CronFields, EpochMillis, Policies, Submission, TaskType};

use super::policies;
use crate::answer::Failure;
use crate::request::{Limit, Parameters};

/// What createTask's parameters ask for. What the domain checks (schedule, dates, JSON, what a type
/// requires) is checked there.
pub(crate) fn submission(parameters: &Parameters, policies: &Policies) -> Result<Submission, Failure> {
    rightly_spelt(parameters, &OPTIONAL)?;
    // A required one that is missing is told of as missing, with the same hint.
    let there: Vec<_> = REQUIRED.into_iter().filter(|name| parameters.given(name).is_some()).collect();
    rightly_spelt(parameters, &there)?;
    let field = |name| parameters.required(name).map(str::to_owned);
    Ok(Submission {
        title: text(parameters, "title").unwrap_or_default(),
        kind: kind(parameters)?.ok_or_else(|| Failure::parameter("type", "is required"))?,
        item_id: parameters.id("itemId")?,
        task_url: text(parameters, "taskURL"),
        parameters: text(parameters, "parameters"),
        cron: CronFields {
            minute: field("minute")?,
            hour: field("hour")?,
            day_of_month: field("dayOfMonth")?,
            month: field("month")?,
            day_of_week: field("dayOfWeek")?,
        },
        start: date(parameters, "startDate")?,
        end: date(parameters, "endDate")?,
        max_occurrences: max_occurrences(parameters)?.and_then(Limit::most),
        policies: policies::read(parameters)?.applied_to(policies),
    })
}

/// What update's parameters ask for; what is absent or empty stays.
pub(crate) fn change(parameters: &Parameters) -> Result<Change, Failure> {
    rightly_spelt(parameters, &OPTIONAL)?;
    rightly_spelt(parameters, &REQUIRED)?;
    Ok(Change {
        title: text(parameters, "title"),
        kind: kind(parameters)?,
        item_id: parameters.id("itemId")?,
        task_url: text(parameters, "taskURL"),
        parameters: text(parameters, "parameters"),
        minute: text(parameters, "minute"),
        hour: text(parameters, "hour"),
        day_of_month: text(parameters, "dayOfMonth"),
        month: text(parameters, "month"),
        day_of_week: text(parameters, "dayOfWeek"),
        start: if is_taken_away(parameters, "startDate") {
            Some(None)
        } else {
            date(parameters, "startDate")?.map(Some)
        },
        end: if is_taken_away(parameters, "endDate") {
            Some(None)
        } else {
            date(parameters, "endDate")?.map(Some)
        },
        max_occurrences: max_occurrences(parameters)?.map(Limit::most),
        active: parameters.flag("isActive")?,
        policies: policies::read(parameters)?,
    })
}

/// What createTask may be sent.
const OPTIONAL: [&str; 16] = [
    "title",
    "itemId",
    "parameters",
    "startDate",
    "endDate",
    "maxOccurrences",
    "isActive",
    "misfirePolicy",
    "overlapPolicy",
    "maxRetries",
    "retryBackoffSeconds",
    "timeoutSeconds",
    "crashPolicy",
    "maxConsecutiveFailures",
    "itemChanges",
    "allowUnknownParameters",
];

/// What createTask must be sent.
const REQUIRED: [&str; 6] = ["type", "minute", "hour", "dayOfMonth", "month", "dayOfWeek"];

/// A limit that was sent in another case must not be lost without a word.
fn rightly_spelt(parameters: &Parameters, names: &[&'static str]) -> Result<(), Failure> {
    match names.iter().find_map(|name| Some((*name, parameters.miscased(name)?))) {
        Some((name, sent)) => {
            Err(Failure::parameter(name, format!("was sent as '{sent}': names are case-sensitive")))
        }
        None => Ok(()),
    }
}

fn text(parameters: &Parameters, name: &str) -> Option<String> {
    parameters.given(name).map(str::to_owned)
}

fn kind(parameters: &Parameters) -> Result<Option<TaskType>, Failure> {
    let parse = |text: &str| {
        text.parse().map_err(|_| {
            let text: String = text.chars().take(40).collect();
            let known: Vec<&str> = TaskType::ALL.iter().map(|kind| kind.name()).collect();
            Failure::parameter("type", format!("is '{text}'; expected one of {}", known.join(", ")))
        })
    };
    parameters.given("type").map(parse).transpose()
}

fn date(parameters: &Parameters, name: &'static str) -> Result<Option<EpochMillis>, Failure> {
    Ok(parameters.whole(name, 0..=EpochMillis::MAX.0)?.map(EpochMillis))
}

/// `-1` and `null` take away the date that there is; what is empty leaves it.
fn is_taken_away(parameters: &Parameters, name: &str) -> bool {
    matches!(parameters.given(name), Some("-1" | "null"))
}

fn max_occurrences(parameters: &Parameters) -> Result<Option<Limit>, Failure> {
    parameters.limit("maxOccurrences", i64::from(i32::MAX))
}
