//! `/api/v1/tasks`

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use isochrone_domain::{ItemId, Role, Task, TaskId, TaskType};
use isochrone_scheduler::{Caller, Once, StoredTask, SubmitError};
use isochrone_store::TaskFilter;
use serde::Deserialize;
use utoipa::IntoParams;

use super::asked::{Asked, id, idempotency_key, target};
use super::cursor::{self, List};
use super::problem::Problem;
use super::sent::Sent;
use super::signed_in::SignedIn;
use super::task_body::{NewTask, TaskPatch, Type};
use super::views::TaskView;
use crate::serve::Served;

#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Of this user; not given: the caller's, an administrator's: everybody's.
    owner: Option<String>,
    #[serde(rename = "type")]
    #[param(value_type = Option<Type>)]
    kind: Option<TaskType>,
    /// For this item.
    item_id: Option<String>,
    active: Option<bool>,
    /// How many at most.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u64>,
    /// As `nextCursor` of the list before it.
    cursor: Option<String>,
}

/// Lists tasks in the order of their creation.
#[utoipa::path(get, path = "/tasks", tag = "tasks", params(Which), responses(
    (status = 200, description = "Done", body = List<TaskView>), (status = "default", description = "What is wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn list(
    State(served): State<Arc<Served>>,
    SignedIn(caller): SignedIn,
    Asked(which): Asked<Which>,
) -> Result<Json<List<TaskView>>, Problem> {
    let item = which.item_id.map(|text| text.parse::<ItemId>());
    let item = item.transpose().map_err(|_| Problem::field("itemId", "has 32 hex digits"))?;
    let filter = TaskFilter {
        owner: of_whom(which.owner, &caller),
        item,
        active: which.active,
        kinds: which.kind.into_iter().collect(),
    };
    let (after, limit) = (cursor::place(which.cursor.as_deref())?, cursor::limit(which.limit)?);
    let found = served.submissions.tasks_from(&caller, &filter, after, limit).await?;
    Ok(Json(List::of(found, TaskView::from)))
}

/// Whose things a list shows; an administrator who names nobody sees everybody's.
pub(super) fn of_whom(asked: Option<String>, caller: &Caller) -> Option<String> {
    let own = || (caller.user.role != Role::Admin).then(|| caller.user.name.clone());
    asked.or_else(own)
}

/// Makes a task.
///
/// With an `Idempotency-Key` the same request makes it once, as long as the task is there.
#[utoipa::path(post, path = "/tasks", tag = "tasks", request_body = NewTask,
    params(("Idempotency-Key" = Option<String>, Header, description = "Drawn by the sender, for this request", min_length = 1, max_length = 255)),
    responses(
        (status = 201, description = "Done", body = TaskView, headers(("ETag" = String), ("Location" = String))),
        (status = "default", description = "What is wrong", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn create(
    State(served): State<Arc<Served>>,
    SignedIn(caller): SignedIn,
    headers: HeaderMap,
    Sent { body, digest, .. }: Sent<NewTask>,
) -> Result<Response, Problem> {
    let owner = body.owner.clone().unwrap_or_else(|| caller.user.name.clone());
    let submission = body.submission(&served.config.policies)?;
    let stored = match idempotency_key(&headers)? {
        Some(key) => {
            let once = Once { key: key.to_owned(), digest };
            served.submissions.create_once(&caller, &owner, submission, &once).await?
        }
        None => served.submissions.create(&caller, &owner, submission).await?,
    };
    let location = format!("tasks/{}", stored.task.id);
    let location = HeaderValue::try_from(location).expect("hex digits are ASCII");
    let mut response = with_tag_and_warnings(stored);
    *response.status_mut() = StatusCode::CREATED;
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

/// Shows a task.
#[utoipa::path(get, path = "/tasks/{task}", tag = "tasks", params(("task" = String, Path, description = "32 hex digits")), responses(
    (status = 200, description = "Done", body = TaskView, headers(("ETag" = String))),
    (status = "default", description = "What is wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn show(
    State(served): State<Arc<Served>>,
    SignedIn(caller): SignedIn,
    Path(task): Path<String>,
) -> Result<Response, Problem> {
    Ok(with_tag(found(&served, &caller, &task).await?))
}

/// Changes a task.
#[utoipa::path(patch, path = "/tasks/{task}", tag = "tasks", request_body = TaskPatch,
    params(("task" = String, Path, description = "32 hex digits"), ("If-Match" = Option<String>, Header, description = "Only if the task's ETag is still this one")),
    responses(
        (status = 200, description = "Done", body = TaskView, headers(("ETag" = String))),
        (status = "default", description = "What is wrong", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn update(
    State(served): State<Arc<Served>>,
    SignedIn(caller): SignedIn,
    Path(task): Path<String>,
    headers: HeaderMap,
    Sent { body, .. }: Sent<TaskPatch>,
) -> Result<Response, Problem> {
    let task = found(&served, &caller, &task).await?;
    let change = body.change()?;
    let stored = served.submissions.update(&caller, target(task.id, &headers)?, change).await?;
    Ok(with_tag_and_warnings(stored))
}

/// Deletes a task and its runs.
#[utoipa::path(delete, path = "/tasks/{task}", tag = "tasks",
    params(("task" = String, Path, description = "32 hex digits"), ("If-Match" = Option<String>, Header, description = "Only if the task's ETag is still this one")),
    responses((status = 204, description = "Done"), (status = "default", description = "What is wrong", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn delete(
    State(served): State<Arc<Served>>,
    SignedIn(caller): SignedIn,
    Path(task): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let task = found(&served, &caller, &task).await?;
    served.submissions.delete(&caller, target(task.id, &headers)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lets a task plan fires.
#[utoipa::path(post, path = "/tasks/{task}/enable", tag = "tasks",
    params(("task" = String, Path, description = "32 hex digits"), ("If-Match" = Option<String>, Header, description = "Only if the task's ETag is still this one")),
    responses(
        (status = 200, description = "Done", body = TaskView, headers(("ETag" = String))),
        (status = "default", description = "What is wrong", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn enable(
    State(served): State<Arc<Served>>,
    SignedIn(caller): SignedIn,
    Path(task): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let task = found(&served, &caller, &task).await?;
    Ok(with_tag(served.submissions.enable(&caller, target(task.id, &headers)?).await?))
}

/// Let a task plan fires again, whatever ended that: somebody, too many failures, or that no fire was left.
#[utoipa::path(post, path = "/tasks/{task}/restart", tag = "tasks",
    params(("task" = String, Path, description = "32 hex digits"), ("If-Match" = Option<String>, Header, description = "Only if the task's ETag is still this one")),
    responses(
        (status = 200, description = "Done", body = TaskView, headers(("ETag" = String))),
        (status = "default", description = "What is wrong", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn restart(
    State(served): State<Arc<Served>>,
    SignedIn(caller): SignedIn,
    Path(task): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let task = found(&served, &caller, &task).await?;
    Ok(with_tag(served.submissions.restart(&caller, target(task.id, &headers)?).await?))
}

/// Plans a task's next fire anew, from now on, where a clock that was wrong has moved it.
#[utoipa::path(post, path = "/tasks/{task}/replan", tag = "tasks",
    params(("task" = String, Path, description = "32 hex digits"), ("If-Match" = Option<String>, Header, description = "Only if the task's ETag is still this one")),
    responses(
        (status = 200, description = "Done", body = TaskView, headers(("ETag" = String))),
        (status = "default", description = "What is wrong", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn replan(
    State(served): State<Arc<Served>>,
    SignedIn(caller): SignedIn,
    Path(task): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let task = found(&served, &caller, &task).await?;
    Ok(with_tag(served.submissions.replan(&caller, target(task.id, &headers)?).await?))
}

/// Makes a task plan no fires. Its runs go on.
#[utoipa::path(post, path = "/tasks/{task}/disable", tag = "tasks",
    params(("task" = String, Path, description = "32 hex digits"), ("If-Match" = Option<String>, Header, description = "Only if the task's ETag is still this one")),
    responses(
        (status = 200, description = "Done", body = TaskView, headers(("ETag" = String))),
        (status = "default", description = "What is wrong", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn disable(
    State(served): State<Arc<Served>>,
    SignedIn(caller): SignedIn,
    Path(task): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let task = found(&served, &caller, &task).await?;
    Ok(with_tag(served.submissions.disable(&caller, target(task.id, &headers)?).await?))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Accepted {
    /// Only if the item still has this one.
    digest: Option<String>,
}

/// Agree to what a task's item does now, where it is somebody else's.
#[utoipa::path(post, path = "/tasks/{task}/accept", tag = "tasks",
    params(Accepted, ("task" = String, Path, description = "32 hex digits"), ("If-Match" = Option<String>, Header, description = "Only if the task's ETag is still this one")),
    responses(
        (status = 200, description = "Done", body = TaskView, headers(("ETag" = String))),
        (status = "default", description = "What is wrong", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn accept(
    State(served): State<Arc<Served>>,
    SignedIn(caller): SignedIn,
    Path(task): Path<String>,
    Asked(Accepted { digest }): Asked<Accepted>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let task = found(&served, &caller, &task).await?;
    Ok(with_tag(served.submissions.accept_item(&caller, target(task.id, &headers)?, digest).await?))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct NewOwner {
    /// Whose the task becomes.
    owner: String,
}

/// Makes a task another user's. For administrators.
#[utoipa::path(post, path = "/tasks/{task}/reassign", tag = "tasks",
    params(NewOwner, ("task" = String, Path, description = "32 hex digits"), ("If-Match" = Option<String>, Header, description = "Only if the task's ETag is still this one")),
    responses(
        (status = 200, description = "Done", body = TaskView, headers(("ETag" = String))),
        (status = "default", description = "What is wrong", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn reassign(
    State(served): State<Arc<Served>>,
    SignedIn(caller): SignedIn,
    Path(task): Path<String>,
    Asked(NewOwner { owner }): Asked<NewOwner>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let task = found(&served, &caller, &task).await?;
    Ok(with_tag(served.submissions.hand_over(&caller, target(task.id, &headers)?, &owner).await?))
}

/// The task with this id. Another one's is not told from one that is not there.
pub(super) async fn found(served: &Served, caller: &Caller, task: &str) -> Result<Task, Problem> {
    match served.submissions.task(caller, id::<TaskId>(task, "task")?).await {
        Err(SubmitError::Forbidden) => Err(Problem::missing("task")),
        task => Ok(task?),
    }
}

fn with_tag(task: Task) -> Response {
    with_tag_and_warnings(StoredTask { task, warnings: Vec::new() })
}

fn with_tag_and_warnings(stored: StoredTask) -> Response {
    let tag = HeaderValue::try_from(format!("\"{}\"", stored.task.edition()));
    let tag = tag.expect("hex digits are ASCII");
    let mut response = Json(TaskView::from(stored)).into_response();
    response.headers_mut().insert(header::ETAG, tag);
    response
}
