//! The next fire: bit masks and date arithmetic, no walk over time.

use crate::calendar::{civil_from_days, days_from_civil, days_in_month, weekday_from_days};
use crate::days::{Day, Month};
use crate::schedule::Schedule;

const MS_PER_MINUTE: i64 = 60_000;
const MINUTES_PER_DAY: u32 = 1_440;
/// Bits 1 to 12.
const ALL_MONTHS: u16 = 0x1FFE;

impl Schedule {
    /// The first fire strictly after the given moment; both in ms since 1970-01-01T00:00Z.
    ///
    /// None if there is no further fire up to the horizon. Fires are whole minutes, never before 1970.
    pub fn next(&self, after_ms: i64) -> Option<i64> {
        let from = (after_ms.div_euclid(MS_PER_MINUTE) + 1).max(0);
        let from = u32::try_from(from).ok().filter(|&from| from < self.end)?;
        let minute = self.next_minute(from)?;
        (minute < self.end).then(|| i64::from(minute) * MS_PER_MINUTE)
    }

    /// The fires strictly after the given moment, in ms since 1970-01-01T00:00Z.
    pub fn iter_after(&self, after_ms: i64) -> Fires {
        Fires { schedule: *self, after_ms: Some(after_ms) }
    }

    /// The first matching minute from the given one on, all counted from 1970.
    fn next_minute(&self, from: u32) -> Option<u32> {
        let mut day = from / MINUTES_PER_DAY;
        let slot = self.slot_from(from % MINUTES_PER_DAY).unwrap_or_else(|| {
            day += 1;
            self.first_slot()
        });
        if self.day == Day::Every && self.months == ALL_MONTHS {
            return Some(day * MINUTES_PER_DAY + slot);
        }
        let found = self.next_day(i64::from(day))?;
        let slot = if found == i64::from(day) { slot } else { self.first_slot() };
        u32::try_from(found * i64::from(MINUTES_PER_DAY) + i64::from(slot)).ok()
    }

    /// The first matching minute of a day from the given one on.
    fn slot_from(&self, minute_of_day: u32) -> Option<u32> {
        let (hour, minute) = (minute_of_day / 60, minute_of_day % 60);
        let minutes = self.minutes >> minute;
        if self.hours & (1 << hour) != 0 && minutes != 0 {
            return Some(minute_of_day + minutes.trailing_zeros());
        }
        let hours = self.hours & (u32::MAX << (hour + 1));
        (hours != 0).then(|| hours.trailing_zeros() * 60 + self.minutes.trailing_zeros())
    }

    fn first_slot(&self) -> u32 {
        self.hours.trailing_zeros() * 60 + self.minutes.trailing_zeros()
    }

    /// The first matching day from the given one on, counted from 1970.
    fn next_day(&self, from: i64) -> Option<i64> {
        if self.day == Day::Never {
            return None;
        }
        let (mut year, mut month, mut day) = civil_from_days(from);
        let mut first = from - i64::from(day) + 1;
        let leapt_over = self.leapt_over(first, year, month, day);
        while first * i64::from(MINUTES_PER_DAY) < i64::from(self.end) {
            if self.months & (1 << month) != 0 && leapt_over != Some(first) {
                let days = self.day.mask(month_of(first, year, month)) & (u32::MAX << day);
                if days != 0 {
                    return Some(first + i64::from(days.trailing_zeros()) - 1);
                }
            }
            let later = u32::from(self.months) & (u32::MAX << (month + 1));
            if later == 0 {
                year += 1;
                month = u32::from(self.months).trailing_zeros();
            } else {
                month = later.trailing_zeros();
            }
            day = 1;
            first = days_from_civil(year, month, 1);
        }
        None
    }

    /// The first day of the month after the starting one if Quartz leaps over that month.
    ///
    /// With `nW`, once the starting month's fire day has passed, Quartz goes on at day n of the next
    /// month, which is past that month's end where n is too long for it. A search that starts later does
    /// not, so `29W` can fire on 28 February only if asked from outside of the end of January.
    fn leapt_over(&self, first: i64, year: i64, month: u32, day: u32) -> Option<i64> {
        let Day::WeekdayNear { day: near } = self.day else { return None };
        let start = month_of(first, year, month);
        let fires = self.day.mask(start);
        let passed = fires != 0 && fires.trailing_zeros() < day;
        // December is followed by a January of 31 days, for which no day is too long.
        let too_long = month < 12 && near > days_in_month(year, month + 1);
        (passed && too_long).then(|| first + i64::from(start.length))
    }
}

fn month_of(first: i64, year: i64, month: u32) -> Month {
    Month { length: days_in_month(year, month), first_weekday: weekday_from_days(first) }
}

/// The fires of a schedule after a moment, in ms since 1970-01-01T00:00Z; see [`Schedule::iter_after`].
#[derive(Clone, Debug)]
pub struct Fires {
    schedule: Schedule,
    after_ms: Option<i64>,
}

impl Iterator for Fires {
    type Item = i64;

    fn next(&mut self) -> Option<i64> {
        self.after_ms = self.schedule.next(self.after_ms?);
        self.after_ms
    }
}

impl std::iter::FusedIterator for Fires {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Fields;

    fn next_date(month: &str, after: (i64, u32, u32)) -> Option<(i64, u32, u32)> {
        let fields = Fields { minute: "0", hour: "0", day_of_month: "29W", month, day_of_week: "?" };
        let schedule = Schedule::parse(&fields).expect("a good schedule");
        let after = days_from_civil(after.0, after.1, after.2) * 86_400_000;
        schedule.next(after).map(|next| civil_from_days(next / 86_400_000))
    }

    #[test]
    fn leaps_over_a_short_month_only_from_past_the_fire_of_the_month_before() {
        assert_eq!(next_date("*", (2025, 1, 5)), Some((2025, 1, 29)));
        assert_eq!(next_date("*", (2025, 1, 29)), Some((2025, 3, 28)));
        assert_eq!(next_date("*", (2025, 1, 30)), Some((2025, 3, 28)));
        assert_eq!(next_date("*", (2025, 1, 31)), Some((2025, 2, 28)));
        // The same where January itself is not asked for.
        assert_eq!(next_date("FEB", (2025, 1, 5)), Some((2025, 2, 28)));
        assert_eq!(next_date("FEB", (2025, 1, 30)), Some((2028, 2, 29)));
        assert_eq!(next_date("FEB", (2025, 1, 31)), Some((2025, 2, 28)));
    }
}
