//! Fields of a JSON document, whatever the case of their names and the wrappings around them.

use serde_json::Value;

/// Objects that servers wrap a job's document in.
const WRAPPINGS: [&str; 11] = [
    "job",
    "data",
    "statusinfo",
    "response",
    "payload",
    "operation",
    "execution",
    "run",
    "build",
    "attributes",
    "properties",
];
/// How deep wrappings go.
const DEEPEST: usize = 4;

/// The field with this name: in small letters, without `_` and `-`. The last one counts of several, as in JSON.
pub(crate) fn field<'a>(document: &'a Value, name: &str) -> Option<&'a Value> {
    let fields = document.as_object()?;
    let exact = fields.get(name);
    exact.or_else(|| fields.iter().rev().find(|(key, _)| is_named(key, name)).map(|(_, value)| value))
}

/// The first of these fields that is there and is not null.
pub(crate) fn first<'a>(document: &'a Value, names: &[&str]) -> Option<&'a Value> {
    names.iter().find_map(|name| field(document, name).filter(|value| !value.is_null()))
}

/// What `read` finds in the document or, if nothing is there, in what it wraps.
pub(crate) fn unwrapped<'a, T>(document: &'a Value, read: &impl Fn(&'a Value) -> Option<T>) -> Option<T> {
    within(document, read, DEEPEST)
}

fn within<'a, T>(document: &'a Value, read: &impl Fn(&'a Value) -> Option<T>, depth: usize) -> Option<T> {
    if let Some([one]) = document.as_array().map(Vec::as_slice) {
        return within(one, read, depth.checked_sub(1)?);
    }
    if let Some(found) = read(document) {
        return Some(found);
    }
    let deeper = depth.checked_sub(1)?;
    WRAPPINGS.iter().find_map(|name| {
        let wrapped = field(document, name).filter(|value| value.is_object() || value.is_array())?;
        within(wrapped, read, deeper)
    })
}

/// Whether a key is this name, written in any way.
pub(crate) fn is_named(key: &str, name: &str) -> bool {
    let plain = key.chars().filter(|letter| !matches!(letter, '_' | '-' | '.' | ':' | ' '));
    plain.map(|letter| letter.to_ascii_lowercase()).eq(name.chars())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_and_wrappings_do_not_matter() {
        let id = |document: &Value| {
            unwrapped(document, &|document| field(document, "jobid").and_then(Value::as_str))
                .map(str::to_owned)
        };
        for document in [
            json!({"jobId": "7"}),
            json!({"job_id": "7"}),
            json!({"JOBID": "7"}),
            json!({"job": {"jobID": "7"}}),
            json!({"data": {"attributes": {"job-id": "7"}}}),
            json!([{"jobID": "7"}]),
        ] {
            assert_eq!(id(&document).as_deref(), Some("7"), "{document}");
        }
        assert_eq!(id(&json!({"inputs": {"jobID": "7"}})), None, "what was sent is none of it");
    }
}
