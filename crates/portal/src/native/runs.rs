//! `/api/v1/runs`, and a task's runs.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use isochrone_domain::{Run, RunId};
use isochrone_scheduler::{Caller, SubmitError};
use isochrone_store::RunFilter;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use utoipa::IntoParams;

use super::asked::{Asked, id, idempotency_key};
use super::cursor::{self, List};
use super::problem::Problem;
use super::signed_in::SignedIn;
use super::tasks;
use super::views::RunView;
use crate::serve::Served;

#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Of this user's tasks; not given: the caller's, an administrator's: everybody's.
    owner: Option<String>,
    /// Ended ones, or ones that have not.
    ended: Option<bool>,
    /// How many at most.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u64>,
    /// As `nextCursor` of the list before it.
    cursor: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct WhichOfTask {
    /// Ended ones, or ones that have not.
    ended: Option<bool>,
    /// How many at most.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u64>,
    /// As `nextCursor` of the list before it.
    cursor: Option<String>,
}

/// Lists runs, the latest planned first.
#[utoipa::path(get, path = "/runs", tag = "runs", params(Which), responses(
    (status = 200, description = "Done", body = List<RunView>), (status = "default", description = "What is wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn list(
    State(served): State<Arc<Served>>,
    SignedIn(caller): SignedIn,
    Asked(which): Asked<Which>,
) -> Result<Json<List<RunView>>, Problem> {
    let owner = tasks::of_whom(which.owner, &caller);
    let filter = RunFilter { task: None, owner, ended: which.ended };
    page(&served, &caller, &filter, which.cursor.as_deref(), which.limit).await
}

/// Lists a task's runs, the latest planned first.
#[utoipa::path(get, path = "/tasks/{task}/runs", tag = "runs",
    params(("task" = String, Path, description = "32 hex digits"), WhichOfTask), responses(
    (status = 200, description = "Done", body = List<RunView>), (status = "default", description = "What is wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn of_task(
    State(served): State<Arc<Served>>,
    SignedIn(caller): SignedIn,
    Path(task): Path<String>,
    Asked(which): Asked<WhichOfTask>,
) -> Result<Json<List<RunView>>, Problem> {
    let task = tasks::found(&served, &caller, &task).await?.id;
    let filter = RunFilter { task: Some(task), owner: None, ended: which.ended };
    page(&served, &caller, &filter, which.cursor.as_deref(), which.limit).await
}

async fn page(
    served: &Served,
    caller: &Caller,
    filter: &RunFilter,
    cursor: Option<&str>,
    limit: Option<u64>,
) -> Result<Json<List<RunView>>, Problem> {
    let (after, limit) = (cursor::place(cursor)?, cursor::limit(limit)?);
    let found = served.submissions.runs_from(caller, filter, after, limit).await?;
    Ok(Json(List::of(found, RunView::from)))
}

/// Makes a run of the task now. It counts as an occurrence.
///
/// With an `Idempotency-Key` the same request makes it once.
#[utoipa::path(post, path = "/tasks/{task}/runs", tag = "runs",
    params(
        ("task" = String, Path, description = "32 hex digits"),
        ("Idempotency-Key" = Option<String>, Header, description = "Drawn by the sender, for this request", min_length = 1, max_length = 255)
    ),
    responses((status = 202, description = "Done", body = RunView), (status = "default", description = "What is wrong", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn run_now(
    State(served): State<Arc<Served>>,
    SignedIn(caller): SignedIn,
    Path(task): Path<String>,
    headers: HeaderMap,
) -> Result<(StatusCode, Json<RunView>), Problem> {
    let task = tasks::found(&served, &caller, &task).await?.id;
    let nonce = match idempotency_key(&headers)? {
        Some(key) => digest(&caller.user.name, key),
        None => *RunId::random().as_bytes(),
    };
    let run = served.submissions.run_now(&caller, task, nonce).await?;
    Ok((StatusCode::ACCEPTED, Json(run.into())))
}

/// Shows a run.
#[utoipa::path(get, path = "/runs/{run}", tag = "runs", params(("run" = String, Path, description = "32 hex digits")), responses(
    (status = 200, description = "Done", body = RunView), (status = "default", description = "What is wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn show(
    State(served): State<Arc<Served>>,
    SignedIn(caller): SignedIn,
    Path(run): Path<String>,
) -> Result<Json<RunView>, Problem> {
    Ok(Json(found(&served, &caller, &run).await?.into()))
}

/// Asks a run to end.
#[utoipa::path(post, path = "/runs/{run}/cancel", tag = "runs", params(("run" = String, Path, description = "32 hex digits")), responses(
    (status = 202, description = "Done", body = RunView), (status = "default", description = "What is wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn cancel(
    State(served): State<Arc<Served>>,
    SignedIn(caller): SignedIn,
    Path(run): Path<String>,
) -> Result<(StatusCode, Json<RunView>), Problem> {
    let run = found(&served, &caller, &run).await?.id;
    Ok((StatusCode::ACCEPTED, Json(served.submissions.cancel_run(&caller, run).await?.into())))
}

/// Asks for an ended run once more. It is no further occurrence.
#[utoipa::path(post, path = "/runs/{run}/retry", tag = "runs", params(("run" = String, Path, description = "32 hex digits")), responses(
    (status = 202, description = "Done", body = RunView), (status = "default", description = "What is wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn retry(
    State(served): State<Arc<Served>>,
    SignedIn(caller): SignedIn,
    Path(run): Path<String>,
) -> Result<(StatusCode, Json<RunView>), Problem> {
    let run = found(&served, &caller, &run).await?.id;
    Ok((StatusCode::ACCEPTED, Json(served.submissions.retry_run(&caller, run).await?.into())))
}

/// The run with this id. Another one's is not told from one that is not there.
pub(super) async fn found(served: &Served, caller: &Caller, run: &str) -> Result<Run, Problem> {
    match served.submissions.run(caller, id::<RunId>(run, "run")?).await {
        Err(SubmitError::Forbidden) => Err(Problem::missing("run")),
        run => Ok(run?),
    }
}

/// What makes a repeated request the same: of two users' the keys may be alike.
fn digest(user: &str, key: &str) -> [u8; 16] {
    let user = user.to_ascii_lowercase();
    let digest = Sha256::new().chain_update(user).chain_update([0]).chain_update(key).finalize();
    digest[..16].try_into().expect("a digest of 32 bytes begins with 16")
}
