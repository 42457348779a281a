//! Counts requests by their routes.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;

use crate::native;
use crate::operations::{OPERATIONS, Operation};
use crate::request::Place;
use crate::serve::Served;

/// The code of an error that is told with status 200, as an extension of its response.
#[derive(Clone, Copy)]
pub(crate) struct ErrorCode(pub(crate) u16);

/// Counts a request, and how long it takes until its answer begins.
pub(crate) async fn count(State(served): State<Arc<Served>>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let (method, route) = (method(request.method()), route(&request, &served));
    let response = next.run(request).await;
    let told = response.extensions().get::<ErrorCode>();
    let code = told.map_or(response.status().as_u16(), |told| told.0);
    served.metrics.request_answered(&route, method, code, began.elapsed());
    response
}

/// Anybody can make up methods.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// The path without what differs from task to task: one of a fixed number.
fn route(request: &Request, served: &Served) -> String {
    if let Some(path) = request.extensions().get::<MatchedPath>() {
        let context = format!("/{}/", served.config.context.trim_matches('/'));
        let path = path.as_str();
        return path.strip_prefix(&context).map_or_else(|| path.to_owned(), |below| format!("/{below}"));
    }
    let native = request.uri().path().split(native::ROOT).nth(1);
    if native.is_some_and(|below| below.is_empty() || below.starts_with('/')) {
        return format!("{}/...", native::ROOT);
    }
    let place = Place::of_request(request, &served.config);
    let segments: Option<Vec<&str>> =
        place.segments.as_ref().map(|segments| segments.iter().map(String::as_str).collect());
    let operation = segments.as_deref().and_then(operation);
    match operation {
        Some(operation) => format!("/sharing/rest{}", operation.path),
        None if segments.is_some() => "/sharing/rest/...".to_owned(),
        None => "other".to_owned(),
    }
}

/// The operation with this path; of several, the one with the fewest names in braces.
fn operation(path: &[&str]) -> Option<&'static Operation> {
    let fits = |operation: &&Operation| {
        let mut named = operation.path.split('/').filter(|segment| !segment.is_empty());
        let all = path.iter().all(|given| named.next().is_some_and(|name| is_name(name) || name == *given));
        all && named.next().is_none()
    };
    let names = |operation: &&Operation| operation.path.split('/').filter(|name| is_name(name)).count();
    OPERATIONS.iter().filter(fits).min_by_key(names)
}

fn is_name(segment: &str) -> bool {
    segment.starts_with('{')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_counted_under_its_operation() {
        for (path, expected) in [
            ("community/users/ann/tasks", Some("/community/users/{user}/tasks")),
            ("community/users/ann/tasks/createTask", Some("/community/users/{user}/tasks/createTask")),
            ("community/users/ann/tasks/0123", Some("/community/users/{user}/tasks/{task}")),
            ("community/users/ann/tasks/0123/more", None),
            ("made/up", None),
        ] {
            let path: Vec<&str> = path.split('/').collect();
            assert_eq!(operation(&path).map(|operation| operation.path), expected);
        }
    }
}
