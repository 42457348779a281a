//! What a geoprocessing server says of tasks, jobs and results.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::jobs::words::is_error;
use crate::jobs::{JobState, fields, percent, shown_text};

/// A task's description, as far as it matters here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Task {
    #[serde(default)]
    pub(super) execution_type: Option<String>,
}

/// A job as its server shows it.
#[derive(Clone, Debug)]
pub struct Job {
    /// What it does.
    pub state: JobState,
    /// How far it is, while it executes.
    pub progress: Option<Progress>,
    /// All so far, in order.
    pub messages: Vec<Message>,
    /// What else its server says of it.
    pub message: Option<String>,
    /// The names of its results; they may come a little after its success.
    pub results: Vec<String>,
}

/// How far a job is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// For people.
    pub message: String,
    /// 0 to 100, where the tool knows.
    pub percent: Option<u8>,
}

/// Something that a tool said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// How grave it is.
    pub kind: MessageKind,
    /// For people.
    pub description: String,
}

/// How grave a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageKind {
    /// It went wrong.
    Error,
    /// It may be wrong.
    Warning,
    /// It stopped early.
    Abort,
    /// It is good to know.
    Informative,
}

impl Job {
    /// Of a job's document: each field on its own, so that an odd one hides no other.
    pub(super) fn read(state: JobState, document: &Value) -> Job {
        let said = |inner: &Value| {
            let error = fields::field(inner, "error").filter(|error| is_error(error));
            error
                .or_else(|| fields::first(inner, &["message", "statusmessage", "description"]))
                .and_then(shown_text)
        };
        let found = |name: &str| fields::unwrapped(document, &|inner| fields::field(inner, name));
        Job {
            progress: progress(document),
            message: fields::unwrapped(document, &said),
            messages: found("messages").map(messages).unwrap_or_default(),
            results: found("results").map(names).unwrap_or_default(),
            state,
        }
    }
}

fn progress(document: &Value) -> Option<Progress> {
    let of = |inner: &Value| {
        let value = fields::field(inner, "progress");
        let message = value
            .filter(|value| value.is_object())
            .and_then(|value| shown_text(fields::field(value, "message")?));
        let percent = percent(inner);
        (percent.is_some() || message.is_some())
            .then(|| Progress { message: message.unwrap_or_default(), percent })
    };
    fields::unwrapped(document, &of)
}

fn messages(value: &Value) -> Vec<Message> {
    match value {
        Value::Array(parts) => parts.iter().filter_map(message).collect(),
        other => message(other).into_iter().collect(),
    }
}

fn message(value: &Value) -> Option<Message> {
    let kind = fields::field(value, "type").and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
    let kind = match kind.trim_start_matches("esrijobmessagetype") {
        "error" => MessageKind::Error,
        "warning" => MessageKind::Warning,
        "abort" => MessageKind::Abort,
        _ => MessageKind::Informative,
    };
    let description = match value {
        Value::Object(_) => fields::first(value, &["description", "message", "text"]).and_then(shown_text),
        other => shown_text(other),
    };
    Some(Message { kind, description: description? })
}

/// The names of results: the fields of an object, or what a list has.
fn names(value: &Value) -> Vec<String> {
    match value {
        Value::Object(results) => results.keys().cloned().collect(),
        Value::Array(parts) => {
            let name = |part: &Value| match part {
                Value::String(name) => Some(name.clone()),
                other => {
                    fields::first(other, &["paramname", "name", "parameter"])?.as_str().map(str::to_owned)
                }
            };
            parts.iter().filter_map(name).collect()
        }
        _ => Vec::new(),
    }
}

/// One result of a job.
#[derive(Clone, Debug)]
pub struct GpResult {
    /// ArcGIS's name for what it is, such as `GPString`.
    pub data_type: String,
    /// As the server wrote it.
    pub value: Option<Box<RawValue>>,
}

impl GpResult {
    /// Of a result's document; of another one, that is the value.
    pub(super) fn read(text: &str) -> GpResult {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Parts {
            #[serde(default)]
            data_type: Value,
            value: Box<RawValue>,
        }
        match serde_json::from_str::<Parts>(text) {
            Ok(Parts { data_type, value }) => {
                GpResult { data_type: data_type.as_str().unwrap_or_default().to_owned(), value: Some(value) }
            }
            Err(_) => GpResult { data_type: String::new(), value: serde_json::from_str(text).ok() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_field_is_read_on_its_own() {
        let job = Job::read(
            JobState::Failed,
            &json!({
                "jobId": 7,
                "progress": {"type": "default", "message": {"text": "at work"}, "percent": "12"},
                "messages": [
                    null, "plain", {"type": "esriJobMessageTypeAbort", "description": "Aborted."},
                    {"type": 7, "message": "odd"}, {"type": "esriJobMessageTypeError"}, {"type": "Warning", "description": "w"},
                ],
                "results": [{"paramName": "a"}, "b", 7],
            }),
        );
        assert_eq!(job.progress, Some(Progress { message: "at work".to_owned(), percent: Some(12) }));
        let said: Vec<_> =
            job.messages.iter().map(|message| (message.kind, message.description.as_str())).collect();
        let expected = [
            (MessageKind::Informative, "plain"),
            (MessageKind::Abort, "Aborted."),
            (MessageKind::Informative, "odd"),
            (MessageKind::Warning, "w"),
        ];
        assert_eq!((said, job.results), (expected.to_vec(), vec!["a".to_owned(), "b".to_owned()]));
        for odd in
            [json!({"messages": null, "results": null, "progress": -1}), json!({"messages": 7, "results": 7})]
        {
            let job = Job::read(JobState::Running, &odd);
            assert!(job.results.is_empty() && job.progress.is_none(), "{odd}");
        }
        assert_eq!(
            GpResult::read(r#"{"dataType": "GPString", "value": "x"}"#)
                .value
                .map(|value| value.get().to_owned()),
            Some("\"x\"".to_owned())
        );
        assert_eq!(GpResult::read("[1]").value.map(|value| value.get().to_owned()), Some("[1]".to_owned()));
    }
}
