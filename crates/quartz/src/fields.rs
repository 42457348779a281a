//! The five fields as ArcGIS sends them, and the repair of what its Python client sends.

use std::fmt;

/// The five fields of a schedule, as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fields<'a> {
    /// Minutes, 0 to 59.
    pub minute: &'a str,
    /// Hours, 0 to 23, UTC.
    pub hour: &'a str,
    /// Days of the month, 1 to 31, or `?`.
    pub day_of_month: &'a str,
    /// Months, 1 to 12 or JAN to DEC.
    pub month: &'a str,
    /// Days of the week, 1 (Sunday) to 7 or SUN to SAT, or `?`.
    pub day_of_week: &'a str,
}

/// One of the five fields; shown under its name in ArcGIS's requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// `minute`
    Minute,
    /// `hour`
    Hour,
    /// `dayOfMonth`
    DayOfMonth,
    /// `month`
    Month,
    /// `dayOfWeek`
    DayOfWeek,
}

impl Field {
    /// The parameter's name in ArcGIS's requests.
    pub const fn name(self) -> &'static str {
        match self {
            Field::Minute => "minute",
            Field::Hour => "hour",
            Field::DayOfMonth => "dayOfMonth",
            Field::Month => "month",
            Field::DayOfWeek => "dayOfWeek",
        }
    }

    /// The least value.
    pub(crate) const fn low(self) -> u32 {
        match self {
            Field::Minute | Field::Hour => 0,
            Field::DayOfMonth | Field::Month | Field::DayOfWeek => 1,
        }
    }

    /// The greatest value.
    pub(crate) const fn high(self) -> u32 {
        match self {
            Field::Minute => 59,
            Field::Hour => 23,
            Field::DayOfMonth => 31,
            Field::Month => 12,
            Field::DayOfWeek => 7,
        }
    }

    /// Number of values; a range that wraps counts on from here.
    pub(crate) const fn count(self) -> u32 {
        self.high() + 1 - self.low()
    }

    /// Whether `?` may stand here.
    pub(crate) const fn is_day(self) -> bool {
        matches!(self, Field::DayOfMonth | Field::DayOfWeek)
    }

    /// The names that may stand for values, in the order of the values.
    pub(crate) const fn names(self) -> &'static [&'static str] {
        match self {
            Field::Month => &MONTHS,
            Field::DayOfWeek => &WEEKDAYS,
            Field::Minute | Field::Hour | Field::DayOfMonth => &[],
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Months in English, January first.
pub(crate) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// Days of the week in English, Sunday first.
pub(crate) const WEEKDAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// Repairs day fields that come from classic cron, as ArcGIS's Python client sends them for its shortcuts.
///
/// If both day fields are given and one is exactly `*`, that one becomes `?`; if both are `*`, dayOfWeek
/// does. In a form so repaired a dayOfWeek of `0`, which Quartz refuses, becomes `1`, Sunday. Everything
/// else stays as it is.
///
/// ```
/// use isochrone_quartz::{Fields, repair_day_fields};
///
/// let weekly = Fields { minute: "0", hour: "0", day_of_month: "*", month: "*", day_of_week: "0" };
/// let repaired = repair_day_fields(weekly);
/// assert_eq!((repaired.day_of_month, repaired.day_of_week), ("?", "1"));
/// ```
pub fn repair_day_fields(fields: Fields<'_>) -> Fields<'_> {
    let day_of_month = fields.day_of_month.trim();
    let day_of_week = fields.day_of_week.trim();
    let given = |day: &str| !day.is_empty() && !day.contains('?');
    if !given(day_of_month) || !given(day_of_week) {
        return fields;
    }
    match (day_of_month, day_of_week) {
        (_, "*") => Fields { day_of_week: "?", ..fields },
        ("*", "0") => Fields { day_of_month: "?", day_of_week: "1", ..fields },
        ("*", _) => Fields { day_of_month: "?", ..fields },
        _ => fields,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repaired<'a>(day_of_month: &'a str, day_of_week: &'a str) -> (&'a str, &'a str) {
        let fields = Fields { minute: "0", hour: "0", day_of_month, month: "*", day_of_week };
        let fields = repair_day_fields(fields);
        (fields.day_of_month, fields.day_of_week)
    }

    #[test]
    fn the_shortcuts_of_the_python_client_become_quartz() {
        assert_eq!(repaired("*", "*"), ("*", "?"));
        assert_eq!(repaired("1", "*"), ("1", "?"));
        assert_eq!(repaired("*", "0"), ("?", "1"));
        assert_eq!(repaired("*", "MON-FRI"), ("?", "MON-FRI"));
        assert_eq!(repaired(" * ", " 0 "), ("?", "1"));
    }

    #[test]
    fn everything_else_stays() {
        for pair in [("*", "?"), ("?", "*"), ("?", "0"), ("5", "0"), ("5", "2"), ("", "*"), ("*", "")] {
            assert_eq!(repaired(pair.0, pair.1), pair);
        }
    }
}
