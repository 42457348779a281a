//! The schedule: what the five fields mean, as bit masks.

use crate::calendar::days_from_civil;
use crate::days::Day;
use crate::error::{ParseError, Problem};
use crate::fields::Fields;
use crate::parse::parse;
use crate::warning::{Notes, Warning};

/// The last year in which a schedule fires unless [`Schedule::with_horizon`] says otherwise.
pub const DEFAULT_HORIZON: u16 = 2199;

/// When something fires: sets of minutes, hours and months and a rule for the days, all in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Schedule {
    /// Bits 0 to 59; never empty.
    pub(crate) minutes: u64,
    /// Bits 0 to 23; never empty.
    pub(crate) hours: u32,
    /// Bits 1 to 12; never empty.
    pub(crate) months: u16,
    pub(crate) day: Day,
    /// The first minute past the horizon, counted from 1970.
    pub(crate) end: u32,
}

/// A schedule and what its reading relied on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// The schedule.
    pub schedule: Schedule,
    /// The leniences of Quartz that were needed to read it, in the order of the fields.
    pub warnings: Vec<Warning>,
}

impl Schedule {
    /// Reads the fields as Quartz 2.3.2 does, leniences included.
    ///
    /// Accepts schedules without any fire, such as 31 February; see [`Schedule::never_fires`].
    pub fn parse(fields: &Fields<'_>) -> Result<Schedule, ParseError> {
        parse(fields, &mut Notes::dropped())
    }

    /// Reads the fields as [`Schedule::parse`] does and tells which leniences that needed.
    pub fn parse_explained(fields: &Fields<'_>) -> Result<Parsed, ParseError> {
        let mut notes = Notes::kept();
        let schedule = parse(fields, &mut notes)?;
        Ok(Parsed { schedule, warnings: notes.into_warnings() })
    }

    /// Reads the fields and refuses whatever Quartz accepts only by lenience, such as `5x` for 5.
    pub fn parse_strict(fields: &Fields<'_>) -> Result<Schedule, ParseError> {
        let Parsed { schedule, warnings } = Schedule::parse_explained(fields)?;
        match warnings.into_iter().next() {
            None => Ok(schedule),
            Some(Warning { field, text, meaning }) => {
                Err(ParseError { field, text, problem: Problem::Lenient(meaning) })
            }
        }
    }

    /// The leniences of Quartz that reading the fields relies on; none if the fields are refused.
    pub fn warnings(fields: &Fields<'_>) -> Vec<Warning> {
        Schedule::parse_explained(fields).map(|parsed| parsed.warnings).unwrap_or_default()
    }

    pub(crate) fn new(minutes: u64, hours: u32, months: u16, day: Day) -> Schedule {
        let day = if day.ever_comes(months) { day } else { Day::Never };
        Schedule { minutes, hours, months, day, end: end_of(DEFAULT_HORIZON) }
    }

    /// The same schedule with another last year, 1970 to 9999, in which it may fire.
    pub fn with_horizon(self, last_year: u16) -> Schedule {
        Schedule { end: end_of(last_year), ..self }
    }

    /// Whether no date of any year matches, as with 31 February. Known since reading; costs nothing.
    pub fn never_fires(&self) -> bool {
        self.day == Day::Never
    }
}

/// The first minute after the year, counted from 1970.
fn end_of(year: u16) -> u32 {
    let days = days_from_civil(i64::from(year.clamp(1970, 9999)) + 1, 1, 1);
    u32::try_from(days * 1_440).expect("the minutes of ten thousand years fit into 32 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_schedules_fit_into_32_megabytes() {
        assert!(size_of::<Schedule>() <= 32);
    }
}
