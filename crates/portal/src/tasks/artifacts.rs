//! What a run left: its log and its artifacts.

use isochrone_store::Page;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use utoipa::ToSchema;

use super::Of;
use super::wire::LineDocument;
use crate::answer::{Answer, Document, Failure, File, missing};
use crate::lasting_access::{Credentials, LastingAccess};

#[derive(Serialize, ToSchema)]
pub(crate) struct Log {
    lines: Vec<LineDocument>,
    total: u64,
}

/// `GET tasks/<id>/runs/<runId>/log`: the lines of all attempts; `start` and `num` choose some of them.
pub(crate) async fn log(of: Of<'_>, task: &str, run: &str) -> Result<Answer, Failure> {
    let admitted = of.reader().await?;
    let (_, run) = admitted.run(task, run).await?;
    let page: Page = admitted.call.parameters.paging(1_000, 10_000)?.page();
    let log = admitted.portal.store.log(run.id, page).await?;
    let lines = log.rows.into_iter().map(LineDocument::from).collect();
    Ok(Document::new("Log", Log { lines, total: log.total }).into())
}

/// `GET tasks/<id>/runs/<runId>/artifacts/<name>`: the bytes. They are a stranger's: a browser must save them
/// and never show them as a page of this portal.
pub(crate) async fn artifact(of: Of<'_>, task: &str, run: &str, name: &str) -> Result<Answer, Failure> {
    let admitted = of.reader().await?;
    let (_, run) = admitted.run(task, run).await?;
    let call = admitted.call;
    let token = call.token.clone().ok_or_else(|| missing("artifact"))?;
    let credentials = Credentials { token, ip: call.ip, referer: call.referer.clone() };
    let access = LastingAccess::new(admitted.portal, credentials, run.id);
    let artifact = run.artifacts.into_iter().find(|artifact| artifact.name == name);
    let artifact = artifact.ok_or_else(|| missing("artifact"))?;
    let location = Path::parse(&artifact.location).map_err(|_| missing("artifact"))?;
    let found = admitted.portal.artifacts.get(&location).await?;
    let size = found.meta.size;
    let body = access.body(found.into_stream());
    Ok(Answer::File(File { name: artifact.name, content_type: artifact.content_type, size, body }))
}

/// An artifact's name as a segment of a URL.
pub(super) fn segment(name: &str) -> String {
    utf8_percent_encode(name, NON_ALPHANUMERIC).to_string()
}
