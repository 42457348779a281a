//! ArcGIS Workflow Manager: jobs are made from templates, run and stopped. Unlike the rest of ArcGIS it takes JSON.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::gp::NotSubmitted;
use crate::{Error, Outbound, Result, answer, http};

/// One workflow item of a Workflow Manager server.
#[derive(Clone, Debug)]
pub struct Workflow {
    outbound: Outbound,
    /// Without a slash at its end.
    base: String,
}

/// A job as its server shows it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowJob {
    /// Names it.
    pub job_id: String,
    /// Whether it is over.
    #[serde(default)]
    pub closed: bool,
    /// 0 to 100.
    #[serde(default)]
    pub percent_complete: Option<f64>,
    /// Where it is.
    #[serde(default)]
    pub current_steps: Vec<Step>,
}

/// A step that a job is at.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// Names it.
    #[serde(default)]
    pub step_id: String,
    /// For people.
    #[serde(default)]
    pub step_name: String,
    /// The server's word for what the step does.
    #[serde(default)]
    pub step_status: String,
}

/// What was asked of a job's steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Go on.
    Run,
    /// Stop.
    Stop,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Created {
    #[serde(default)]
    job_ids: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Acted {
    #[serde(default)]
    step_responses: Vec<StepResponse>,
}

#[derive(Debug, Deserialize)]
struct StepResponse {
    #[serde(default)]
    status: String,
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
        format!("{}/jobs/{id}", self.base)
    }

    /// Makes a job of a template, under an id of our own: a second one of that id is refused.
    pub async fn create(
        &self,
        template: &str,
        id: &str,
        fields: &Map<String, Value>,
    ) -> std::result::Result<(), NotSubmitted> {
        let url =
            format!("{}/jobTemplates/{}/job", self.base, utf8_percent_encode(template, NON_ALPHANUMERIC));
        let mut body = fields.clone();
        body.insert("numberOfJobs".to_owned(), json!(1));
        body.insert("jobId".to_owned(), json!(id));
        let sent = self.outbound.send(|client| client.post(&url).json(&body), http::begun).await?;
        let created: Created =
            answer::parse(&sent.map_err(NotSubmitted::Unknown)?).map_err(NotSubmitted::Unknown)?;
        let ours = |made: &String| made.trim_matches(['{', '}']).eq_ignore_ascii_case(id);
        if created.job_ids.iter().any(ours) {
            return Ok(());
        }
        Err(NotSubmitted::Unknown(Error::Unreadable("it made a job of another id".to_owned())))
    }

    /// A job as it is.
    pub async fn job(&self, id: &str) -> Result<WorkflowJob> {
        let url = self.job_url(id);
        answer::parse(&self.outbound.document(|client| client.get(&url).query(&[("f", "json")])).await?)
    }

    /// Asks a job's current steps for something; gives the server's words for what came of it, a step each.
    pub async fn act(&self, id: &str, action: Action) -> Result<Vec<String>> {
        let (url, kind) =
            (format!("{}/action", self.job_url(id)), if action == Action::Run { "Run" } else { "Stop" });
        let body = json!({"type": kind});
        let acted: Acted =
            answer::parse(&self.outbound.document(|client| client.post(&url).json(&body)).await?)?;
        Ok(acted.step_responses.into_iter().map(|response| response.status).collect())
    }
}
