//! Asynchronous geoprocessing: a job is submitted, looked at, and cancelled.

mod documents;

use std::collections::BTreeMap;

use reqwest::{Client, RequestBuilder};
use serde_json::value::RawValue;

pub use documents::{GpResult, Job, Message, MessageKind, Progress};

use crate::http::LARGEST_DOCUMENT;
use crate::jobs::address::segment;
use crate::jobs::{SubmitOutcome, status, submit};
use crate::{Error, Outbound, Result, answer};

/// An asynchronous geoprocessing task of a server.
#[derive(Clone, Debug)]
pub struct GpTask {
    outbound: Outbound,
    /// Without a slash at its end.
    url: String,
}

/// A task as its server describes it.
#[derive(Clone, Debug)]
pub struct Description {
    /// The document, as it was sent.
    pub text: String,
    /// Whether the task runs as a job; a synchronous one has none.
    pub is_asynchronous: bool,
}

impl GpTask {
    /// The task there, as `https://host/context/rest/services/.../GPServer/<task>`.
    pub fn new(outbound: Outbound, url: &str) -> Result<GpTask> {
        let wrong =
            || Error::Config("the URL leads to no geoprocessing task (.../GPServer/<task>)".to_owned());
        let read = outbound.admit(url)?;
        let (_, task) = read.path().trim_end_matches('/').rsplit_once("/GPServer/").ok_or_else(wrong)?;
        if task.is_empty() || task.contains('/') || read.query().is_some() || read.fragment().is_some() {
            return Err(wrong());
        }
        Ok(GpTask { outbound: outbound.toward(&read), url: read.as_str().trim_end_matches('/').to_owned() })
    }

    /// Where a job of the task is.
    pub fn job_url(&self, id: &str) -> String {
        // What is no segment of a path is refused where requests are.
        format!("{}/jobs/{}", self.url, segment(id).as_deref().unwrap_or(id))
    }

    /// How its server describes the task.
    pub async fn description(&self) -> Result<Description> {
        let text = self.outbound.document(|client| get(client, &self.url)).await?;
        let described: documents::Task = answer::parse(&text)?;
        let is_asynchronous = described.execution_type.as_deref() != Some("esriExecutionTypeSynchronous");
        Ok(Description { text, is_asynchronous })
    }

    /// Begins a job, and gives its id. It is sent once: a server that did not answer may have begun it.
    pub async fn submit(&self, parameters: &Parameters) -> SubmitOutcome<String> {
        let url = format!("{}/submitJob", self.url);
        let form: Vec<(&str, &str)> = parameters.form().chain([("f", "json")]).collect();
        self.outbound
            .submit(|client| client.post(&url).form(&form), LARGEST_DOCUMENT, submit::arcgis::geoprocessing)
            .await
    }

    /// A job's state, with its messages.
    pub async fn job(&self, id: &str) -> Result<Job> {
        let response =
            self.outbound.response(|client| get(client, &self.job_url(id)), LARGEST_DOCUMENT).await?;
        let (state, document) = status::document(&response)?;
        Ok(Job::read(state, &document))
    }

    /// What a job that succeeded has under this name.
    pub async fn result(&self, id: &str, name: &str) -> Result<GpResult> {
        let name =
            segment(name).ok_or_else(|| Error::Unreadable("its name is none of a result".to_owned()))?;
        let url = format!("{}/results/{name}", self.job_url(id));
        let result = self.outbound.document(|client| get(client, &url)).await?;
        Ok(GpResult::read(&result))
    }

    /// Asks for the job's end. Servers refuse that before it waits and after it has ended; some tools go on.
    pub async fn cancel(&self, id: &str) -> Result<()> {
        let url = format!("{}/cancel", self.job_url(id));
        self.outbound.document(|client| client.post(&url).form(&[("f", "json")])).await.map(drop)
    }
}

fn get(client: &Client, url: &str) -> RequestBuilder {
    client.get(url).query(&[("f", "json"), ("returnMessages", "true")])
}

/// A job's parameters as fields of a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters(BTreeMap<String, String>);

impl Parameters {
    /// Of a JSON object: texts as they are, nothing for null, and whatever else as JSON, to the letter.
    pub fn read(object: &str) -> Result<Parameters> {
        let wrong = |why: String| Error::Config(format!("the parameters {why}"));
        let values: BTreeMap<String, Box<RawValue>> =
            serde_json::from_str(object).map_err(|error| wrong(format!("are no JSON object: {error}")))?;
        let mut fields = BTreeMap::new();
        for (name, value) in values {
            if ["f", "token"].iter().any(|own| name.eq_ignore_ascii_case(own)) {
                return Err(wrong(format!("have '{name}', which is not the tool's to have")));
            }
            let text = match value.get() {
                "null" => String::new(),
                json => serde_json::from_str::<String>(json).unwrap_or_else(|_| json.to_owned()),
            };
            fields.insert(name, text);
        }
        Ok(Parameters(fields))
    }

    fn form(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, text)| (name.as_str(), text.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_arcgis_s_clients_write_them() {
        let read = Parameters::read(
            r#"{"dist": {"distance":5,"units":"esriKilometers"}, "layers": [1,2], "flag": true, "n": 1.50, "t": "a b", "none": null}"#,
        );
        let read = read.expect("it is an object");
        let form: Vec<_> = read.form().collect();
        let expected = [
            ("dist", r#"{"distance":5,"units":"esriKilometers"}"#),
            ("flag", "true"),
            ("layers", "[1,2]"),
            ("n", "1.50"),
            ("none", ""),
            ("t", "a b"),
        ];
        assert_eq!(form, expected);
        assert!(Parameters::read("[1]").is_err());
        assert!(Parameters::read(r#"{"Token": "x"}"#).is_err(), "nobody sends another token than ours");
    }
}
