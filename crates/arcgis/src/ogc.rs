//! OGC API - Processes: the other dialect of geoprocessing. A process is executed as a job; its `Location` tells of
//! it, `/results` below it has what came of it, `DELETE` dismisses it.

use std::time::Duration;

use reqwest::header::{self, HeaderMap};
use reqwest::{Method, RequestBuilder, StatusCode, Url};
use serde::Deserialize;
use serde_json::Value;

use crate::gp::NotSubmitted;
use crate::http::{self, bytes, retry_after};
use crate::{Error, Outbound, Refusal, Result};

/// Of an answer.
const LARGEST: usize = 16 << 20;
/// Of a server's words that are shown.
const SHOWN: usize = 1_000;

/// A process of a server.
#[derive(Clone, Debug)]
pub struct Process {
    outbound: Outbound,
    /// `.../processes/<id>`, without a slash at its end.
    url: Url,
}

/// What became of an execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Executed {
    /// It was done at once: the results, as the server wrote them.
    Done(String),
    /// A job goes on there.
    Job(String),
}

/// A job as its server shows it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Job {
    /// What it does.
    pub status: JobStatus,
    /// For people.
    #[serde(default)]
    pub message: Option<String>,
    /// 0 to 100.
    #[serde(default)]
    pub progress: Option<u8>,
    /// When the server wants to be asked again.
    #[serde(skip)]
    pub again_in: Option<Duration>,
}

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobStatus {
    /// In line.
    Accepted,
    /// At work.
    Running,
    /// Done.
    Successful,
    /// It failed.
    Failed,
    /// It was dismissed.
    Dismissed,
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

    /// Executes the process. `body`: a JSON object with its `inputs`. It is sent once: a server that did not answer
    /// may have begun a job.
    pub async fn execute(&self, body: &Value) -> std::result::Result<Executed, NotSubmitted> {
        let url = format!("{}/execution", self.url);
        let sent = self
            .outbound
            .send(
                // To the letter: some servers know only this.
                |client| {
                    client
                        .post(&url)
                        .header("Prefer", "respond-async")
                        .header(header::ACCEPT, "application/json")
                        .json(body)
                },
                begun,
            )
            .await?;
        let (status, headers, body) = sent.map_err(NotSubmitted::Unknown)?;
        match headers.get(header::LOCATION).and_then(|value| value.to_str().ok()) {
            Some(location) => self.own(location).map(|url| Executed::Job(url.into())),
            None if status == StatusCode::OK => results(&headers, body).map(Executed::Done),
            None => Err(Error::Unreadable("it began a job and does not say where".to_owned())),
        }
        .map_err(NotSubmitted::Unknown)
    }

    /// A job as it is.
    pub async fn job(&self, location: &str) -> Result<Job> {
        let (_, headers, body) = self.ask(Method::GET, self.own(location)?).await?;
        let job: Job = serde_json::from_str(&body).map_err(|error| Error::Unreadable(error.to_string()))?;
        Ok(Job { again_in: retry_after(&headers), ..job })
    }

    /// What came of a job, as the server wrote it.
    pub async fn results(&self, location: &str) -> Result<String> {
        let mut url = self.own(location)?;
        let path = format!("{}/results", url.path().trim_end_matches('/'));
        url.set_path(&path);
        let (_, headers, body) = self.ask(Method::GET, url).await?;
        results(&headers, body)
    }

    /// Dismisses a job.
    pub async fn dismiss(&self, location: &str) -> Result<()> {
        self.ask(Method::DELETE, self.own(location)?).await.map(drop)
    }

    async fn ask(&self, method: Method, url: Url) -> Result<(StatusCode, HeaderMap, String)> {
        let request = |client: &reqwest::Client| {
            client.request(method.clone(), url.clone()).header(header::ACCEPT, "application/json")
        };
        self.outbound.send(request, answer).await
    }

    /// A job's address, if it is at this server: the token goes nowhere else.
    fn own(&self, location: &str) -> Result<Url> {
        let wrong = |why: &str| Error::Unreadable(format!("its job {why}"));
        let url = self.url.join(location).map_err(|_| wrong("has no readable address"))?;
        let url = self.outbound.admit(url.as_str())?;
        if url.origin() == self.url.origin() { Ok(url) } else { Err(wrong("is at another server")) }
    }
}

/// The process's id in a URL's path.
fn id_of(path: &str) -> Option<&str> {
    let (_, id) = path.trim_end_matches('/').rsplit_once("/processes/")?;
    (!id.is_empty() && !id.contains('/')).then_some(id)
}

/// Results are JSON, or of a kind that the answer names: a page that a proxy puts in their place is none.
fn results(headers: &HeaderMap, body: String) -> Result<String> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if kind.contains("html") {
        return Err(Error::Unreadable("it is a page".to_owned()));
    }
    if kind.is_empty() || kind.contains("json") {
        let read = serde_json::from_str::<serde::de::IgnoredAny>(&body);
        read.map_err(|error| Error::Unreadable(error.to_string()))?;
    }
    Ok(body)
}

/// As [`http::begun`].
async fn begun(request: RequestBuilder) -> Result<Result<(StatusCode, HeaderMap, String)>> {
    let response = match http::sent_once(request).await? {
        Ok(response) => response,
        Err(unknown) => return Ok(Err(unknown)),
    };
    http::has_begun(response.status().as_u16(), read(response).await)
}

async fn answer(request: RequestBuilder) -> Result<(StatusCode, HeaderMap, String)> {
    read(http::answered(request).await?).await
}

async fn read(response: reqwest::Response) -> Result<(StatusCode, HeaderMap, String)> {
    let (status, headers) = (response.status(), response.headers().clone());
    let body = String::from_utf8_lossy(&bytes(response, LARGEST).await?).into_owned();
    if status.is_success() {
        return Ok((status, headers, body));
    }
    // RFC 7807, or what servers made before it.
    let told: Value = serde_json::from_str(&body).unwrap_or_default();
    let words = ["detail", "description", "title"].iter().find_map(|name| told[name].as_str());
    let words: String =
        words.unwrap_or(&body).chars().filter(|letter| !letter.is_control()).take(SHOWN).collect();
    let code = Some(status.as_u16().into());
    Err(match status {
        StatusCode::UNAUTHORIZED => Error::Token(Refusal { code, message: words, details: Vec::new() }),
        _ => Error::told(Refusal { code, message: words, details: Vec::new() }),
    })
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
}
