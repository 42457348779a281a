//! What Quartz accepts and hardly anyone means.

use std::fmt;

use crate::error::excerpt;
use crate::fields::Field;

/// A lenience of Quartz that the reading of a field relied on.
///
/// Shown as a sentence: `minute: '5x' is read as 5, what follows is ignored`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The field.
    pub field: Field,
    /// The part of the field, cut to 40 characters.
    pub text: String,
    /// What Quartz makes of it.
    pub meaning: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: '{}' {}", self.field, self.text, self.meaning)
    }
}

/// Collects warnings where the caller asks for them and costs nothing where not.
pub(crate) struct Notes(Option<Vec<Warning>>);

impl Notes {
    pub(crate) const fn kept() -> Notes {
        Notes(Some(Vec::new()))
    }

    pub(crate) const fn dropped() -> Notes {
        Notes(None)
    }

    pub(crate) fn add(&mut self, field: Field, text: &str, meaning: impl FnOnce() -> String) {
        if let Some(warnings) = &mut self.0 {
            warnings.push(Warning { field, text: excerpt(text), meaning: meaning() });
        }
    }

    pub(crate) fn into_warnings(self) -> Vec<Warning> {
        self.0.unwrap_or_default()
    }
}
