//! What a geoprocessing server says of tasks, jobs and results.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// A task's description, as far as it matters here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Task {
    #[serde(default)]
    pub(super) execution_type: Option<String>,
}

/// A job as its server shows it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// Names it.
    pub job_id: String,
    /// What it does.
    #[serde(rename = "jobStatus")]
    pub status: JobStatus,
    /// How far it is, while it executes.
    #[serde(default)]
    pub progress: Option<Progress>,
    /// All so far, in order.
    #[serde(default)]
    pub messages: Vec<Message>,
    /// The names of its results; they may come a little after its success.
    #[serde(default, deserialize_with = "names")]
    pub results: Vec<String>,
}

/// What a job does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobStatus {
    /// Accepted, and not in line yet: it can't be cancelled.
    Submitted,
    /// In line.
    Waiting,
    /// At work.
    Executing,
    /// Told to end.
    Cancelling,
    /// Done.
    Succeeded,
    /// It failed.
    Failed,
    /// It took longer than its server allows.
    TimedOut,
    /// It was told to end, and has.
    Cancelled,
    /// It is removed.
    Deleted,
    /// Something that ArcGIS does not document: it goes on, as far as one can tell.
    Other(String),
}

impl<'de> Deserialize<'de> for JobStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<JobStatus, D::Error> {
        let name = String::deserialize(deserializer)?;
        Ok(match name.as_str() {
            "esriJobNew" | "esriJobSubmitting" | "esriJobSubmitted" => JobStatus::Submitted,
            "esriJobWaiting" => JobStatus::Waiting,
            "esriJobExecuting" => JobStatus::Executing,
            "esriJobCancelling" | "esriJobDeleting" => JobStatus::Cancelling,
            "esriJobSucceeded" => JobStatus::Succeeded,
            "esriJobFailed" => JobStatus::Failed,
            "esriJobTimedOut" => JobStatus::TimedOut,
            "esriJobCancelled" => JobStatus::Cancelled,
            "esriJobDeleted" => JobStatus::Deleted,
            _ => JobStatus::Other(name),
        })
    }
}

impl JobStatus {
    /// Whether nothing more comes of it.
    pub fn has_ended(&self) -> bool {
        use JobStatus::{Cancelled, Deleted, Failed, Succeeded, TimedOut};
        matches!(self, Succeeded | Failed | TimedOut | Cancelled | Deleted)
    }
}

/// How far a job is.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Progress {
    /// For people.
    #[serde(default)]
    pub message: String,
    /// 0 to 100, where the tool knows.
    #[serde(default)]
    pub percent: Option<f64>,
}

/// Something that a tool said.
#[derive(Clone, Debug, Deserialize)]
pub struct Message {
    /// How grave it is.
    #[serde(rename = "type")]
    pub kind: MessageKind,
    /// For people.
    #[serde(default)]
    pub description: String,
}

/// How grave a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum MessageKind {
    /// It went wrong.
    #[serde(rename = "esriJobMessageTypeError")]
    Error,
    /// It may be wrong.
    #[serde(rename = "esriJobMessageTypeWarning")]
    Warning,
    /// It stopped early.
    #[serde(rename = "esriJobMessageTypeAbort")]
    Abort,
    /// It is good to know.
    #[serde(other)]
    Informative,
}

/// One result of a job.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GpResult {
    /// ArcGIS's name for what it is, such as `GPString`.
    #[serde(default)]
    pub data_type: String,
    /// As the server wrote it.
    #[serde(default)]
    pub value: Option<Box<RawValue>>,
}

fn names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let results: Option<BTreeMap<String, Value>> = Option::deserialize(deserializer)?;
    Ok(results.unwrap_or_default().into_keys().collect())
}
