//! What the path, the query and the headers of a request say.

use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Query};
use axum::http::header::{self, HeaderMap, HeaderName};
use axum::http::request::Parts;
use isochrone_domain::TaskId;
use isochrone_scheduler::Target;
use serde::de::DeserializeOwned;

use super::problem::Problem;
use super::signed_in::text;
use crate::serve::Served;

/// The query as `T` has it; an unknown parameter is an error.
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<Arc<Served>> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Served>) -> Result<Asked<T>, Problem> {
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(asked)) => Ok(Asked(asked)),
            Err(error) => Err(Problem::new(422, format!("The query can't be used: {}.", error.body_text()))),
        }
    }
}

/// An id in the path. What can't be one names nothing.
pub(super) fn id<T: FromStr>(text: &str, what: &'static str) -> Result<T, Problem> {
    text.parse().map_err(|_| Problem::missing(what))
}

/// The task, if it is as `If-Match` has it.
pub(super) fn target(task: TaskId, headers: &HeaderMap) -> Result<Target, Problem> {
    let Some(wanted) = headers.get(header::IF_MATCH) else { return Ok(task.into()) };
    let wanted = wanted.to_str().unwrap_or_default().trim();
    if wanted == "*" {
        return Ok(task.into());
    }
    let edition = wanted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match edition.filter(|edition| !edition.contains('"')) {
        Some(edition) => Ok(Target::if_still(task, Some(edition.to_owned()))),
        None => Err(Problem::field("If-Match", "is no ETag; expected one in double quotes, or *")),
    }
}

/// A key that makes repeated requests one.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    const NAME: HeaderName = HeaderName::from_static("idempotency-key");
    if !headers.contains_key(&NAME) {
        return Ok(None);
    }
    match text(headers, NAME).map(str::trim).filter(|key| (1..=255).contains(&key.len())) {
        Some(key) => Ok(Some(key)),
        None => Err(Problem::field("Idempotency-Key", "has 1 to 255 ASCII characters")),
    }
}
