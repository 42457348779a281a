//! What is wrong, as RFC 9457 has it.

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::{self, HeaderValue};
use axum::response::{IntoResponse, Response};
use isochrone_scheduler::SubmitError;
use isochrone_store::StoreError;
use serde::Serialize;
use utoipa::ToSchema;

use crate::answer::Failure;

/// Why a request was not carried out.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// The kind of problem; `about:blank`: what the status says.
    #[serde(rename = "type")]
    #[schema(example = "about:blank")]
    kind: &'static str,
    /// The status in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// For people.
    detail: String,
    /// Which fields are wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldProblem>,
}

/// What is wrong with a field.
#[derive(Debug, Serialize, ToSchema)]
struct FieldProblem {
    /// Its path in the body, or the parameter's name.
    field: String,
    /// For people.
    detail: String,
}

impl Problem {
    /// A problem with this status.
    pub(super) fn new(status: u16, detail: impl Into<String>) -> Problem {
        let known = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Problem {
            kind: "about:blank",
            title: known.canonical_reason().unwrap_or("Error"),
            status: known.as_u16(),
            detail: detail.into(),
            errors: Vec::new(),
        }
    }

    /// Something is not there, or the caller may not know of it.
    pub(super) fn missing(what: &str) -> Problem {
        Problem::new(404, format!("The {what} does not exist or is inaccessible."))
    }

    /// A field is wrong.
    pub(super) fn field(field: impl Into<String>, detail: impl Into<String>) -> Problem {
        let (field, detail) = (field.into(), detail.into());
        let told = if field.is_empty() { detail.clone() } else { format!("'{field}' {detail}.") };
        let mut problem = Problem::new(422, told);
        problem.errors.push(FieldProblem { field, detail });
        problem
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        match status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
            }
            _ => {}
        }
        response
    }
}

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Problem {
        match error {
            SubmitError::Invalid(problem) => Problem::field(problem.parameter, problem.problem),
            SubmitError::NotFound { what } => Problem::missing(what),
            SubmitError::Forbidden => Problem::new(403, "You do not have permission to do this."),
            SubmitError::Outdated => {
                Problem::new(412, "The task was changed meanwhile: its ETag is another one.")
            }
            SubmitError::KeyReused => {
                Problem::field("Idempotency-Key", "was used for another request: draw a new one for each")
            }
            SubmitError::Quota(text) | SubmitError::Conflict(text) => Problem::new(409, format!("{text}.")),
            error @ SubmitError::ItemsUnavailable(_) => Failure::from(error).into(),
            SubmitError::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Problem {
        Failure::from(error).into()
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Problem {
        let (code, detail, parameter) = failure.into_parts();
        match (code, parameter) {
            (498, _) => Problem::new(401, "The token is not valid, or has expired."),
            (499, _) => Problem::new(401, "A token is needed: Authorization: Bearer TOKEN."),
            (400, Some(name)) => {
                let detail = detail.trim_end_matches('.');
                let told = detail.strip_prefix(&format!("'{name}' ")).unwrap_or(detail);
                Problem::field(name, told)
            }
            (code, _) => Problem::new(code, detail),
        }
    }
}

impl From<object_store::Error> for Problem {
    fn from(error: object_store::Error) -> Problem {
        match error {
            object_store::Error::NotFound { .. } => Problem::missing("artifact"),
            error => Failure::from(error).into(),
        }
    }
}
