//! ArcGIS Notebook Server: it executes a notebook item as a job.

use reqwest::Url;
use serde_json::Value;

use crate::http::LARGEST_DOCUMENT;
use crate::jobs::address::{Origin, segment};
use crate::jobs::{JobState, SubmitOutcome, fields, handle, shown_text, status, submit, words};
use crate::{Error, Outbound, Result};

/// Of the newest jobs, so many are looked through for one of ours.
const SEARCHED: &str = "500";

/// A Notebook Server.
#[derive(Clone, Debug)]
pub struct NotebookServer {
    outbound: Outbound,
    /// `https://host[:port][/context]/admin`, without a slash at its end.
    admin: Url,
}

/// What is to be executed.
#[derive(Clone, Debug)]
pub struct Execution<'a> {
    /// The notebook.
    pub item: String,
    /// A JSON object: the notebook's own parameters.
    pub parameters: Option<&'a str>,
    /// Whether they are kept in the notebook.
    pub save_parameters: bool,
    /// Whether the item becomes the executed notebook.
    pub update_item: bool,
    /// Whose execution it is; the job shows both.
    pub task: String,
    /// By which a job is found again.
    pub run: String,
}

/// A job as its server shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotebookJob {
    /// What it does.
    pub state: JobState,
    /// The server's word for that.
    pub word: String,
    /// What it has said so far.
    pub messages: Vec<String>,
    /// What else it says of why it failed.
    pub message: Option<String>,
}

impl NotebookJob {
    fn read(state: JobState, document: &Value) -> NotebookJob {
        let found = |name: &str| fields::unwrapped(document, &|inner| fields::field(inner, name));
        let cancelled = found("customattributes")
            .and_then(|attributes| fields::field(attributes, "iscancelled"))
            .is_some_and(|flag| flag == true || flag == "true");
        let messages = match found("messages") {
            Some(Value::Array(parts)) => parts.iter().filter_map(shown_text).collect(),
            Some(other) => shown_text(other).into_iter().collect(),
            None => Vec::new(),
        };
        // Classic servers have no word for a cancelled job, but an attribute.
        let state = if cancelled && state == JobState::Failed { JobState::Cancelled } else { state };
        let word = found("status").and_then(shown_text).unwrap_or_default();
        NotebookJob { state, word, message: status::message(document), messages }
    }
}

impl NotebookServer {
    /// The server with this root, `https://host[:port][/context]`.
    pub fn new(outbound: Outbound, root: &str) -> Result<NotebookServer> {
        let admin = outbound.admit(&format!("{}/admin", root.trim_end_matches('/')))?;
        Ok(NotebookServer { outbound: outbound.toward(&admin), admin })
    }

    /// Begins a job, and says where it is. It is sent once: a server that did not answer may have begun it.
    pub async fn execute(&self, execution: &Execution<'_>) -> SubmitOutcome<String> {
        let url = format!("{}/notebooks/executeNotebook", self.admin);
        let form = [
            ("itemId", execution.item.as_str()),
            ("updatePortalItem", word(execution.update_item)),
            ("notebookParameters", execution.parameters.unwrap_or("{}")),
            ("saveInjectedParameters", word(execution.save_parameters)),
            ("taskId", &execution.task),
            ("runId", &execution.run),
            ("f", "json"),
        ];
        let Ok(asked) = Url::parse(&url) else {
            let error = Error::Config(format!("'{url}' is no URL"));
            return SubmitOutcome::NotBegun { error, retryable: false };
        };
        let admits = |url: &Url| self.outbound.admits(url);
        let origin = self.origin(&asked, &admits);
        let decide = |exchange| submit::arcgis::notebook(exchange, &origin, |id| self.job_url(id));
        self.outbound.submit(|client| client.post(&url).form(&form), LARGEST_DOCUMENT, decide).await
    }

    /// Where the job of this run is, if the server has one and shows whose it is.
    pub async fn find(&self, run: &str) -> Result<Option<String>> {
        let url = format!("{}/system/jobs", self.admin);
        let query = [("f", "json"), ("detail", "true"), ("num", SEARCHED), ("sortByDate", "true")];
        let text = self.outbound.document(|client| client.get(&url).query(&query)).await?;
        let document: Value =
            serde_json::from_str(&text).map_err(|error| Error::Unreadable(error.to_string()))?;
        let jobs = fields::unwrapped(&document, &|inner| {
            fields::first(inner, &["asyncjobs", "asyncnotebookjobs", "jobs"]).and_then(Value::as_array)
        });
        let is_ours = |job: &&Value| {
            fields::field(job, "inputs")
                .and_then(|inputs| fields::field(inputs, "runid"))
                .is_some_and(|id| id == run)
        };
        let ours = jobs.into_iter().flatten().find(is_ours);
        Ok(ours.and_then(|job| self.job_url(&handle::id(job, true)?)))
    }

    /// A job as it is.
    pub async fn job(&self, url: &str) -> Result<NotebookJob> {
        let url = self.own(url)?;
        let response = self
            .outbound
            .response(|client| client.get(&url).query(&[("f", "json")]), LARGEST_DOCUMENT)
            .await?;
        let (state, document) = status::document(&response)?;
        Ok(NotebookJob::read(state, &document))
    }

    /// Asks for a job's end.
    pub async fn cancel(&self, url: &str) -> Result<()> {
        let url = format!("{}/cancel", self.own(url)?);
        let response = self
            .outbound
            .response(|client| client.post(&url).form(&[("f", "json")]), LARGEST_DOCUMENT)
            .await?;
        // It may show the job, which has a state of its own, or say that it has heard.
        let heard = || response.json().is_some_and(|document| words::failure(&document).is_none());
        match status::document(&response) {
            Err(error) if !(response.is_success() && (response.is_empty() || heard())) => Err(error),
            _ => Ok(()),
        }
    }

    fn job_url(&self, id: &str) -> Option<String> {
        Some(format!("{}/system/jobs/{}", self.admin, segment(id)?))
    }

    /// How what the server tells of its jobs is read.
    fn origin<'a>(&'a self, asked: &'a Url, admits: &'a (dyn Fn(&Url) -> bool + Sync)) -> Origin<'a> {
        let root = self.admin.path().strip_suffix("/admin").unwrap_or_default();
        Origin { asked, root, below: "/admin/", admits }
    }

    /// A job's address, if it is at this server: the token goes nowhere else.
    fn own(&self, url: &str) -> Result<String> {
        let url = self.outbound.admit(url)?;
        if url.origin() != self.admin.origin() {
            return Err(Error::Unreadable("its job is at another server".to_owned()));
        }
        Ok(url.as_str().trim_end_matches('/').to_owned())
    }
}

fn word(yes: bool) -> &'static str {
    if yes { "true" } else { "false" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_read_as_servers_write_them() {
        use JobState::{Accepted, Cancelled, Cancelling, Failed, Running, Succeeded};
        for (document, expected) in [
            (r#"{"jobId":"j","status":"SUBMITTED"}"#, Accepted),
            (r#"{"jobId":"j","status":"PROCESSING"}"#, Running),
            (r#"{"jobId":"j","status":"EXECUTING"}"#, Running),
            (r#"{"jobId":"j","status":"COMPLETED"}"#, Succeeded),
            (r#"{"jobId":"j","status":"failed"}"#, Failed),
            (r#"{"jobId":"j","status":"FAILED","customAttributes":{"isCancelled":true}}"#, Cancelled),
            (r#"{"jobId":"j","status":"EXECUTION_ERROR"}"#, Failed),
            (r#"{"jobId":"j","status":"cancelling"}"#, Cancelling),
        ] {
            let document: Value = serde_json::from_str(document).expect(document);
            let state = crate::jobs::find_state(&document).expect("it has one");
            assert_eq!(NotebookJob::read(state, &document).state, expected, "{document}");
        }
    }
}
