//! The task resource as a line of text: what `isochrone export` writes, and what `isochrone import` reads from
//! it and from other portals.

use std::collections::BTreeMap;

use isochrone_domain::{EpochMillis, Policies, Task, TaskState, Transfer};
use isochrone_store::seal::sealed_with;
use serde_json::value::RawValue;

use super::{TaskDocument, fields};
use crate::answer::Failure;
use crate::request::Parameters;

/// Why a text is no task that can be taken over; names the field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unfit(String);

/// The task's resource, as the API shows it, on one line. Parameters that are sealed stand there as a text.
pub fn to_line(mut task: Task) -> String {
    let sealed = task.parameters.take_if(|text| sealed_with(text).is_some());
    if let Some(sealed) = sealed {
        task.parameters = Some(serde_json::Value::String(sealed).to_string());
    }
    let document = serde_json::to_string(&TaskDocument::from(task));
    let document = document.expect("a task has text keys and finite numbers");
    // In JSON's texts a line break is written as \n: these stand between its parts.
    document.replace(['\n', '\r'], " ")
}

/// Reads a task's resource. `policies`: of a task that says nothing of its own. Keys that are unknown are
/// passed over: other portals have others. What the domain checks is checked there.
pub fn from_json(text: &str, policies: &Policies) -> Result<Transfer, Unfit> {
    let resource = parameters(text)?;
    read(&resource, policies).map_err(|failure| {
        let (_, message, _) = failure.into_parts();
        Unfit(message.trim_end_matches('.').to_owned())
    })
}

fn read(resource: &Parameters, policies: &Policies) -> Result<Transfer, Failure> {
    let mut submission = fields::submission(resource, policies)?;
    // The resource shows none as {}.
    let kind = submission.kind;
    submission.parameters = submission.parameters.filter(|text| kind.needs_parameters() || text != "{}");
    let count = |name, most| resource.whole(name, 0..=most).map(|count| count.unwrap_or(0));
    Ok(Transfer {
        id: resource.id("id")?.ok_or_else(|| Failure::parameter("id", "is required"))?,
        owner: resource.required("userId")?.to_owned(),
        submission,
        state: state(resource)?,
        occurrences: count("occurrences", i64::MAX)? as u64,
        consecutive_failures: count("consecutiveFailures", i64::from(u32::MAX))? as u32,
        created: resource.whole("created", 0..=EpochMillis::MAX.0)?.map(EpochMillis),
    })
}

fn state(resource: &Parameters) -> Result<TaskState, Failure> {
    let told = resource.given("taskState");
    match (resource.flag("active")?, told) {
        (Some(true), _) | (None, Some("active" | "completed") | None) => Ok(TaskState::Active),
        (_, Some("disabled")) => Ok(TaskState::Disabled),
        (Some(false), _) | (None, Some("paused")) => Ok(TaskState::Paused),
        (None, Some(_)) => {
            Err(Failure::parameter("taskState", "is unknown; expected active, paused, disabled or completed"))
        }
    }
}

/// The resource's keys as createTask's parameters.
fn parameters(text: &str) -> Result<Parameters, Unfit> {
    let mut parameters = Parameters::default();
    for (key, value) in object(text).map_err(|error| Unfit(format!("it is no JSON object: {error}")))? {
        if key == "cronSchedule" {
            let fields = object(value.get());
            for (key, value) in fields.map_err(|error| Unfit(format!("'cronSchedule' {error}")))? {
                add(&mut parameters, key, &value)?;
            }
        } else {
            add(&mut parameters, key, &value)?;
        }
    }
    Ok(parameters)
}

fn object(text: &str) -> Result<BTreeMap<String, Box<RawValue>>, serde_json::Error> {
    serde_json::from_str(text)
}

fn add(parameters: &mut Parameters, key: String, value: &RawValue) -> Result<(), Unfit> {
    let text = match value.get() {
        "null" => return Ok(()),
        // A text; whatever else it is, it stays as it is written.
        json => serde_json::from_str(json).unwrap_or_else(|_| json.to_owned()),
    };
    parameters.add(key, text).map_err(|failure| Unfit(failure.into_parts().1))
}

#[cfg(test)]
mod tests {
    use isochrone_domain::{Limits, OverlapPolicy, TaskType, adopt};

    use super::*;

    const NOW: EpochMillis = EpochMillis(1_700_000_000_000);

    fn of_arcgis(change: impl FnOnce(&mut serde_json::Value)) -> Result<Transfer, Unfit> {
        let mut resource = serde_json::json!({
            "id": "5a6d0a1f4f3f4c7c8d0b6f0e6f0a7b1c", "itemId": "029b61ca770e428d9468a2a55f40b9fb",
            "type": "ExecuteNotebook", "title": "Nightly", "maxOccurrences": -1, "parameters": {},
            "cronSchedule": {"minute": "0", "hour": "3", "dayOfMonth": "*", "month": "*", "dayOfWeek": "?"},
            "userId": "ann", "taskUrl": null, "active": false, "taskState": "paused", "created": 5,
            "runIntervalSeconds": 86400, "somethingElse": {"a": 1},
        });
        change(&mut resource);
        from_json(&resource.to_string(), &Policies::default())
    }

    #[test]
    fn arcgis_s_own_resource_can_be_read() {
        let task = of_arcgis(|_| {}).expect("it is a task");
        assert_eq!((task.owner.as_str(), task.state, task.occurrences), ("ann", TaskState::Paused, 0));
        assert_eq!(task.submission.kind, TaskType::ExecuteNotebook);
        assert_eq!((task.submission.parameters, task.submission.max_occurrences), (None, None));
    }

    #[test]
    fn what_was_written_is_read_again() {
        let mut transfer = of_arcgis(|_| {}).expect("it is a task");
        transfer.submission.parameters = Some("{\n \"big\": 123456789012345678901234567890\n}".to_owned());
        transfer.submission.policies.overlap = OverlapPolicy::Queue;
        transfer.submission.max_occurrences = Some(9);
        transfer.occurrences = 4;
        transfer.state = TaskState::Disabled;
        let task = adopt(transfer, NOW, &Limits::default()).expect("it is a good task");
        let line = to_line(task.clone());
        assert!(!line.contains('\n'), "{line}");
        let read = from_json(&line, &Policies::default()).expect("it is a task");
        let again = adopt(read, NOW, &Limits::default()).expect("it is a good task");
        let text = task.parameters.as_ref().map(|text| text.replace('\n', " "));
        assert_eq!(again, Task { parameters: text, ..task });
    }

    #[test]
    fn what_is_wrong_is_named() {
        type Change = fn(&mut serde_json::Value);
        let cases: [(&str, Change); 7] = [
            ("'id' is required", |task| task["id"] = serde_json::Value::Null),
            ("'userId' is required", |task| task["userId"] = "".into()),
            ("'type' is 'Cook'", |task| task["type"] = "Cook".into()),
            ("'maxOccurrences' is 0", |task| task["maxOccurrences"] = 0.into()),
            ("'occurrences' is -1", |task| task["occurrences"] = (-1).into()),
            ("'hour' is required", |task| task["cronSchedule"]["hour"] = serde_json::Value::Null),
            ("'cronSchedule' invalid type", |task| task["cronSchedule"] = 5.into()),
        ];
        for (told, change) in cases {
            let unfit = of_arcgis(change).expect_err(told);
            assert!(unfit.0.starts_with(told), "{unfit}");
        }
        let unfit = from_json("[1]", &Policies::default()).expect_err("no object");
        assert!(unfit.0.starts_with("it is no JSON object"), "{unfit}");
    }
}
