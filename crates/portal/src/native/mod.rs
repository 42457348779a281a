//! The native API under `/api/v1`: JSON in and out, real status codes, problems as RFC 9457 has them.
//!
//! It has the rules of the sharing API and its words; what is different is the form. Moments are milliseconds
//! since 1970 UTC. A list goes on behind its last row (`nextCursor`), whatever comes and goes meanwhile. A task's
//! `ETag` names what somebody can change of it: it stays while the task fires.

mod artifacts;
mod asked;
mod cursor;
mod declared;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod log;
mod people;
mod problem;
mod runs;
mod sent;
mod signed_in;
mod task_body;
mod tasks;
mod views;

use std::sync::Arc;

use axum::Router;
use axum::http::header::{self, HeaderValue};
use axum::response::Response;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::serve::Served;
use problem::Problem;

/// Where it is, below the root and below the context.
pub(crate) const ROOT: &str = "/api/v1";

/// Nobody on the way keeps an answer, and no browser takes it for something else.
async fn guarded(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Its routes, and their description.
pub(crate) fn routes() -> (Router<Arc<Served>>, OpenApi) {
    let (router, described) = OpenApiRouter::new()
        .routes(routes!(tasks::list, tasks::create))
        .routes(routes!(tasks::show, tasks::update, tasks::delete))
        .routes(routes!(tasks::enable))
        .routes(routes!(tasks::restart))
        .routes(routes!(tasks::replan))
        .routes(routes!(tasks::disable))
        .routes(routes!(tasks::accept))
        .routes(routes!(declared::show))
        .routes(routes!(tasks::reassign))
        .routes(routes!(runs::of_task, runs::run_now))
        .routes(routes!(runs::list))
        .routes(routes!(runs::show))
        .routes(routes!(runs::cancel))
        .routes(routes!(runs::retry))
        .routes(routes!(log::read))
        .routes(routes!(artifacts::list))
        .routes(routes!(artifacts::read))
        .route("/runs/{run}/artifacts/{name}/{*rest}", axum::routing::get(artifacts::read_below))
        .routes(routes!(people::workers))
        .routes(routes!(people::users))
        .routes(routes!(people::user))
        .split_for_parts();
    let router = router
        .fallback(async || Problem::new(404, "There is no such resource."))
        .method_not_allowed_fallback(async || Problem::new(405, "The resource has no such method."))
        .layer(axum::middleware::map_response(guarded));
    (router, described)
}
