//! `/api/v1/runs/{run}/artifacts`

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use object_store::ObjectStoreExt;

use super::cursor::List;
use super::problem::Problem;
use super::runs;
use super::signed_in::{LongSignedIn, SignedIn};
use super::views::ArtifactView;
use crate::answer::File;
use crate::lasting_access::LastingAccess;
use crate::serve::Served;

/// Lists what a run left.
#[utoipa::path(get, path = "/runs/{run}/artifacts", tag = "artifacts", params(("run" = String, Path, description = "32 hex digits")), responses(
    (status = 200, description = "Done", body = List<ArtifactView>), (status = "default", description = "What is wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn list(
    State(served): State<Arc<Served>>,
    SignedIn(caller): SignedIn,
    Path(run): Path<String>,
) -> Result<Json<List<ArtifactView>>, Problem> {
    let run = runs::found(&served, &caller, &run).await?;
    Ok(Json(List::whole(run.artifacts.into_iter().map(ArtifactView::from).collect())))
}

/// The same where the name's slashes come as they are, which some proxies like better than encoded ones.
pub(super) async fn read_below(
    served: State<Arc<Served>>,
    signed_in: LongSignedIn,
    Path((run, folder, rest)): Path<(String, String, String)>,
) -> Result<Response, Problem> {
    read(served, signed_in, Path((run, format!("{folder}/{rest}")))).await
}

/// Reads something that a run left. Its media type is what the run said of it.
#[utoipa::path(get, path = "/runs/{run}/artifacts/{name}", tag = "artifacts",
    params(("run" = String, Path, description = "32 hex digits"), ("name" = String, Path)), responses(
    (status = 200, description = "Done", content_type = "*/*", body = Vec<u8>),
    (status = "default", description = "What is wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn read(
    State(served): State<Arc<Served>>,
    LongSignedIn(caller, credentials): LongSignedIn,
    Path((run, name)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let run = runs::found(&served, &caller, &run).await?;
    let access = LastingAccess::new(&served, credentials, run.id);
    let artifact = run.artifacts.into_iter().find(|artifact| artifact.name == name);
    let artifact = artifact.ok_or_else(|| Problem::missing("artifact"))?;
    let location = object_store::path::Path::parse(&artifact.location);
    let found = served.artifacts.get(&location.map_err(|_| Problem::missing("artifact"))?).await?;
    let (name, content_type, size) = (artifact.name, artifact.content_type, found.meta.size);
    Ok(File { name, content_type, size, body: access.body(found.into_stream()) }.respond())
}
