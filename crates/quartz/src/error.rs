//! Why a schedule is refused.

use crate::fields::Field;

/// A refused field: which one, the part of it that is wrong, and what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: '{text}' {problem}", .problem.place(*.field))]
pub struct ParseError {
    /// The field that is wrong; dayOfMonth where the two day fields disagree.
    pub field: Field,
    /// The offending text, cut to 40 characters.
    pub text: String,
    /// What is wrong with it and what was expected.
    pub problem: Problem,
}

impl ParseError {
    pub(crate) fn new(field: Field, text: &str, problem: Problem) -> ParseError {
        ParseError { field, text: excerpt(text), problem }
    }
}

/// What is wrong with a field's text; shown as the end of a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// Nothing but white space.
    #[error("is empty, expected a value or '*'")]
    Empty,
    /// A space or tab between other characters.
    #[error("has a blank inside, expected none")]
    Blank,
    /// Longer than any schedule needs.
    #[error("is too long, expected at most {0} bytes")]
    TooLong(usize),
    /// Items that add up to no value at all, for example `,`.
    #[error("names no value, expected at least one")]
    NoValues,
    /// A number outside the field's range.
    #[error("is out of range, expected {low} to {high}")]
    OutOfRange {
        /// The least value.
        low: u32,
        /// The greatest value.
        high: u32,
    },
    /// A step beyond the field's greatest.
    #[error("has a step that is out of range, expected at most {0}")]
    StepOutOfRange(u32),
    /// No usable number after `/`.
    #[error("has no whole number after '/', expected a step such as '/5'")]
    BadStep,
    /// No usable number after `-`.
    #[error("has no number after '-', expected a range such as '{0}'")]
    BadRangeEnd(&'static str),
    /// Letters where a name is expected.
    #[error("is not a name of this field, expected {0}")]
    UnknownName(&'static str),
    /// Letters in a field without names.
    #[error("has letters where none may stand, expected {low} to {high}")]
    NameNotAllowed {
        /// The least value.
        low: u32,
        /// The greatest value.
        high: u32,
    },
    /// An item that begins with a character that begins none.
    #[error("begins with an unexpected character, expected {low} to {high} or '*'")]
    Unexpected {
        /// The least value.
        low: u32,
        /// The greatest value.
        high: u32,
    },
    /// `L`, `W` or `#` after a number in a field that knows none.
    #[error("uses '{mark}', expected only in {only_in}")]
    MarkNotAllowed {
        /// The character.
        mark: char,
        /// The one field that knows it after a number.
        only_in: Field,
    },
    /// No number of 1 to 5 after `#`.
    #[error("has no valid number after '#', expected 1 to 5")]
    BadNth,
    /// More than one `#` in the field.
    #[error("uses '#' twice, expected at most one")]
    TwoNths,
    /// `L-n` with a bad n.
    #[error("has no valid number after 'L-', expected 0 to 30")]
    BadLastOffset,
    /// `L` beside other items.
    #[error("uses 'L' in a list, expected it alone")]
    LastInList,
    /// `W` on day 0, on which Quartz never returns.
    #[error("asks for the weekday nearest to day 0, expected 1 to 31")]
    NearestToZero,
    /// `?` in a field other than the day fields.
    #[error("uses '?', expected only in dayOfMonth or dayOfWeek")]
    QuestionNotAllowed,
    /// `?` with more than one character after it.
    #[error("goes on after '?', expected '?' alone")]
    QuestionRest,
    /// Both day fields hold values.
    #[error("and '{0}' are both given, expected that one of them is '?'")]
    BothDaysGiven(String),
    /// Both day fields are `?`.
    #[error("and '{0}' are both '?', expected that only one of them is '?'")]
    NoDayGiven(String),
    /// Accepted by Quartz, refused by strict reading.
    #[error("{0}; strict reading refuses this")]
    Lenient(String),
}

impl Problem {
    pub(crate) fn out_of_range(field: Field) -> Problem {
        Problem::OutOfRange { low: field.low(), high: field.high() }
    }

    /// The fields that the message names.
    fn place(&self, field: Field) -> &'static str {
        match self {
            Problem::BothDaysGiven(_) | Problem::NoDayGiven(_) => "dayOfMonth and dayOfWeek",
            _ => field.name(),
        }
    }
}

/// At most 40 characters of the text, so that a message stays readable whatever was sent.
pub(crate) fn excerpt(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text.to_owned(),
    }
}
