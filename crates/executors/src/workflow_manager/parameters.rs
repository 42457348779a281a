//! What a task of the type says.

use serde_json::{Map, Value};

/// What createTask's parameters say.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Parameters {
    pub(super) template: String,
    pub(super) wait: Wait,
    /// Passed on: jobName, priority, assignedTo and so on.
    pub(super) fields: Map<String, Value>,
}

/// When the run has succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// Once there is a job.
    Created,
    /// Once its first steps are done.
    Step,
    /// Once it is closed.
    Closed,
}

impl Parameters {
    /// Of a JSON object; the error names what is wrong.
    pub(super) fn read(text: &str) -> Result<Parameters, String> {
        let mut fields: Map<String, Value> =
            serde_json::from_str(text).map_err(|error| format!("'parameters' is no JSON object: {error}"))?;
        let template = match fields.remove("jobTemplateId") {
            Some(Value::String(template)) if !template.is_empty() => template,
            _ => return Err("'parameters' lacks 'jobTemplateId', the template's id".to_owned()),
        };
        let wait = match fields.remove("wait") {
            None | Some(Value::Null) => Wait::Created,
            Some(Value::String(wait)) if wait == "created" => Wait::Created,
            Some(Value::String(wait)) if wait == "step" => Wait::Step,
            Some(Value::String(wait)) if wait == "closed" => Wait::Closed,
            Some(other) => {
                return Err(format!("'parameters' has wait {other}; expected created, step or closed"));
            }
        };
        Ok(Parameters { template, wait, fields })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ours_is_passed_on() {
        let read = Parameters::read(r#"{"jobTemplateId": "T", "wait": "step", "priority": "High"}"#);
        let read = read.expect("it can be read");
        assert_eq!((read.template.as_str(), read.wait), ("T", Wait::Step));
        assert_eq!(Value::Object(read.fields), serde_json::json!({"priority": "High"}));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, named) in [
            ("[]", "JSON object"),
            ("{}", "jobTemplateId"),
            (r#"{"jobTemplateId":"T","wait":"forever"}"#, "wait"),
        ] {
            assert!(Parameters::read(text).is_err_and(|error| error.contains(named)), "{text}");
        }
    }
}
