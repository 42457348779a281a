//! Why a request is not carried out.

use isochrone_domain::Problem;
use isochrone_store::{ItemsUnavailable, StoreError};

/// Why a request is not carried out. Nothing of it was done, unless the store's error says otherwise.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SubmitError {
    /// A parameter can't be accepted.
    #[error(transparent)]
    Invalid(#[from] Problem),
    /// There is no such thing.
    #[error("the {what} does not exist")]
    NotFound {
        /// `task`, `run`, `item` or `user`.
        what: &'static str,
    },
    /// The caller has no right to it.
    #[error("you do not have permission to do this")]
    Forbidden,
    /// The task is not as the caller saw it.
    #[error("the task was changed meanwhile")]
    Outdated,
    /// A key for repeated requests was used for another request.
    #[error("the key was used for another request")]
    KeyReused,
    /// A limit of the operator is reached; the text names it.
    #[error("{0}")]
    Quota(String),
    /// The state of the thing does not allow it; the text says why.
    #[error("{0}")]
    Conflict(String),
    /// What the task's item does could not be found out.
    #[error("the task's item can't be read: {0}")]
    ItemsUnavailable(#[from] ItemsUnavailable),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
