//! Failures in ArcGIS's shape, and what becomes of the other crates' errors.

use isochrone_domain::Problem;
use isochrone_scheduler::SubmitError;
use isochrone_store::StoreError;
use serde::Serialize;
use utoipa::ToSchema;

/// A request that fails, as its client is told.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u16,
    message: String,
    details: Vec<String>,
    message_code: Option<&'static str>,
    parameter: Option<&'static str>,
    /// Whether the HTTP status says so, too.
    busy: bool,
}

/// ArcGIS's shape of an error.
#[derive(Serialize, ToSchema)]
#[schema(as = Error)]
pub(crate) struct Shape {
    error: Inner,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ErrorDetails)]
struct Inner {
    code: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_code: Option<&'static str>,
    message: String,
    details: Vec<String>,
}

impl Failure {
    /// A failure with ArcGIS's code and a sentence for people.
    pub(crate) fn new(code: u16, message: impl Into<String>) -> Failure {
        Failure {
            code,
            message: message.into(),
            details: Vec::new(),
            message_code: None,
            parameter: None,
            busy: false,
        }
    }

    /// The server has too much to do: the same request is welcome in a moment. Clients of ArcGIS repeat what is
    /// answered with HTTP status 503, a POST too, so nothing was done of it.
    pub(crate) fn busy(message: impl Into<String>) -> Failure {
        Failure { busy: true, ..Failure::new(503, message) }
    }

    /// A parameter is wrong; `problem` goes on after its name and has no full stop.
    pub(crate) fn parameter(name: &'static str, problem: impl std::fmt::Display) -> Failure {
        Failure::new(400, format!("'{name}' {problem}.")).about(name)
    }

    /// Names the parameter that it is about.
    pub(crate) fn about(mut self, parameter: &'static str) -> Failure {
        self.parameter = Some(parameter);
        self.with_detail(parameter)
    }

    /// Adds a detail.
    pub(crate) fn with_detail(mut self, detail: impl Into<String>) -> Failure {
        self.details.push(detail.into());
        self
    }

    /// ArcGIS's own name for it.
    pub(crate) fn with_code(mut self, message_code: &'static str) -> Failure {
        self.message_code = Some(message_code);
        self
    }

    /// The caller may not do this.
    pub(crate) fn forbidden() -> Failure {
        let message = "You do not have permissions to access this resource or perform this operation.";
        Failure::new(403, message).with_code("GWM_0003")
    }

    /// Something in here is broken; the reason is in the log, not in the answer.
    pub(crate) fn internal() -> Failure {
        Failure::new(500, "The server could not do this. Its log says why.")
    }

    /// Its code, its sentence and the parameter that it is about.
    pub(crate) fn into_parts(self) -> (u16, String, Option<&'static str>) {
        (self.code, self.message, self.parameter)
    }

    pub(super) fn code(&self) -> u16 {
        self.code
    }

    pub(super) fn is_busy(&self) -> bool {
        self.busy
    }

    /// The parameter that it is about.
    pub(crate) fn parameter_name(&self) -> Option<&'static str> {
        self.parameter
    }

    /// Whether a token would help.
    pub(crate) fn asks_for_token(&self) -> bool {
        matches!(self.code, 498 | 499)
    }

    #[cfg(test)]
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    pub(super) fn shape(&self) -> Shape {
        Shape {
            error: Inner {
                code: self.code,
                message_code: self.message_code,
                message: self.message.clone(),
                details: self.details.clone(),
            },
        }
    }
}

/// A thing that is not there, or that the caller may not know of.
pub(crate) fn missing(what: &str) -> Failure {
    Failure::new(400, sentence(&format!("{what} does not exist or is inaccessible")))
}

/// Text that begins like a sentence and ends like one.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).chain(['.']).collect()
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Failure {
        Failure::parameter(problem.parameter, problem.problem)
    }
}

impl From<SubmitError> for Failure {
    fn from(error: SubmitError) -> Failure {
        match error {
            SubmitError::Invalid(problem) => problem.into(),
            SubmitError::NotFound { what } => missing(what),
            SubmitError::Forbidden => Failure::forbidden(),
            // It may begin with a user's name.
            SubmitError::Quota(text) => Failure::new(400, format!("{text}.")),
            error @ (SubmitError::Outdated | SubmitError::KeyReused) => {
                Failure::new(409, sentence(&error.to_string()))
            }
            SubmitError::Conflict(text) => Failure::new(409, sentence(&text)),
            error @ SubmitError::ItemsUnavailable(_) => {
                tracing::warn!(%error, "a request failed at the items");
                Failure::new(503, "The task's item can't be read now. Try again.")
            }
            SubmitError::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        tracing::error!(%error, "a request failed at the store");
        match error {
            StoreError::Unavailable(_) => Failure::new(503, "The store is unavailable. Try again."),
            StoreError::ClocksDisagree(_) => Failure::new(
                503,
                "The clocks of this server and its store disagree: nothing is planned meanwhile. Try again.",
            ),
            StoreError::Full => Failure::new(507, "The store's disk is full: nothing was kept."),
            StoreError::Corrupt(_) | StoreError::InUse(_) | StoreError::Config(_) => Failure::internal(),
        }
    }
}

impl From<object_store::Error> for Failure {
    fn from(error: object_store::Error) -> Failure {
        if matches!(error, object_store::Error::NotFound { .. }) {
            return missing("artifact");
        }
        tracing::error!(%error, "a request failed at the artifact store");
        Failure::internal()
    }
}
