//! A task's runs.

use isochrone_domain::{Amendment, Outcome, Run, RunId, Task};
use isochrone_scheduler::delete_artifacts;
use isochrone_store::RunFilter;
use serde::Serialize;
use utoipa::ToSchema;

use super::artifacts::segment;
use super::wire::{Changed, RunDocument};
use super::{Admitted, Of};
use crate::answer::{Answer, Document, Failure, missing};
use crate::request::Parameters;

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunList {
    total: u64,
    start: u64,
    num: u64,
    next_start: i64,
    runs: Vec<RunDocument>,
}

/// `GET tasks/<id>/runs`
pub(crate) async fn runs(of: Of<'_>, task: &str) -> Result<Answer, Failure> {
    let admitted = of.reader().await?;
    let task = admitted.task(task).await?;
    let paging = admitted.call.parameters.paging(30, 100)?;
    let filter = RunFilter { task: Some(task.id), ..RunFilter::default() };
    let found = admitted.portal.submissions.runs(&admitted.caller, &filter, paging.page()).await?;
    let links: Vec<_> = found.rows.iter().map(|run| (label(run), path(&admitted, run))).collect();
    let list = RunList {
        total: found.total,
        start: paging.start,
        num: paging.num,
        next_start: paging.next_start(found.rows.len(), found.total),
        runs: found.rows.into_iter().map(|run| document(&admitted, run)).collect(),
    };
    let page = Document::new("Runs", list);
    Ok(links.into_iter().fold(page, |page, (label, path)| page.link(label, path)).into())
}

/// `GET tasks/<id>/runs/<runId>`
pub(crate) async fn run(of: Of<'_>, task: &str, run: &str) -> Result<Answer, Failure> {
    let admitted = of.reader().await?;
    let (task, run) = admitted.run(task, run).await?;
    let path = path(&admitted, &run);
    let kept: Vec<String> = run.artifacts.iter().map(|artifact| artifact.name.clone()).collect();
    let page = Document::new(label(&run), document(&admitted, run).with_task(task));
    let page = page.link("Log", format!("{path}/log"));
    let artifact = |name: &str| format!("{path}/artifacts/{}", segment(name));
    Ok(kept.iter().fold(page, |page, name| page.link(name.clone(), artifact(name))).into())
}

/// `POST tasks/<id>/runs/<runId>/cancel`: Isochrone's own.
pub(crate) async fn cancel(of: Of<'_>, task: &str, run: &str) -> Result<Answer, Failure> {
    let admitted = of.changer().await?;
    let (_, run) = admitted.run(task, run).await?;
    let run = admitted.portal.submissions.cancel_run(&admitted.caller, run.id).await?;
    Ok(changed(&admitted, "Cancel asked for", &run))
}

/// `POST tasks/<id>/runs/<runId>/retry`: Isochrone's own.
pub(crate) async fn retry(of: Of<'_>, task: &str, run: &str) -> Result<Answer, Failure> {
    let admitted = of.changer().await?;
    let (_, run) = admitted.run(task, run).await?;
    let run = admitted.portal.submissions.retry_run(&admitted.caller, run.id).await?;
    Ok(changed(&admitted, "Retry asked for", &run))
}

/// `POST tasks/<id>/runs/<runId>/update`: `status` and `result` (`results` by clients of ArcGIS on
/// Kubernetes).
pub(crate) async fn update(of: Of<'_>, task: &str, run: &str) -> Result<Answer, Failure> {
    let admitted = of.changer().await?;
    let (_, run) = admitted.run(task, run).await?;
    let parameters = &admitted.call.parameters;
    let result = parameters.given("result").or_else(|| parameters.given("results")).map(str::to_owned);
    let amendment = Amendment { outcome: outcome(parameters, &run)?, result };
    if amendment == Amendment::default() && parameters.given("status").is_none() {
        return Err(Failure::parameter("status", "is required where there is no 'result'"));
    }
    let run = admitted.portal.submissions.amend_run(&admitted.caller, run.id, amendment).await?;
    Ok(changed(&admitted, "Run updated", &run))
}

/// `POST tasks/<id>/runs/<runId>/delete`
pub(crate) async fn delete(of: Of<'_>, task: &str, run: &str) -> Result<Answer, Failure> {
    let admitted = of.changer().await?;
    let (_, run) = admitted.run(task, run).await?;
    let run = admitted.portal.submissions.delete_run(&admitted.caller, run.id).await?;
    if let Err(error) = delete_artifacts(&*admitted.portal.artifacts, run.id).await {
        tracing::warn!(run_id = %run.id, %error, "artifacts of a deleted run are left");
    }
    let runs = format!("{}/runs", admitted.path(run.task));
    Ok(Document::new("Run deleted", Changed::run(&run)).link("Runs", runs).into())
}

/// The outcome that `status` says, in any case. None: the run is so already; clients send back what they
/// read.
fn outcome(parameters: &Parameters, run: &Run) -> Result<Option<Outcome>, Failure> {
    let Some(status) = parameters.given("status") else { return Ok(None) };
    let status = status.to_ascii_lowercase();
    if status == run.status.wire() {
        return Ok(None);
    }
    let outcomes = [Outcome::Succeeded, Outcome::Failed, Outcome::Skipped, Outcome::SubmitFailed];
    if let Some(outcome) = outcomes.into_iter().find(|outcome| outcome.name() == status) {
        return Ok(Some(outcome));
    }
    Err(Failure::parameter(
        "status",
        match status.as_str() {
            "scheduled" | "executing" => "can't be set back by hand: use retry",
            _ => "is unknown; expected succeeded, failed, skipped or submitfailed",
        },
    ))
}

impl Admitted<'_> {
    /// The task's run with this id, and the task.
    pub(super) async fn run(&self, task: &str, run: &str) -> Result<(Task, Run), Failure> {
        let task = self.task(task).await?;
        let id: RunId = run.parse().map_err(|_| missing("run"))?;
        let run = self.portal.submissions.run(&self.caller, id).await?;
        if run.task == task.id { Ok((task, run)) } else { Err(missing("run")) }
    }
}

fn changed(admitted: &Admitted<'_>, title: &str, run: &Run) -> Answer {
    Document::new(title, Changed::run(run)).link("Run", path(admitted, run)).into()
}

fn document(admitted: &Admitted<'_>, run: Run) -> RunDocument {
    let url = admitted.call.url(&path(admitted, &run));
    RunDocument::new(run, url)
}

fn path(admitted: &Admitted<'_>, run: &Run) -> String {
    format!("{}/runs/{}", admitted.path(run.task), run.id)
}

fn label(run: &Run) -> String {
    format!("Run of {}: {}", run.planned, run.status.wire())
}
