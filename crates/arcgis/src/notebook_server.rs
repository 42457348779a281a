//! ArcGIS Notebook Server: it executes a notebook item as a job.

use reqwest::Url;
use serde::Deserialize;
use serde_json::Value;

use crate::gp::NotSubmitted;
use crate::{Error, Outbound, Result, answer, http};

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
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NotebookJob {
    /// Names it.
    pub job_id: String,
    /// What it does.
    #[serde(default)]
    pub status: String,
    /// What it said: texts, or objects with a description.
    #[serde(default)]
    messages: Vec<Value>,
    #[serde(default)]
    inputs: Value,
    #[serde(default)]
    custom_attributes: Value,
}

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotebookStatus {
    /// In line, or something that ArcGIS does not document.
    Waiting,
    /// At work.
    Executing,
    /// Done.
    Completed,
    /// It failed.
    Failed,
    /// It was cancelled.
    Cancelled,
}

impl NotebookJob {
    /// Classic servers have no word for a cancelled job, but an attribute.
    pub fn state(&self) -> NotebookStatus {
        let status = self.status.to_lowercase();
        let cancelled = self.custom_attributes["isCancelled"] == true;
        match status.as_str() {
            "completed" | "succeeded" => NotebookStatus::Completed,
            "cancelled" | "canceled" => NotebookStatus::Cancelled,
            "failed" if cancelled => NotebookStatus::Cancelled,
            "failed" => NotebookStatus::Failed,
            _ if status.contains("error") => NotebookStatus::Failed,
            "processing" | "executing" => NotebookStatus::Executing,
            _ => NotebookStatus::Waiting,
        }
    }

    /// What it has said so far.
    pub fn messages(&self) -> impl Iterator<Item = String> + '_ {
        self.messages.iter().map(|message| match message {
            Value::String(text) => text.clone(),
            other => ["description", "message"]
                .iter()
                .find_map(|name| other[name].as_str())
                .map_or_else(|| other.to_string(), str::to_owned),
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Started {
    job_url: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Jobs {
    #[serde(default, alias = "asyncNotebookJobs")]
    async_jobs: Vec<NotebookJob>,
}

impl NotebookServer {
    /// The server with this root, `https://host[:port][/context]`.
    pub fn new(outbound: Outbound, root: &str) -> Result<NotebookServer> {
        let admin = outbound.admit(&format!("{}/admin", root.trim_end_matches('/')))?;
        Ok(NotebookServer { outbound: outbound.toward(&admin), admin })
    }

    /// Begins a job, and says where it is. It is sent once: a server that did not answer may have begun it.
    pub async fn execute(&self, execution: &Execution<'_>) -> std::result::Result<String, NotSubmitted> {
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
        let sent = self.outbound.send(|client| client.post(&url).form(&form), http::begun).await?;
        let started: Started =
            answer::parse(&sent.map_err(NotSubmitted::Unknown)?).map_err(NotSubmitted::Unknown)?;
        self.own(&started.job_url).map_err(NotSubmitted::Unknown)
    }

    /// Where the job of this run is, if the server has one and shows whose it is.
    pub async fn find(&self, run: &str) -> Result<Option<String>> {
        let url = format!("{}/system/jobs", self.admin);
        let query = [("f", "json"), ("detail", "true"), ("num", SEARCHED), ("sortByDate", "true")];
        let jobs = self.outbound.document(|client| client.get(&url).query(&query)).await?;
        let jobs: Jobs = answer::parse(&jobs)?;
        let ours = jobs.async_jobs.into_iter().find(|job| job.inputs["runId"] == run);
        Ok(ours.map(|job| format!("{url}/{}", job.job_id)))
    }

    /// A job as it is.
    pub async fn job(&self, url: &str) -> Result<NotebookJob> {
        let url = self.own(url)?;
        let request = |client: &reqwest::Client| client.get(&url).query(&[("f", "json")]);
        answer::parse(&self.outbound.send(request, http::state).await?)
    }

    /// Asks for a job's end.
    pub async fn cancel(&self, url: &str) -> Result<()> {
        let url = format!("{}/cancel", self.own(url)?);
        let request = |client: &reqwest::Client| client.post(&url).form(&[("f", "json")]);
        self.outbound.send(request, http::state).await.map(drop)
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
        use NotebookStatus::{Cancelled, Completed, Executing, Failed, Waiting};
        for (document, expected) in [
            (r#"{"jobId":"j","status":"SUBMITTED"}"#, Waiting),
            (r#"{"jobId":"j","status":"PROCESSING"}"#, Executing),
            (r#"{"jobId":"j","status":"EXECUTING"}"#, Executing),
            (r#"{"jobId":"j","status":"COMPLETED"}"#, Completed),
            (r#"{"jobId":"j","status":"failed"}"#, Failed),
            (r#"{"jobId":"j","status":"FAILED","customAttributes":{"isCancelled":true}}"#, Cancelled),
            (r#"{"jobId":"j","status":"EXECUTION_ERROR"}"#, Failed),
            (r#"{"jobId":"j","status":"cancelling"}"#, Waiting),
        ] {
            let job: NotebookJob = answer::parse(document).expect(document);
            assert_eq!(job.state(), expected, "{document}");
        }
    }
}
