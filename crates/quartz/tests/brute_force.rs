//! The engine against a walk from minute to minute, on dates of another library.

mod written;

use chrono::{DateTime, Datelike, Days, NaiveDate, TimeDelta, Timelike, Utc, Weekday};
use proptest::prelude::*;
use written::{Rule, Written, moment, written};

/// How far the walk goes; past that only the lower bound is checked.
const WALKED_DAYS: u64 = 800;

fn sunday_is_one(date: NaiveDate) -> u32 {
    date.weekday().num_days_from_sunday() + 1
}

fn last_of_month(date: NaiveDate) -> NaiveDate {
    date.iter_days().take_while(|day| day.month() == date.month()).last().expect("the date itself")
}

/// The weekday nearest to the date among the dates of its month.
fn nearest_weekday(date: NaiveDate) -> NaiveDate {
    let works = |day: &NaiveDate| !matches!(day.weekday(), Weekday::Sat | Weekday::Sun);
    let days = date.with_day(1).expect("a first").iter_days().take_while(|d| d.month() == date.month());
    // Of a Saturday and a Sunday both neighbours within two days count; the closer one wins.
    days.filter(works).min_by_key(|day| (*day - date).num_days().abs()).expect("a month has weekdays")
}

/// The one day of the month on which `nW` fires.
fn near_fire(n: u32, date: NaiveDate) -> Option<NaiveDate> {
    let last = last_of_month(date);
    match date.with_day(n) {
        Some(day) => Some(nearest_weekday(day)),
        None => (n == last.day() + 1 && last.weekday() == Weekday::Fri).then_some(last),
    }
}

fn day_matches(rule: &Rule, date: NaiveDate) -> bool {
    let last = last_of_month(date);
    let before_last = |n: u32| last.day().checked_sub(n).filter(|d| *d > 0).and_then(|d| date.with_day(d));
    match rule {
        Rule::DaysOfMonth(days) => days.contains(&date.day()),
        Rule::DaysOfWeek(days) => days.contains(&sunday_is_one(date)),
        Rule::Last(n) => before_last(*n) == Some(date),
        Rule::WeekdayNearLast(n) => before_last(*n).map(nearest_weekday) == Some(date),
        Rule::WeekdayNear(n) => near_fire(*n, date) == Some(date),
        Rule::LastWeekday(d) => sunday_is_one(date) == *d && date.day() + 7 > last.day(),
        Rule::Nth(d, n) => sunday_is_one(date) == *d && (date.day() - 1) / 7 + 1 == *n,
    }
}

/// The first matching minute after the moment, among the days walked.
fn walk(written: &Written, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let epoch = DateTime::UNIX_EPOCH;
    let next_minute = after.with_second(0)?.with_nanosecond(0)? + TimeDelta::minutes(1);
    let from = next_minute.max(epoch);
    let minutes_of = |date: NaiveDate| {
        (0..1_440).map(move |minute| {
            date.and_hms_opt(minute / 60, minute % 60, 0).expect("a minute of the day").and_utc()
        })
    };
    let in_sets = |moment: &DateTime<Utc>| {
        written.minute.values.contains(&moment.minute()) && written.hour.values.contains(&moment.hour())
    };
    let slots = |date| minutes_of(date).filter(move |moment| *moment >= from && in_sets(moment));
    let days = || from.date_naive().iter_days().take(WALKED_DAYS as usize);
    let start = days().find_map(|date| slots(date).next())?.date_naive();
    days()
        .filter(|date| written.month.values.contains(&date.month()))
        .filter(|date| day_matches(&written.rule, *date) && !leapt_over(&written.rule, start, *date))
        .find_map(|date| slots(date).next())
}

/// Quartz's leap with `nW`: from a start past the fire of its month over the next month if n is too long.
fn leapt_over(rule: &Rule, start: NaiveDate, date: NaiveDate) -> bool {
    let Rule::WeekdayNear(n) = rule else { return false };
    let next = last_of_month(start) + Days::new(1);
    near_fire(*n, start).is_some_and(|fire| fire < start)
        && (next.year(), next.month()) == (date.year(), date.month())
        && *n > last_of_month(next).day()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn equals_a_walk_from_minute_to_minute(written in written(), after in moment()) {
        let schedule = written.schedule();
        let next = schedule.next(after);
        let after = DateTime::from_timestamp_millis(after).expect("a moment that chrono knows");
        if let Some(walked) = walk(&written, after) {
            prop_assert_eq!(next, Some(walked.timestamp_millis()));
        } else {
            let end = after + TimeDelta::days(WALKED_DAYS as i64 - 1);
            prop_assert!(next.is_none_or(|next| next > end.timestamp_millis()));
        }
    }
}
