//! A schedule in plain English.

use crate::days::Day;
use crate::fields::{MONTHS, WEEKDAYS};
use crate::phrase::{even_step, joined, listed, ordinal, positions};
use crate::schedule::Schedule;

const ALL_HOURS: u32 = (1 << 24) - 1;
const ALL_MONTHS: u16 = 0x1FFE;
/// Up to so many moments of a day are named one by one.
const NAMED_TIMES: u32 = 4;

impl Schedule {
    /// The schedule in plain English: `at 09:30 UTC on Monday to Friday`.
    pub fn describe(&self) -> String {
        if self.never_fires() {
            return "never".to_owned();
        }
        let (time, repeats) = self.time();
        match (self.days(), self.month_list()) {
            (Some(days), _) => format!("{time} {days}"),
            (None, None) if repeats => time,
            (None, None) => format!("{time} every day"),
            (None, Some(months)) if repeats => format!("{time} in {months}"),
            (None, Some(months)) => format!("{time} every day in {months}"),
        }
    }

    /// The moments of a day, and whether the words already say that they repeat.
    fn time(&self) -> (String, bool) {
        if self.minutes.count_ones() * self.hours.count_ones() <= NAMED_TIMES {
            return (format!("at {} UTC", joined(&self.named_times())), false);
        }
        if self.hours == ALL_HOURS {
            return (self.hourly(), true);
        }
        match self.hours_in_a_row() {
            Some((first, last)) => self.between(first, last),
            None => self.in_some_hours(),
        }
    }

    fn named_times(&self) -> Vec<String> {
        let hours = positions(u64::from(self.hours)).into_iter();
        let minutes = positions(self.minutes);
        hours.flat_map(|hour| minutes.iter().map(move |minute| clock(hour, *minute))).collect()
    }

    /// The minutes of every hour.
    fn hourly(&self) -> String {
        if self.minutes == 1 {
            return "every hour".to_owned();
        }
        match even_step(self.minutes, 60) {
            Some((0, 1)) => "every minute".to_owned(),
            Some((0, step)) if 60 % step == 0 => format!("every {step} minutes"),
            Some((start, step)) if 60 / step > 2 => {
                format!("every {step} minutes from minute {start} of every hour")
            }
            _ => format!("at minute {} of every hour", self.minute_list()),
        }
    }

    /// The minutes of an unbroken run of hours.
    fn between(&self, first: u32, last: u32) -> (String, bool) {
        let ends = |start, step| {
            let minute = start + (59 - start) / step * step;
            format!("from {} to {} UTC", clock(first, start), clock(last, minute))
        };
        match even_step(self.minutes, 60) {
            Some((0, 1)) => (format!("every minute {}", ends(0, 1)), false),
            Some((start, step)) if 60 % step == 0 && 60 / step > 2 => {
                (format!("every {step} minutes {}", ends(start, step)), false)
            }
            _ if self.minutes.is_power_of_two() => {
                (format!("every hour {}", ends(self.minutes.trailing_zeros(), 60)), false)
            }
            _ => self.in_some_hours(),
        }
    }

    /// The minutes of hours that lie apart.
    fn in_some_hours(&self) -> (String, bool) {
        let every_nth = even_step(u64::from(self.hours), 24).filter(|(_, step)| 24 % step == 0);
        if let (Some((start, step)), true) = (every_nth, self.minutes.is_power_of_two()) {
            let minute = self.minutes.trailing_zeros();
            return match (start, minute) {
                (0, 0) => (format!("every {step} hours"), true),
                _ => (format!("every {step} hours from {} UTC", clock(start, minute)), true),
            };
        }
        let hours = match every_nth {
            Some((0, step)) => format!("every {} hour UTC", ordinal(step)),
            _ => format!("hours {} UTC", self.hour_list()),
        };
        let hours = if self.hours.is_power_of_two() { hours.replacen("hours", "hour", 1) } else { hours };
        match even_step(self.minutes, 60) {
            Some((0, 1)) => (format!("every minute of {hours}"), false),
            Some((start, step)) if 60 / step > 2 => {
                (format!("every {step} minutes from minute {start} of {hours}"), false)
            }
            _ => (format!("at minute {} past {hours}", self.minute_list()), false),
        }
    }

    fn hour_list(&self) -> String {
        let around = (self.day == Day::Every).then_some(24);
        listed(&positions(u64::from(self.hours)), around, number)
    }

    fn minute_list(&self) -> String {
        listed(&positions(self.minutes), None, number)
    }

    /// First and last of the hours if they follow each other.
    ///
    /// Over midnight only on every day: `22:00 to 01:00 on Monday` would be read as going into Tuesday.
    fn hours_in_a_row(&self) -> Option<(u32, u32)> {
        let before = ((self.hours << 1) | (self.hours >> 23)) & ALL_HOURS;
        let starts = self.hours & !before;
        let count = self.hours.count_ones();
        let first = starts.trailing_zeros();
        let readable = first + count <= 24 || self.day == Day::Every;
        (starts.is_power_of_two() && count > 1 && readable).then_some((first, (first + count - 1) % 24))
    }

    /// The days, unless they are all days.
    fn days(&self) -> Option<String> {
        let months = self.month_list();
        let of = |what: &str| {
            let months = months.as_deref().unwrap_or("the month");
            Some(format!("on {what} of {months}"))
        };
        let before_last = |before: u32| match before {
            1 => "the day before the last day".to_owned(),
            _ => format!("{before} days before the last day"),
        };
        match self.day {
            Day::OfMonth(days) => of(&days_of_month(days)),
            Day::OfWeek(days) => {
                let days = weekday_list(days);
                Some(months.map_or_else(|| format!("on {days}"), |months| format!("on {days} in {months}")))
            }
            Day::Last { before: 0 } => of("the last day"),
            Day::Last { before: 1 } => of("the day before the last day"),
            Day::Last { before } => of(&format!("the day {}", before_last(before))),
            Day::WeekdayNearLast { before: 0 } => of("the last weekday"),
            Day::WeekdayNearLast { before } => of(&format!("the weekday nearest to {}", before_last(before))),
            Day::WeekdayNear { day } => of(&format!("the weekday nearest to day {day}")),
            Day::LastWeekday { weekday } => of(&format!("the last {}", WEEKDAYS[weekday as usize])),
            Day::NthWeekday { weekday, nth } => {
                of(&format!("the {} {}", NTHS[nth as usize - 1], WEEKDAYS[weekday as usize]))
            }
            Day::Every | Day::Never => None,
        }
    }

    /// The months, unless they are all months.
    fn month_list(&self) -> Option<String> {
        let months = positions(u64::from(self.months) >> 1);
        let name = |month: u32| MONTHS[month as usize].to_owned();
        (self.months != ALL_MONTHS).then(|| listed(&months, Some(12), name))
    }
}

const NTHS: [&str; 5] = ["first", "second", "third", "fourth", "fifth"];

fn days_of_month(days: u32) -> String {
    match even_step(u64::from(days >> 1), 31) {
        Some((0, step)) if 31 / step > 2 => format!("every {} day from day 1", ordinal(step)),
        _ => format!("day {}", listed(&positions(u64::from(days)), None, number)),
    }
}

/// Weekdays in words; the week begins on Monday.
fn weekday_list(days: u8) -> String {
    let from_monday = (days >> 1) | ((days & 1) << 6);
    let name = |day: u32| WEEKDAYS[(day as usize + 1) % 7].to_owned();
    listed(&positions(u64::from(from_monday)), Some(7), name)
}

fn number(value: u32) -> String {
    value.to_string()
}

fn clock(hour: u32, minute: u32) -> String {
    format!("{hour:02}:{minute:02}")
}

#[cfg(test)]
mod tests {
    use crate::{Fields, Schedule};

    fn described(text: &str) -> String {
        let mut fields = text.split(' ');
        let mut field = || fields.next().expect("five fields");
        let fields = Fields {
            minute: field(),
            hour: field(),
            day_of_month: field(),
            month: field(),
            day_of_week: field(),
        };
        Schedule::parse(&fields).expect("a good schedule").describe()
    }

    #[test]
    fn reads_well() {
        let expected = [
            ("* * * * ?", "every minute"),
            ("*/10 * * * ?", "every 10 minutes"),
            ("*/30 * * * ?", "every 30 minutes"),
            ("5/10 * * * ?", "every 10 minutes from minute 5 of every hour"),
            ("*/7 * * * ?", "every 7 minutes from minute 0 of every hour"),
            ("0 * * * ?", "every hour"),
            ("15 * * * ?", "at minute 15 of every hour"),
            ("5,20,35 * ? * *", "at minute 5, 20 and 35 of every hour"),
            ("0-10 * ? * *", "at minute 0 to 10 of every hour"),
            ("0 3 * * ?", "at 03:00 UTC every day"),
            ("0,30 8,17 * * ?", "at 08:00, 08:30, 17:00 and 17:30 UTC every day"),
            ("0 */2 * * ?", "every 2 hours"),
            ("30 1/4 * * ?", "every 4 hours from 01:30 UTC"),
            ("0 8-17 * * ?", "every hour from 08:00 to 17:00 UTC every day"),
            ("*/10 8-17 * * ?", "every 10 minutes from 08:00 to 17:50 UTC every day"),
            ("* 22-1 * * ?", "every minute from 22:00 to 01:59 UTC every day"),
            ("* 22-1 ? * MON", "every minute of hours 0, 1, 22 and 23 UTC on Monday"),
            ("* 4 ? * SAT,SUN", "every minute of hour 4 UTC on Saturday and Sunday"),
            ("*/15 6,12,18 ? * 2", "every 15 minutes from minute 0 of hours 6, 12 and 18 UTC on Monday"),
            ("10,40 */3 * * ?", "at minute 10 and 40 past every 3rd hour UTC every day"),
            ("0,30 8-17 1,15 * ?", "at minute 0 and 30 past hours 8 to 17 UTC on day 1 and 15 of the month"),
            ("30 9 ? * MON-FRI", "at 09:30 UTC on Monday to Friday"),
            ("30 9 ? * FRI-MON", "at 09:30 UTC on Friday to Monday"),
            ("30 9 ? 11-2 SUN", "at 09:30 UTC on Sunday in November to February"),
            ("* * ? * MON", "every minute on Monday"),
            ("0 0 * 3 ?", "at 00:00 UTC every day in March"),
            ("*/5 * * 6-8 ?", "every 5 minutes in June to August"),
            ("17 4-11 ? * 2#1", "every hour from 04:17 to 11:17 UTC on the first Monday of the month"),
            ("0 0 L * ?", "at 00:00 UTC on the last day of the month"),
            ("0 0 L-1 * ?", "at 00:00 UTC on the day before the last day of the month"),
            ("0 0 L-3 * ?", "at 00:00 UTC on the day 3 days before the last day of the month"),
            ("0 0 LW 3 ?", "at 00:00 UTC on the last weekday of March"),
            (
                "0 0 L-3W * ?",
                "at 00:00 UTC on the weekday nearest to 3 days before the last day of the month",
            ),
            ("0 0 15W JAN,JUL ?", "at 00:00 UTC on the weekday nearest to day 15 of January and July"),
            ("0 0 ? * 6L", "at 00:00 UTC on the last Friday of the month"),
            ("0 0 ? * FRI#3", "at 00:00 UTC on the third Friday of the month"),
            ("0 0 */2 * ?", "at 00:00 UTC on every 2nd day from day 1 of the month"),
            ("0 0 1-7,20 JUN ?", "at 00:00 UTC on day 1 to 7 and 20 of June"),
            ("0 0 31 2 ?", "never"),
        ];
        for (text, words) in expected {
            assert_eq!(described(text), words, "{text}");
        }
    }

    #[test]
    fn equal_schedules_read_alike() {
        assert_eq!(described("0 3 * * ?"), described("0 3 ? * *"));
        assert_eq!(described("0 3 * * ?"), described("0 3 1-31 JAN-DEC ?"));
    }
}
