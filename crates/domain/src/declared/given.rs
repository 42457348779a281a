//! The parameters that a task gives, and whether they are those that its program declares.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

use super::{DeclaredParameters, shortened};
use crate::{Problem, Task, TaskType};

/// Names that a warning lists.
const LISTED: usize = 5;

/// The values that a task gives to what it runs: ArcGIS's clients wrap a notebook's when they create its task, and send
/// them bare when they update it. A value that only Python can read (`1e999`, half a surrogate pair) is null here, so that
/// at least its name is checked. None: what is sent is no object.
pub fn given_parameters(task: &Task) -> Option<BTreeMap<String, Value>> {
    let text = task.parameters.as_deref().unwrap_or("{}");
    let fields = fields(text)?;
    let own = match fields.get("notebookParameters") {
        Some(own) if task.kind == TaskType::ExecuteNotebook => own.get(),
        _ => return Some(values(fields)),
    };
    if own == "null" {
        return Some(BTreeMap::new());
    }
    match serde_json::from_str::<String>(own) {
        Ok(text) if text.trim().is_empty() => Some(BTreeMap::new()),
        Ok(text) => self::fields(&text).map(values),
        Err(_) => self::fields(own).map(values),
    }
}

fn fields(text: &str) -> Option<BTreeMap<String, Box<RawValue>>> {
    serde_json::from_str(text).ok()
}

fn values(fields: BTreeMap<String, Box<RawValue>>) -> BTreeMap<String, Value> {
    let read = |value: Box<RawValue>| serde_json::from_str(value.get()).unwrap_or(Value::Null);
    fields.into_iter().map(|(name, value)| (name, read(value))).collect()
}

/// Checks a task's parameters against what its program declares. Answers what could not be checked and what is wrong but
/// allowed (`allowUnknownParameters`), as warnings for people.
///
/// # Errors
/// A problem of `parameters` that names the value and what there is.
pub fn check_parameters(task: &Task, declared: &DeclaredParameters) -> Result<Vec<String>, Problem> {
    let Some(given) = given_parameters(task) else { return Ok(Vec::new()) };
    match declared.check(&given) {
        Ok(unchecked) => Ok(warning(&unchecked, declared).into_iter().collect()),
        Err(problem) if task.policies.allow_unknown_parameters => Ok(vec![problem.to_string()]),
        Err(Problem { parameter, problem }) => {
            Err(Problem::new(parameter, format!("{problem}. allowUnknownParameters=true passes it on")))
        }
    }
}

fn warning(unchecked: &[&str], declared: &DeclaredParameters) -> Option<String> {
    let why = declared.incomplete.filter(|_| !unchecked.is_empty())?;
    let names: Vec<String> =
        unchecked.iter().take(LISTED).map(|name| format!("'{}'", shortened(name))).collect();
    let more = match unchecked.len() - names.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!("'parameters' were not checked for {}{more}: {why}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::declared::notebook_parameters;
    use crate::{CronFields, EpochMillis, ItemId, Limits, Policies, Submission, TaskId, accept};

    fn notebook_task(parameters: &str) -> Task {
        let [minute, hour, day_of_month, month, day_of_week] = ["0", "3", "*", "*", "?"].map(str::to_owned);
        let submission = Submission {
            title: String::new(),
            kind: TaskType::ExecuteNotebook,
            item_id: Some(ItemId::from_bytes([5; 16])),
            task_url: None,
            parameters: None,
            cron: CronFields { minute, hour, day_of_month, month, day_of_week },
            start: None,
            end: None,
            max_occurrences: None,
            policies: Policies::default(),
        };
        let id = TaskId::from_bytes([7; 16]);
        let task = accept(submission, id, "Ada", EpochMillis(1), &Limits::default()).expect("a good task");
        Task { parameters: Some(parameters.to_owned()), ..task }
    }

    #[test]
    fn wrapped_and_bare_values_are_read() {
        let given = |parameters: &str| given_parameters(&notebook_task(parameters)).map(|given| json!(given));
        for (parameters, expected) in [
            (r#"{"a": 1}"#, json!({"a": 1})),
            (r#"{"notebookParameters": {"a": 1}, "saveInjectedParameters": true}"#, json!({"a": 1})),
            (r#"{"notebookParameters": "{\"a\": 1}"}"#, json!({"a": 1})),
            (r#"{"notebookParameters": null}"#, json!({})),
            (r#"{"notebookParameters": " "}"#, json!({})),
            (r#"{"a": 1e999, "b": "\ud800", "c": 2}"#, json!({"a": null, "b": null, "c": 2})),
        ] {
            assert_eq!(given(parameters), Some(expected), "{parameters}");
        }
        for parameters in ["[1]", "x", r#"{"notebookParameters": [1]}"#] {
            assert_eq!(given(parameters), None, "{parameters}");
        }
        let other =
            Task { kind: TaskType::GPService, ..notebook_task(r#"{"notebookParameters": {"a": 1}}"#) };
        assert_eq!(
            given_parameters(&other).map(|given| json!(given)),
            Some(json!({"notebookParameters": {"a": 1}}))
        );
    }

    fn declared(source: &str) -> DeclaredParameters {
        let cell = json!({"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": source});
        notebook_parameters(json!({"cells": [cell]}).to_string().as_bytes()).expect("a notebook")
    }

    #[test]
    fn what_is_wrong_is_an_error_or_a_warning_where_the_task_allows_it() {
        let mut task = notebook_task(r#"{"m": 1e999}"#);
        let problem = check_parameters(&task, &declared("n = 1")).expect_err("unknown").to_string();
        let told = "'parameters' have 'm', which is not declared; there are n";
        assert_eq!(problem, format!("{told}. allowUnknownParameters=true passes it on"));
        task.policies.allow_unknown_parameters = true;
        assert_eq!(check_parameters(&task, &declared("n = 1")), Ok(vec![told.to_owned()]));
    }

    #[test]
    fn what_can_not_be_checked_is_named() {
        let task = notebook_task(r#"{"a": 1, "b": 2, "c": 3, "d": 4, "e": 5, "f": 6, "n": 7}"#);
        let warnings = check_parameters(&task, &declared("n = 1\nfrom settings import *")).expect("accepted");
        let expected = "'parameters' were not checked for 'a', 'b', 'c', 'd', 'e' and 1 more: the notebook's cell tagged \
                        'parameters' does more than set values";
        assert_eq!(warnings, [expected]);
        let task = notebook_task(r#"{"n": 7}"#);
        assert_eq!(check_parameters(&task, &declared("n = 1\nfrom settings import *")), Ok(Vec::new()));
    }
}
