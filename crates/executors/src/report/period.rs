//! The span of time that a report is about.

use isochrone_domain::EpochMillis;

/// From a moment, included, to a later one, excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first moment in it.
    pub from: EpochMillis,
    /// The first moment after it.
    pub to: EpochMillis,
}

impl Span {
    /// Whether the moment is in it.
    pub fn contains(&self, moment: EpochMillis) -> bool {
        self.from <= moment && moment < self.to
    }
}

/// ArcGIS's `timeDuration`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duration {
    /// A day in UTC.
    Daily,
    /// A week; it begins on Sunday, GMT.
    Weekly,
    /// A calendar month.
    Monthly,
    /// Three calendar months, from January, April, July or October on.
    Quarterly,
    /// A calendar year.
    Yearly,
}

const DAY_MS: i64 = 86_400_000;

impl Duration {
    /// Every duration.
    pub const ALL: [Duration; 5] =
        [Duration::Daily, Duration::Weekly, Duration::Monthly, Duration::Quarterly, Duration::Yearly];

    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Duration::Daily => "daily",
            Duration::Weekly => "weekly",
            Duration::Monthly => "monthly",
            Duration::Quarterly => "quarterly",
            Duration::Yearly => "yearly",
        }
    }

    /// The last whole period that had ended at `moment`.
    pub fn last_whole(self, moment: EpochMillis) -> Span {
        let (year, month, ..) = moment.civil();
        let day = moment.0.div_euclid(DAY_MS);
        match self {
            Duration::Daily => days(day - 1, 1),
            // Day 0 was a Thursday.
            Duration::Weekly => days(day - (day + 4).rem_euclid(7) - 7, 7),
            Duration::Monthly => months(year, month, -1, 1),
            Duration::Quarterly => months(year, month - (month - 1) % 3, -3, 3),
            Duration::Yearly => months(year, 1, -12, 12),
        }
    }

    /// The period that begins on the day of `start`; the error says which days are allowed. As in ArcGIS
    /// a week may also begin on Monday, and months and quarters begin on the first.
    pub fn from_start(self, start: EpochMillis) -> Result<Span, &'static str> {
        let (year, month, day_of_month, ..) = start.civil();
        let day = start.0.div_euclid(DAY_MS);
        match self {
            Duration::Daily => Ok(days(day, 1)),
            Duration::Weekly if (day + 4).rem_euclid(7) <= 1 => Ok(days(day, 7)),
            Duration::Weekly => Err("a Sunday or a Monday, GMT"),
            _ if day_of_month != 1 => Err("the first day of a month, GMT"),
            Duration::Monthly => Ok(months(year, month, 0, 1)),
            Duration::Quarterly => Ok(months(year, month, 0, 3)),
            Duration::Yearly => Ok(months(year, month, 0, 12)),
        }
    }
}

/// `length` days from the day with this number (1970-01-01 is 0) on.
fn days(first: i64, length: i64) -> Span {
    Span { from: EpochMillis(first * DAY_MS), to: EpochMillis((first + length) * DAY_MS) }
}

/// `length` months, beginning `shift` months after the given one.
fn months(year: i64, month: u32, shift: i64, length: i64) -> Span {
    let first_of = |months: i64| {
        let months = year * 12 + i64::from(month) - 1 + months;
        EpochMillis::from_date(months.div_euclid(12), months.rem_euclid(12) as u32 + 1, 1)
    };
    Span { from: first_of(shift), to: first_of(shift + length) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(from: (i64, u32, u32), to: (i64, u32, u32)) -> Span {
        Span {
            from: EpochMillis::from_date(from.0, from.1, from.2),
            to: EpochMillis::from_date(to.0, to.1, to.2),
        }
    }

    #[test]
    fn the_last_whole_period_before_a_moment() {
        // A Thursday, 09:30.
        let moment = EpochMillis(EpochMillis::from_date(2026, 1, 1).0 + 34_200_000);
        for (duration, expected) in [
            (Duration::Daily, span((2025, 12, 31), (2026, 1, 1))),
            (Duration::Weekly, span((2025, 12, 21), (2025, 12, 28))),
            (Duration::Monthly, span((2025, 12, 1), (2026, 1, 1))),
            (Duration::Quarterly, span((2025, 10, 1), (2026, 1, 1))),
            (Duration::Yearly, span((2025, 1, 1), (2026, 1, 1))),
        ] {
            assert_eq!(duration.last_whole(moment), expected, "{}", duration.name());
        }
        // At the very moment when one ends it is whole; a millisecond before, it is not.
        let sunday = EpochMillis::from_date(2026, 1, 4);
        assert_eq!(Duration::Weekly.last_whole(sunday), span((2025, 12, 28), (2026, 1, 4)));
        assert_eq!(
            Duration::Weekly.last_whole(EpochMillis(sunday.0 - 1)),
            span((2025, 12, 21), (2025, 12, 28))
        );
        let leap = EpochMillis::from_date(2024, 3, 1);
        assert_eq!(Duration::Monthly.last_whole(leap), span((2024, 2, 1), (2024, 3, 1)));
        assert_eq!(Duration::Daily.last_whole(leap), span((2024, 2, 29), (2024, 3, 1)));
        let may = EpochMillis::from_date(2026, 5, 31);
        assert_eq!(Duration::Quarterly.last_whole(may), span((2026, 1, 1), (2026, 4, 1)));
    }

    #[test]
    fn every_moment_lies_in_the_period_after_the_last_whole_one() {
        for duration in Duration::ALL {
            for hour in (-200_000..200_000).step_by(31) {
                let moment = EpochMillis(i64::from(hour) * 3_600_000 + 7);
                let last = duration.last_whole(moment);
                assert!(last.from < last.to && last.to <= moment, "{duration:?} {moment}");
                let next =
                    duration.last_whole(EpochMillis(moment.0 + (last.to.0 - last.from.0) + 4 * DAY_MS));
                assert!(next.from >= last.to, "{duration:?} {moment}");
                assert_eq!(duration.from_start(last.from), Ok(last), "{duration:?} {moment}");
            }
        }
    }

    #[test]
    fn a_start_must_be_one() {
        let wednesday = EpochMillis::from_date(2026, 1, 7);
        assert!(Duration::Weekly.from_start(wednesday).is_err());
        assert!(Duration::Monthly.from_start(wednesday).is_err());
        assert_eq!(
            Duration::Weekly.from_start(EpochMillis::from_date(2026, 1, 5)),
            Ok(span((2026, 1, 5), (2026, 1, 12)))
        );
        assert_eq!(
            Duration::Daily.from_start(EpochMillis(wednesday.0 + 5)),
            Ok(span((2026, 1, 7), (2026, 1, 8)))
        );
    }
}
