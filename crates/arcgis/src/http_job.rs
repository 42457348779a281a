//! Jobs of a server that speaks plain HTTP: `POST` begins one, its `Location` tells of it, `DELETE` ends it.
//!
//! `POST` carries `Idempotency-Key`: asked again with the same key, the server answers for the same job. It answers
//! 201 or 202 with `Location`, or another 2xx where the work is done at once: with nothing, or with what came of it.
//! `Location` answers a [`JobStatus`]. What servers answer that keep less to this is told in [`crate::jobs`].

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Url, header};
use serde::Serialize;

use crate::http::{LARGEST_DOCUMENT, LARGEST_RESULTS};
use crate::jobs::address::Origin;
use crate::jobs::submit;
use crate::jobs::submit::order::{self, Ordered};
use crate::jobs::{JobStatus, SubmitOutcome, has_results};
use crate::{Egress, Error, Outbound, Refusal, Result, Trust};

/// Redirects that are followed to a job's state.
const REDIRECTS: usize = 5;

/// A server that takes jobs.
#[derive(Clone)]
pub struct HttpJobs {
    outbound: Outbound,
    url: Url,
    token: Option<String>,
    /// The last segment of its path, with slashes around it.
    below: String,
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
        let last = own.path().trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let below = if last.is_empty() { "/".to_owned() } else { format!("/{last}/") };
        Ok(HttpJobs {
            url: egress.admit(url)?,
            outbound: Outbound::new(egress, trust, None, timeout)?,
            token,
            below,
        })
    }

    /// Gives an order. Where nobody knows whether it was taken, it may be given again: the server knows it by its run.
    pub async fn begin(&self, order: &Order<'_>) -> SubmitOutcome<Ordered> {
        let request = |client: &Client| {
            self.request(client, Method::POST, &self.url).header("Idempotency-Key", &order.run_id).json(order)
        };
        let admits = |url: &Url| self.outbound.admits(url);
        let origin = self.origin(&admits);
        let outcome =
            self.outbound.submit(request, LARGEST_RESULTS, |exchange| order::order(exchange, &origin)).await;
        // Some servers repeat what they refuse.
        match outcome {
            SubmitOutcome::BegunWithoutHandle(words) => {
                SubmitOutcome::BegunWithoutHandle(self.hidden(&words))
            }
            SubmitOutcome::NotBegun { error, retryable } => {
                SubmitOutcome::NotBegun { error: self.without_token(error), retryable }
            }
            SubmitOutcome::Unknown(error) => SubmitOutcome::Unknown(self.without_token(error)),
            begun @ SubmitOutcome::Begun(_) => begun,
        }
    }

    /// What a job does. `goes_on`: the server has said so by HTTP's 202 alone, so that another 2xx is its end.
    pub async fn look(&self, location: &str, goes_on: bool) -> Result<JobStatus> {
        let mut url = self.outbound.admit(location)?;
        // Where there are results rather than a job that tells of itself.
        let mut elsewhere = has_results(&url);
        for _ in 0..REDIRECTS {
            let request = |client: &Client| self.request(client, Method::GET, &url);
            let response =
                self.outbound.response_here(request).await.map_err(|error| self.without_token(error))?;
            if !(300..400).contains(&response.status) {
                let status = JobStatus::read_by_http(&response, goes_on || elsewhere);
                return status.map_err(|error| self.without_token(error));
            }
            // What 303 leads to is what came of the job.
            elsewhere |= response.status == 303;
            let next = url.join(&response.header(header::LOCATION));
            let own = next.ok().filter(|next| next.origin() == url.origin() && self.outbound.admits(next));
            url = own.ok_or_else(|| Error::Unavailable("it redirects to another server".to_owned()))?;
        }
        Err(Error::Unavailable("too many redirects".to_owned()))
    }

    /// Ends a job.
    pub async fn end(&self, location: &str) -> Result<()> {
        let url = self.outbound.admit(location)?;
        let request = |client: &Client| self.request(client, Method::DELETE, &url);
        let response = self
            .outbound
            .response(request, LARGEST_DOCUMENT)
            .await
            .map_err(|error| self.without_token(error))?;
        if response.is_success() { Ok(()) } else { Err(self.without_token(submit::by_status(&response))) }
    }

    fn request(&self, client: &Client, method: Method, url: &Url) -> RequestBuilder {
        let request =
            client.request(method, url.clone()).header(header::ACCEPT, "application/json, */*;q=0.8");
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// How what the server tells of its jobs is read: a job's id is a name below the address of orders.
    fn origin<'a>(&'a self, admits: &'a (dyn Fn(&Url) -> bool + Sync)) -> Origin<'a> {
        let path = self.url.path().trim_end_matches('/');
        let root = path.rfind('/').map_or("", |at| &path[..at]);
        Origin { asked: &self.url, root, below: &self.below, admits }
    }

    fn without_token(&self, error: Error) -> Error {
        let plain = |refusal: Refusal| Refusal {
            message: self.hidden(&refusal.message),
            details: refusal.details.iter().map(|detail| self.hidden(detail)).collect(),
            ..refusal
        };
        match error {
            Error::Token(refusal) => Error::Token(plain(refusal)),
            Error::Forbidden(refusal) => Error::Forbidden(plain(refusal)),
            Error::Refused(refusal) => Error::Refused(plain(refusal)),
            Error::Unavailable(text) => Error::Unavailable(self.hidden(&text)),
            Error::Unreadable(text) => Error::Unreadable(self.hidden(&text)),
            other => other,
        }
    }

    fn hidden(&self, text: &str) -> String {
        match self.token.as_deref().filter(|token| !token.is_empty()) {
            Some(token) => text.replace(token, "(hidden)"),
            None => text.to_owned(),
        }
    }
}
