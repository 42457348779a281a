//! Jobs of a server that speaks plain HTTP: `POST` begins one, its `Location` tells of it, `DELETE` ends it.
//!
//! `POST` carries `Idempotency-Key`: asked again with the same key, the server answers for the same job. It answers
//! 202 with `Location`, or another 2xx where the work is done at once: with nothing, or with what came of it as
//! [`Told`]. `Location` answers [`Told`] with a status.

use std::time::Duration;

use reqwest::header::{self, HeaderMap};
use reqwest::{Method, RequestBuilder, StatusCode, Url};
use serde::{Deserialize, Serialize};

use crate::http::{self, bytes, retry_after};
use crate::{Egress, Error, Outbound, Refusal, Result, Trust};

/// Of an answer.
const LARGEST: usize = 1 << 20;
/// Of a server's words that are shown.
const SHOWN: usize = 1_000;

/// A server that takes jobs.
#[derive(Clone)]
pub struct HttpJobs {
    outbound: Outbound,
    url: Url,
    token: Option<String>,
}

/// What a job is begun for.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Order<'a> {
    /// ArcGIS's name for the task's type.
    #[serde(rename = "type")]
    pub kind: &'a str,
    /// The task.
    pub task_id: String,
    /// The run: the key by which a job is known.
    pub run_id: String,
    /// The item that the task works on.
    pub item_id: Option<String>,
    /// Whose task it is.
    pub owner: &'a str,
    /// As the task has them.
    pub parameters: Option<&'a serde_json::value::RawValue>,
}

/// What became of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It is done; what the server says of it.
    Done(Told),
    /// A job goes on there.
    Job(String),
}

/// What a server says of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Told {
    /// What it does; none: the server does not say.
    #[serde(default)]
    pub status: Option<Status>,
    /// 0 to 100.
    #[serde(default)]
    pub progress: Option<u8>,
    /// What it is at, for people.
    #[serde(default)]
    pub message: Option<String>,
    /// What it came to, or why it failed.
    #[serde(default)]
    pub result: Option<serde_json::Value>,
    /// When to look again.
    #[serde(skip)]
    pub again_in: Option<Duration>,
}

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// In line.
    Accepted,
    /// At work.
    Running,
    /// Done.
    #[serde(alias = "successful", alias = "completed")]
    Succeeded,
    /// It failed.
    Failed,
    /// It was ended.
    #[serde(alias = "canceled", alias = "dismissed")]
    Cancelled,
}

impl HttpJobs {
    /// The server that takes orders at `url`; `token`: sent as a bearer's; `timeout`: of one request, a minute if there
    /// is none.
    pub fn new(
        url: &str,
        token: Option<String>,
        trust: &Trust,
        timeout: Option<Duration>,
    ) -> Result<HttpJobs> {
        let own = Url::parse(url).map_err(|_| Error::Config("it is no URL".to_owned()))?;
        let egress = Egress::new(&[own.origin().ascii_serialization()], false)?;
        Ok(HttpJobs {
            url: egress.admit(url)?,
            outbound: Outbound::new(egress, trust, None, timeout)?,
            token,
        })
    }

    /// Gives an order. It may be given again: the server knows it by its run.
    pub async fn begin(&self, order: &Order<'_>) -> Result<Begun> {
        let request =
            self.request(Method::POST, &self.url).header("Idempotency-Key", &order.run_id).json(order);
        let (status, headers, body) = self.answer(request).await?;
        if status != StatusCode::ACCEPTED {
            let nothing = body.iter().all(u8::is_ascii_whitespace);
            // A page that a proxy puts in its place is no answer.
            let told = if nothing { Told::default() } else { told(&headers, &body)? };
            return Ok(Begun::Done(told));
        }
        let location = headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
        let location = location.ok_or_else(|| Error::Unreadable("202 without a Location".to_owned()))?;
        let location =
            self.url.join(location).map_err(|_| Error::Unreadable("its Location is no URL".to_owned()))?;
        self.outbound
            .admit(location.as_str())
            .map_err(|error| Error::Unreadable(format!("its Location: {error}")))?;
        Ok(Begun::Job(location.into()))
    }

    /// What a job does.
    pub async fn look(&self, location: &str) -> Result<Told> {
        let (_, headers, body) =
            self.answer(self.request(Method::GET, &self.outbound.admit(location)?)).await?;
        let told = told(&headers, &body)?;
        match told.status {
            Some(_) => Ok(told),
            None => Err(Error::Unreadable("it has no 'status'".to_owned())),
        }
    }

    /// Ends a job.
    pub async fn end(&self, location: &str) -> Result<()> {
        self.answer(self.request(Method::DELETE, &self.outbound.admit(location)?)).await.map(drop)
    }

    fn request(&self, method: Method, url: &Url) -> RequestBuilder {
        let request =
            self.outbound.client().request(method, url.clone()).header(header::ACCEPT, "application/json");
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Status, headers and body of an answer that is none of a failure.
    async fn answer(&self, request: RequestBuilder) -> Result<(StatusCode, HeaderMap, Vec<u8>)> {
        let response = http::answered(request).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = bytes(response, LARGEST).await?;
        if status.is_success() {
            return Ok((status, headers, body));
        }
        let mut words = String::from_utf8_lossy(&body).into_owned();
        // Some servers repeat what they refuse.
        if let Some(token) = self.token.as_deref().filter(|token| !token.is_empty()) {
            words = words.replace(token, "(hidden)");
        }
        let words: String = words.chars().filter(|c| !c.is_control()).take(SHOWN).collect();
        let message = format!("HTTP status {}: {words}", status.as_u16());
        Err(Error::told(Refusal { code: Some(status.as_u16().into()), message, details: Vec::new() }))
    }
}

fn told(headers: &HeaderMap, body: &[u8]) -> Result<Told> {
    let told: Told = serde_json::from_slice(body).map_err(|error| Error::Unreadable(error.to_string()))?;
    Ok(Told { again_in: retry_after(headers), ..told })
}
