//! OGC API - Processes: the other dialect of geoprocessing. A process is executed as a job; its `Location` tells of
//! it, `/results` below it has what came of it, `DELETE` dismisses it.

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Url, header};
use serde_json::Value;

use crate::http::{LARGEST_DOCUMENT, LARGEST_RESULTS};
use crate::jobs::address::Origin;
use crate::jobs::submit;
use crate::jobs::submit::process::{self, Executed};
use crate::jobs::{JobResponse, JobState, JobStatus, Results, SubmitOutcome, fields, handle, has_results};
use crate::{Error, Outbound, Result};

/// What is understood, and what of it is liked best: results need not be JSON.
const ACCEPT: &str = "application/json, */*;q=0.8";
/// How long an answer to a submission is awaited where the process can only run as a job.
const TAKEN_WITHIN: Duration = Duration::from_mins(5);

/// A process of a server.
#[derive(Clone, Debug)]
pub struct Process {
    outbound: Outbound,
    /// `.../processes/<id>`, without a slash at its end.
    url: Url,
}

/// How a process can be executed, as far as its server says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Execution {
    /// As a job, and in no other way.
    Asynchronous,
    /// While the client waits, and in no other way.
    Synchronous,
    /// Either way, or its server does not say. Some say so of what they do only while the client waits (pygeoapi, of all
    /// its processes).
    Either,
}

/// A job as its server shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// What it does.
    pub status: JobStatus,
    /// Where its results are, if it says so.
    pub results: Option<String>,
}

impl Process {
    /// Whether the URL leads to a process rather than to a task of ArcGIS.
    pub fn is_named_by(url: &str) -> bool {
        id_of(url.split(['?', '#']).next().unwrap_or_default()).is_some()
    }

    /// The process there, as `https://host[/path]/processes/<id>`.
    pub fn new(outbound: Outbound, url: &str) -> Result<Process> {
        let url = outbound.admit(url.trim_end_matches('/'))?;
        if id_of(url.path()).is_none() || url.query().is_some() || url.fragment().is_some() {
            return Err(Error::Config("the URL leads to no process (.../processes/<id>)".to_owned()));
        }
        Ok(Process { outbound: outbound.toward(&url), url })
    }

    /// The process's description, as its server sends it. None: it is no JSON.
    pub async fn description(&self) -> Result<Option<Value>> {
        let response = self.ask(Method::GET, &self.url, LARGEST_DOCUMENT).await?;
        if response.is_success() { Ok(response.json()) } else { Err(submit::by_status(&response)) }
    }

    /// Executes the process. `body`: a JSON object with its `inputs`; `longest`: how long its answer is awaited where
    /// it comes when all is done. It is sent once: a server that did not answer may have begun a job.
    pub async fn execute(&self, body: &Value, how: Execution, longest: Duration) -> SubmitOutcome<Executed> {
        let Ok(asked) = Url::parse(&format!("{}/execution", self.url)) else {
            let error = Error::Config(format!("'{}' is no URL", self.url));
            return SubmitOutcome::NotBegun { error, retryable: false };
        };
        let request = |client: &Client| {
            let request = client.post(asked.clone()).header(header::ACCEPT, ACCEPT).json(body);
            match how {
                // To the letter: some servers know only this.
                Execution::Asynchronous => request.header("Prefer", "respond-async").timeout(TAKEN_WITHIN),
                Execution::Either => request.header("Prefer", "respond-async").timeout(longest),
                Execution::Synchronous => request.timeout(longest),
            }
        };
        let admits = |url: &Url| self.outbound.admits(url);
        let origin = self.origin(&asked, &admits);
        self.outbound.submit(request, LARGEST_RESULTS, |exchange| process::process(exchange, &origin)).await
    }

    /// A job as it is.
    pub async fn job(&self, location: &str) -> Result<Job> {
        let url = self.own(location)?;
        let response = self.ask(Method::GET, &url, LARGEST_DOCUMENT).await?;
        let status = match JobStatus::read(&response) {
            // A redirect may lead to what came of the execution, rather than to a job that tells of it.
            Err(Error::Unreadable(_)) if has_results(&url) && Results::read(response.clone()).is_ok() => {
                let status = JobStatus::of(JobState::Succeeded);
                return Ok(Job { status, results: Some(location.to_owned()) });
            }
            status => status?,
        };
        let admits = |url: &Url| self.outbound.admits(url);
        let origin = self.origin(&url, &admits);
        let links = response.json().map(|document| handle::of_results(&document)).unwrap_or_default();
        let results = links.iter().find_map(|address| origin.own(address)).map(String::from);
        Ok(Job { status, results })
    }

    /// What came of a job, as the server wrote it. `told`: where that is, if the job says so.
    pub async fn results(&self, location: &str, told: Option<&str>) -> Result<Results> {
        let mut url = self.own(told.unwrap_or(location))?;
        if told.is_none() {
            let path = format!("{}/results", url.path().trim_end_matches('/'));
            url.set_path(&path);
        }
        Results::read(self.ask(Method::GET, &url, LARGEST_RESULTS).await?)
    }

    /// Dismisses a job.
    pub async fn dismiss(&self, location: &str) -> Result<()> {
        let response = self.ask(Method::DELETE, &self.own(location)?, LARGEST_DOCUMENT).await?;
        if response.is_success() { Ok(()) } else { Err(submit::by_status(&response)) }
    }

    async fn ask(&self, method: Method, url: &Url, most: usize) -> Result<JobResponse> {
        let request = |client: &Client| -> RequestBuilder {
            client.request(method.clone(), url.clone()).header(header::ACCEPT, ACCEPT)
        };
        self.outbound.response(request, most).await
    }

    /// How what the server tells of its jobs is read.
    fn origin<'a>(&'a self, asked: &'a Url, admits: &'a (dyn Fn(&Url) -> bool + Sync)) -> Origin<'a> {
        let root = self.url.path().rsplit_once("/processes/").map_or("", |(root, _)| root);
        Origin { asked, root, below: "/jobs/", admits }
    }

    /// A job's address, if it is at this server: the token goes nowhere else.
    fn own(&self, location: &str) -> Result<Url> {
        let wrong = |why: &str| Error::Unreadable(format!("its job {why}"));
        let url = self.url.join(location).map_err(|_| wrong("has no readable address"))?;
        let url = self.outbound.admit(url.as_str())?;
        if url.origin() == self.url.origin() { Ok(url) } else { Err(wrong("is at another server")) }
    }
}

impl Execution {
    /// What a process's description says of its execution.
    pub fn described(document: &Value) -> Execution {
        let described =
            fields::field(document, "process").filter(|inner| inner.is_object()).unwrap_or(document);
        let options = match fields::field(described, "jobcontroloptions") {
            Some(Value::Array(options)) => options.iter().filter_map(Value::as_str).collect(),
            Some(Value::String(options)) => vec![options.as_str()],
            _ => Vec::new(),
        };
        let has = |word: &str| options.iter().any(|option| option.to_ascii_lowercase().contains(word));
        match (has("async"), options.iter().any(|option| option.to_ascii_lowercase().starts_with("sync"))) {
            (true, false) => Execution::Asynchronous,
            (false, true) => Execution::Synchronous,
            (true, true) | (false, false) => Execution::Either,
        }
    }
}

/// The process's id in a URL's path.
fn id_of(path: &str) -> Option<&str> {
    let (_, id) = path.trim_end_matches('/').rsplit_once("/processes/")?;
    (!id.is_empty() && !id.contains('/')).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_says_which_dialect_it_is() {
        for (url, expected) in [
            ("https://example.com/processes/hello-world", true),
            ("https://example.com/api/v1/processes/hello-world/", true),
            ("https://example.com/processes/", false),
            ("https://example.com/processes/a/execution", false),
            ("https://example.com/server/rest/services/processes/GPServer/Buffer", false),
        ] {
            assert_eq!(Process::is_named_by(url), expected, "{url}");
        }
    }

    #[test]
    fn the_description_says_how_it_is_executed() {
        for (document, expected) in [
            (r#"{"jobControlOptions":["sync-execute","async-execute"]}"#, Execution::Either),
            (r#"{"jobControlOptions":["sync-execute"]}"#, Execution::Synchronous),
            (r#"{"process":{"jobControlOptions":"async-execute dismiss"}}"#, Execution::Asynchronous),
            (r#"{"jobControlOptions":null}"#, Execution::Either),
            ("[]", Execution::Either),
        ] {
            let document = serde_json::from_str(document).expect(document);
            assert_eq!(Execution::described(&document), expected, "{document}");
        }
    }
}
