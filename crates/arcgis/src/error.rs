//! Why ArcGIS did not do what it was asked for.

use std::fmt;
use std::time::Duration;

/// What an answer says of its failure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    /// Often an HTTP status, not always; some answers have none.
    pub code: Option<i64>,
    /// For people.
    pub message: String,
    /// More for people.
    pub details: Vec<String>,
}

/// Why ArcGIS did not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The token is invalid or has expired, or one is missing: another one may help.
    #[error("the token is not accepted: {0}")]
    Token(Refusal),
    /// The token's user may not do this: no other token of that user helps.
    #[error("not permitted: {0}")]
    Forbidden(Refusal),
    /// It understood, and does not do it.
    #[error("refused: {0}")]
    Refused(Refusal),
    /// It could not be reached, or can't answer now: trying again may help.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// It can't answer now, and says when it can.
    #[error("unavailable: it wants to be asked again in {} s", .0.as_secs())]
    Busy(Duration),
    /// It answered something that is no answer.
    #[error("the answer can't be read: {0}")]
    Unreadable(String),
    /// The connection can't be set up so.
    #[error("{0}")]
    Config(String),
}

impl Error {
    /// Whether the same request may succeed a little later.
    pub fn may_pass(&self) -> bool {
        matches!(self, Error::Unavailable(_) | Error::Busy(_))
    }

    /// When the server wants to be asked again, if it says so.
    pub fn again_in(&self) -> Option<Duration> {
        match self {
            Error::Busy(again_in) => Some(*again_in),
            _ => None,
        }
    }

    /// What a failure that was told becomes, by its code.
    pub(crate) fn told(refusal: Refusal) -> Error {
        match refusal.code {
            Some(498 | 499) => Error::Token(refusal),
            Some(403) => Error::Forbidden(refusal),
            Some(408 | 425 | 429 | 500 | 502 | 503 | 504) => Error::Unavailable(refusal.to_string()),
            _ => Error::Refused(refusal),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.message.is_empty() { "no reason was given" } else { &self.message })?;
        for detail in self.details.iter().filter(|detail| **detail != self.message) {
            write!(f, " {detail}")?;
        }
        match self.code {
            Some(code) => write!(f, " (code {code})"),
            None => Ok(()),
        }
    }
}
