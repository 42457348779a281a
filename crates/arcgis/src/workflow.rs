//! ArcGIS Workflow Manager: jobs are made from templates, run and stopped. Unlike the rest of ArcGIS it takes JSON.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use crate::http::LARGEST_DOCUMENT;
use crate::jobs::address::segment;
use crate::jobs::{SubmitOutcome, fields, percent, shown_text, submit};
use crate::{Error, Outbound, Refusal, Result};

/// One workflow item of a Workflow Manager server.
#[derive(Clone, Debug)]
pub struct Workflow {
    outbound: Outbound,
    /// Without a slash at its end.
    base: String,
}

/// A job as its server shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkflowJob {
    /// Whether it is over.
    pub closed: bool,
    /// 0 to 100.
    pub percent_complete: Option<u8>,
    /// Where it is.
    pub current_steps: Vec<Step>,
}

/// A step that a job is at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Names it.
    pub step_id: String,
    /// For people.
    pub step_name: String,
    /// The server's word for what the step does.
    pub step_status: String,
}

impl WorkflowJob {
    /// Of a job's document; none: it is no job's.
    fn read(document: &Value) -> Option<WorkflowJob> {
        fields::unwrapped(document, &|inner| {
            let found = |name: &str| fields::field(inner, name);
            let closed = found("closed").or_else(|| found("isclosed"));
            let is_one = ["jobid", "jobname", "currentsteps", "jobstatus", "closed"]
                .iter()
                .any(|name| found(name).is_some());
            is_one.then(|| WorkflowJob {
                closed: closed.is_some_and(is_true)
                    || found("jobstatus").and_then(Value::as_str).is_some_and(is_closed),
                percent_complete: percent(inner),
                current_steps: steps(found("currentsteps")),
            })
        })
    }
}

fn is_closed(word: &str) -> bool {
    word.eq_ignore_ascii_case("closed")
}

fn is_true(value: &Value) -> bool {
    match value {
        Value::String(text) => text.eq_ignore_ascii_case("true"),
        Value::Number(number) => number.as_i64() == Some(1),
        other => other == &Value::Bool(true),
    }
}

fn steps(value: Option<&Value>) -> Vec<Step> {
    let parts = match value {
        Some(Value::Array(parts)) => &parts[..],
        Some(one @ Value::Object(_)) => std::slice::from_ref(one),
        _ => &[],
    };
    let step = |part: &Value| {
        let text = |names: &[&str]| fields::first(part, names).and_then(shown_text).unwrap_or_default();
        Step {
            step_id: text(&["stepid", "id"]),
            step_name: text(&["stepname", "name"]),
            step_status: text(&["stepstatus", "status"]),
        }
    };
    parts.iter().filter(|part| part.is_object()).map(step).collect()
}

/// What was asked of a job's steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Go on.
    Run,
    /// Stop.
    Stop,
}

impl Workflow {
    /// The item's workflows, at the server with this root (`https://host[:port][/context]`).
    pub fn new(outbound: Outbound, server: &str, item: &str) -> Result<Workflow> {
        let base = format!("{}/workflow/{item}", server.trim_end_matches('/'));
        let base = outbound.admit(&base)?;
        Ok(Workflow { outbound: outbound.toward(&base), base: base.into() })
    }

    /// Where a job is.
    pub fn job_url(&self, id: &str) -> String {
        // What is no segment of a path is refused where requests are.
        format!("{}/jobs/{}", self.base, segment(id).as_deref().unwrap_or(id))
    }

    /// Makes a job of a template, under an id of our own if the server takes it (a second one of that id is refused),
    /// and gives the id that it has.
    pub async fn create(
        &self,
        template: &str,
        id: &str,
        fields: &Map<String, Value>,
    ) -> SubmitOutcome<String> {
        let url =
            format!("{}/jobTemplates/{}/job", self.base, utf8_percent_encode(template, NON_ALPHANUMERIC));
        let mut body = fields.clone();
        body.insert("numberOfJobs".to_owned(), json!(1));
        body.insert("jobId".to_owned(), json!(id));
        let decide = |exchange| submit::arcgis::workflow(exchange, id);
        self.outbound.submit(|client| client.post(&url).json(&body), LARGEST_DOCUMENT, decide).await
    }

    /// A job as it is.
    pub async fn job(&self, id: &str) -> Result<WorkflowJob> {
        let url = self.job_url(id);
        let text = self.outbound.document(|client| client.get(&url).query(&[("f", "json")])).await?;
        let document = serde_json::from_str(&text).map_err(|error| Error::Unreadable(error.to_string()))?;
        let none = || Refusal { message: "the server shows no job there".to_owned(), ..Refusal::default() };
        WorkflowJob::read(&document).ok_or_else(|| Error::Refused(none()))
    }

    /// Asks a job's current steps for something; gives the server's words for what came of it, a step each.
    pub async fn act(&self, id: &str, action: Action) -> Result<Vec<String>> {
        let (url, kind) =
            (format!("{}/action", self.job_url(id)), if action == Action::Run { "Run" } else { "Stop" });
        let body = json!({"type": kind});
        let text = self.outbound.document(|client| client.post(&url).json(&body)).await?;
        let document: Value =
            serde_json::from_str(&text).map_err(|error| Error::Unreadable(error.to_string()))?;
        let responses = fields::unwrapped(&document, &|inner| fields::field(inner, "stepresponses"));
        let status = |response: &Value| match response {
            Value::String(word) => Some(word.clone()),
            other => fields::first(other, &["status", "statusdescription"]).and_then(shown_text),
        };
        Ok(responses.and_then(Value::as_array).into_iter().flatten().filter_map(status).collect())
    }
}
