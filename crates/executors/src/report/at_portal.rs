//! A report that a portal makes: begun there, awaited, and kept as an artifact.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use isochrone_arcgis::Error;
use isochrone_arcgis::reports::Reports;
use isochrone_domain::{AttemptEnd, LogStream, Reason};
use isochrone_worker::Attempt;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::Instant;

use super::file_name;
use super::portal_parameters::PortalReport;
use crate::remote::{failed, refused};
use crate::remote_job::{RemoteJob, Seen, follow};
use crate::submission::{self, not_begun, submit_until_known};

/// A new item may not be seen for a while.
const UNSEEN: Duration = Duration::from_secs(15);

/// What finds a report again.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename = "portalReport", rename_all = "camelCase")]
struct Handle {
    owner: String,
    item_id: String,
}

/// Has the portal make the report.
pub(super) async fn carry_out(
    reports: &Reports,
    attempt: &Attempt,
    report: &PortalReport,
) -> Result<AttemptEnd, AttemptEnd> {
    let handle = match submission::kept::<Handle>(attempt) {
        Some(handle) => {
            let goes_on = format!("goes on with the report {}", reports.url(&handle.item_id));
            attempt.log(LogStream::System, goes_on).await;
            handle
        }
        None => begin(reports, attempt, report).await?,
    };
    let url = reports.url(&handle.item_id);
    let mut job = Following { reports, report, handle: &handle, url, since: Instant::now(), ended: false };
    follow(&mut job, attempt).await
}

async fn begin(reports: &Reports, attempt: &Attempt, report: &PortalReport) -> Result<Handle, AttemptEnd> {
    let owner = reports.owner().await.map_err(|error| refused(&error))?;
    if attempt.must_stop().is_some() {
        return Err(not_begun());
    }
    let nowhere = || std::future::ready(Ok(None));
    let item_id = submit_until_known(attempt, || reports.begin(&owner, &report.form), nowhere).await?;
    attempt.log(LogStream::System, format!("begun: {}", reports.url(&item_id))).await;
    let handle = Handle { owner, item_id };
    let end = || reports.delete(&handle.owner, &handle.item_id);
    submission::keep(attempt, &handle, &reports.url(&handle.item_id), end).await?;
    Ok(handle)
}

/// A report as it is followed.
struct Following<'a> {
    reports: &'a Reports,
    report: &'a PortalReport,
    handle: &'a Handle,
    url: String,
    since: Instant,
    /// It was removed.
    ended: bool,
}

impl Following<'_> {
    async fn keep(&self, attempt: &Attempt) -> Result<AttemptEnd, Error> {
        let data = self.reports.data(&self.handle.item_id).await?;
        let name = file_name(&self.report.name, self.report.span, attempt.run().planned);
        if let Err(error) = attempt.keep(&name, "text/csv; charset=utf-8", Bytes::from(data)).await {
            return Ok(failed(Reason::Internal, &format!("the report could not be kept: {error}")));
        }
        let result = json!({
            "backend": "portal", "status": "succeeded", "reportSubType": self.report.name, "report": name,
            "itemId": self.handle.item_id, "from": self.report.span.map(|span| span.from),
            "to": self.report.span.map(|span| span.to),
        });
        Ok(AttemptEnd::Succeeded { result: result.to_string() })
    }
}

#[async_trait]
impl RemoteJob for Following<'_> {
    fn url(&self) -> &str {
        &self.url
    }

    async fn look(&mut self, attempt: &Attempt) -> Result<Seen, Error> {
        let state = match self.reports.state(&self.handle.owner, &self.handle.item_id).await {
            Err(Error::Refused(_)) if !self.ended && self.since.elapsed() < UNSEEN => {
                return Ok(Seen::GoesOn { news: false, again_in: None });
            }
            state => state?,
        };
        Ok(match state.status.to_lowercase().as_str() {
            "completed" => Seen::Ended(self.keep(attempt).await?),
            "failed" => {
                let why = state.status_message.filter(|why| !why.is_empty());
                let why = why.unwrap_or_else(|| "the portal does not say why".to_owned());
                Seen::Ended(failed(Reason::ExecutionError, &format!("the portal made no report: {why}")))
            }
            other => {
                attempt.progress(None, other).await;
                Seen::GoesOn { news: false, again_in: None }
            }
        })
    }

    async fn end(&mut self) -> Result<(), Error> {
        if !self.ended {
            self.reports.delete(&self.handle.owner, &self.handle.item_id).await?;
            self.ended = true;
        }
        Ok(())
    }
}
