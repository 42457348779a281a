//! A report that a portal makes: begun there, awaited, and kept as an artifact.

use async_trait::async_trait;
use bytes::Bytes;
use isochrone_arcgis::Error;
use isochrone_arcgis::jobs::{JobState, Part, Results};
use isochrone_arcgis::reports::Reports;
use isochrone_domain::{AttemptEnd, LogStream, Reason};
use isochrone_worker::Attempt;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::file_name;
use super::portal_parameters::PortalReport;
use crate::remote::{failed, refused};
use crate::remote_job::{RemoteJob, Seen, UnknownWord, follow};
use crate::remote_results::fetched;
use crate::submission::{self, not_begun, submit_until_known};

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
    let unknown = UnknownWord::default();
    let mut job = Following { reports, report, handle: &handle, url, ended: false, unknown };
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
    /// It was removed.
    ended: bool,
    unknown: UnknownWord,
}

impl Following<'_> {
    async fn keep(&self, attempt: &Attempt) -> AttemptEnd {
        let name = file_name(&self.report.name, self.report.span, attempt.run().planned);
        let fetch = async || {
            let bytes = self.reports.data(&self.handle.item_id).await?;
            let media_type = "text/csv; charset=utf-8".to_owned();
            Ok(Results { parts: vec![Part { name: name.clone(), media_type, bytes }], note: None })
        };
        let results = fetched(attempt, fetch).await;
        for part in &results.parts {
            let data = Bytes::from(part.bytes.clone());
            if let Err(error) = attempt.keep(&part.name, &part.media_type, data).await {
                return failed(Reason::Internal, &format!("the report could not be kept: {error}"));
            }
        }
        // It was made, and is at the portal.
        let name = results.parts.first().map(|part| &part.name);
        if let Some(note) = &results.note {
            attempt.log(LogStream::System, note).await;
        }
        let result = json!({
            "backend": "portal", "status": "succeeded", "reportSubType": self.report.name, "report": name,
            "itemId": self.handle.item_id, "from": self.report.span.map(|span| span.from),
            "to": self.report.span.map(|span| span.to),
            "note": results.note,
        });
        AttemptEnd::Succeeded { result: result.to_string() }
    }
}

#[async_trait]
impl RemoteJob for Following<'_> {
    fn url(&self) -> &str {
        &self.url
    }

    async fn look(&mut self, attempt: &Attempt) -> Result<Seen, Error> {
        // A new item may not be seen for a while: it is looked for again.
        let report = self.reports.state(&self.handle.owner, &self.handle.item_id).await?;
        self.unknown.note(attempt, &report.state).await;
        let why = || report.message.as_deref().unwrap_or("the portal does not say why");
        Ok(match report.state {
            JobState::Succeeded => Seen::Ended(self.keep(attempt).await),
            JobState::Failed | JobState::TimedOut => {
                Seen::Ended(failed(Reason::ExecutionError, &format!("the portal made no report: {}", why())))
            }
            JobState::Cancelled => Seen::Ended(failed(
                Reason::Cancelled,
                &format!("the report was ended at the portal: {}", why()),
            )),
            _ => {
                attempt.progress(None, report.word.to_lowercase()).await;
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
