//! `/api/v1/workers` and `/api/v1/users`

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use isochrone_domain::Role;

use super::cursor::List;
use super::problem::Problem;
use super::signed_in::SignedIn;
use super::views::{UserView, WorkerView};
use crate::serve::Served;

/// Lists the processes of the fleet that were heard of lately. For administrators.
#[utoipa::path(get, path = "/workers", tag = "fleet", responses(
    (status = 200, description = "Done", body = List<WorkerView>), (status = "default", description = "What is wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn workers(
    State(served): State<Arc<Served>>,
    SignedIn(caller): SignedIn,
) -> Result<Json<List<WorkerView>>, Problem> {
    allow(caller.user.role == Role::Admin)?;
    let members = served.store.members().await?;
    Ok(Json(List::whole(members.into_iter().map(WorkerView::from).collect())))
}

/// Lists users. For administrators.
#[utoipa::path(get, path = "/users", tag = "users", responses(
    (status = 200, description = "Done", body = List<UserView>), (status = "default", description = "What is wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn users(
    State(served): State<Arc<Served>>,
    SignedIn(caller): SignedIn,
) -> Result<Json<List<UserView>>, Problem> {
    allow(caller.user.role == Role::Admin)?;
    let users = served.store.users().await?;
    Ok(Json(List::whole(users.into_iter().map(UserView::from).collect())))
}

/// Shows a user; `me` is the caller.
#[utoipa::path(get, path = "/users/{name}", tag = "users", params(("name" = String, Path)), responses(
    (status = 200, description = "Done", body = UserView), (status = "default", description = "What is wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn user(
    State(served): State<Arc<Served>>,
    SignedIn(caller): SignedIn,
    Path(name): Path<String>,
) -> Result<Json<UserView>, Problem> {
    if name == "me" {
        return Ok(Json(caller.user.into()));
    }
    if !caller.user.may_read(&name) {
        return Err(Problem::missing("user"));
    }
    let user = served.store.user(&name).await?.ok_or_else(|| Problem::missing("user"))?;
    Ok(Json(user.into()))
}

fn allow(allowed: bool) -> Result<(), Problem> {
    if allowed { Ok(()) } else { Err(Problem::new(403, "You do not have permission to do this.")) }
}
