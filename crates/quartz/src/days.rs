//! The rule that picks the days of a month, as one mask of the month's fire days.

use crate::calendar::days_in_month;

/// The bits of days 1 to 31.
const ALL_DAYS: u32 = 0xFFFF_FFFE;
/// The bits of Sunday to Saturday.
const ALL_WEEKDAYS: u8 = 0x7F;

/// A day rule. Weekdays count from 0, Sunday, to 6, Saturday.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Day {
    /// Every day.
    Every,
    /// The days whose bit is set, bit 1 for the 1st.
    OfMonth(u32),
    /// The weekdays whose bit is set, bit 0 for Sunday.
    OfWeek(u8),
    /// So many days before the last.
    Last { before: u32 },
    /// Monday to Friday nearest to so many days before the last.
    WeekdayNearLast { before: u32 },
    /// Monday to Friday nearest to the day.
    WeekdayNear { day: u32 },
    /// The last such weekday.
    LastWeekday { weekday: u32 },
    /// The nth such weekday.
    NthWeekday { weekday: u32, nth: u32 },
    /// No day at all.
    Never,
}

/// One month: how long it is and on which weekday it begins.
#[derive(Clone, Copy)]
pub(crate) struct Month {
    pub(crate) length: u32,
    pub(crate) first_weekday: u32,
}

impl Day {
    pub(crate) fn of_month(mask: u32) -> Day {
        if mask == ALL_DAYS { Day::Every } else { Day::OfMonth(mask) }
    }

    pub(crate) fn of_week(mask: u8) -> Day {
        if mask == ALL_WEEKDAYS { Day::Every } else { Day::OfWeek(mask) }
    }

    /// The fire days of a month, bit 1 for the 1st.
    pub(crate) fn mask(self, month: Month) -> u32 {
        let days_of_month = ALL_DAYS & (u32::MAX >> (31 - month.length));
        match self {
            Day::Every => days_of_month,
            Day::OfMonth(days) => days & days_of_month,
            Day::OfWeek(weekdays) => {
                // Six weeks side by side, shifted so that the month's first weekday falls on bit 1.
                let weeks = u64::from(weekdays) * 0x0008_1020_4081 * 2;
                (weeks >> month.first_weekday) as u32 & days_of_month
            }
            Day::Last { before } => bit(month.length.checked_sub(before)),
            Day::WeekdayNearLast { before } => {
                let day = month.length.checked_sub(before).filter(|&day| day > 0);
                bit(day.map(|day| month.weekday_near(day)))
            }
            Day::WeekdayNear { day } => bit(month.fire_of_weekday_near(day)),
            Day::LastWeekday { weekday } => {
                let first = month.first(weekday);
                bit(Some(first + (month.length - first) / 7 * 7))
            }
            Day::NthWeekday { weekday, nth } => {
                bit(Some(month.first(weekday) + (nth - 1) * 7)) & days_of_month
            }
            Day::Never => 0,
        }
    }

    /// Whether the rule finds a day in any of the months (bit 1 for January) of any year.
    pub(crate) fn ever_comes(self, months: u16) -> bool {
        // 2000 is a leap year and 2001 is not; with every first weekday they stand for all years.
        (1..=12).filter(|month| months & (1 << month) != 0).any(|month| {
            [2000, 2001].into_iter().any(|year| {
                let length = days_in_month(year, month);
                (0..7).any(|first_weekday| self.mask(Month { length, first_weekday }) != 0)
            })
        })
    }
}

impl Month {
    fn weekday(self, day: u32) -> u32 {
        (self.first_weekday + day - 1) % 7
    }

    /// The first day that is such a weekday.
    fn first(self, weekday: u32) -> u32 {
        1 + (weekday + 7 - self.first_weekday) % 7
    }

    /// Monday to Friday nearest to a day of this month, without leaving the month.
    fn weekday_near(self, day: u32) -> u32 {
        match self.weekday(day) {
            6 if day == 1 => 3,
            6 => day - 1,
            0 if day == self.length => day - 2,
            0 => day + 1,
            _ => day,
        }
    }

    /// The day on which `W` fires; Quartz lets a day past the month's end run into the next month and
    /// comes back only if that is the Saturday right after this month.
    fn fire_of_weekday_near(self, day: u32) -> Option<u32> {
        if day <= self.length {
            return Some(self.weekday_near(day));
        }
        (day == self.length + 1 && self.weekday(day) == 6).then_some(self.length)
    }
}

/// The bit of the day; none for no day and for day 0.
fn bit(day: Option<u32>) -> u32 {
    day.map_or(0, |day| 1_u32.checked_shl(day).unwrap_or(0)) & ALL_DAYS
}
