//! Schedules written at random together with what they mean, without the engine's help.
#![allow(dead_code)] // Each test file uses a part of this.

use std::collections::BTreeSet;

use isochrone_quartz::{Fields, Schedule};
use proptest::prelude::*;

pub(crate) const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
pub(crate) const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// A set of values and one way to write it.
#[derive(Clone, Debug)]
pub(crate) struct Set {
    pub(crate) text: String,
    pub(crate) values: BTreeSet<u32>,
}

/// A day rule in Quartz's own terms: weekdays are 1, Sunday, to 7.
#[derive(Clone, Debug)]
pub(crate) enum Rule {
    DaysOfMonth(BTreeSet<u32>),
    DaysOfWeek(BTreeSet<u32>),
    Last(u32),
    WeekdayNearLast(u32),
    WeekdayNear(u32),
    LastWeekday(u32),
    Nth(u32, u32),
}

/// A schedule as text and as meaning.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) minute: Set,
    pub(crate) hour: Set,
    pub(crate) month: Set,
    pub(crate) day_of_month: String,
    pub(crate) day_of_week: String,
    pub(crate) rule: Rule,
}

impl Written {
    pub(crate) fn fields(&self) -> Fields<'_> {
        Fields {
            minute: &self.minute.text,
            hour: &self.hour.text,
            day_of_month: &self.day_of_month,
            month: &self.month.text,
            day_of_week: &self.day_of_week,
        }
    }

    pub(crate) fn schedule(&self) -> Schedule {
        Schedule::parse(&self.fields()).expect("what is written here is right")
    }
}

/// One item of a list: a value, all, a range that may wrap, each with or without a step.
fn item(low: u32, high: u32, names: &'static [&'static str]) -> impl Strategy<Value = Set> {
    let step_high = high.min(23);
    (low..=high, low..=high, 1..=step_high, 0..7_u8).prop_map(move |(first, last, step, kind)| {
        let word = |v: u32| names.get((v - low) as usize).map_or(v.to_string(), ToString::to_string);
        let (text, from, to, by) = match kind {
            0 | 1 => (first.to_string(), first, first, 1),
            2 => (format!("{first}-{last}"), first, last, 1),
            3 => (format!("{first}-{last}/{step}"), first, last, step),
            4 => (format!("{first}/{step}"), first, high, step),
            5 => (format!("*/{step}"), low, high, step),
            _ => (format!("{}-{}", word(first), word(last)), first, last, 1),
        };
        Set { text, values: walked(from, to, by, low, high) }
    })
}

/// Every `by`th value on the way from `from` to `to`, round the end if need be.
fn walked(from: u32, to: u32, by: u32, low: u32, high: u32) -> BTreeSet<u32> {
    let mut values = BTreeSet::new();
    let mut value = from;
    let mut steps = 0;
    loop {
        if steps % by == 0 {
            values.insert(value);
        }
        if value == to {
            return values;
        }
        steps += 1;
        value = if value == high { low } else { value + 1 };
    }
}

pub(crate) fn set(low: u32, high: u32, names: &'static [&'static str]) -> impl Strategy<Value = Set> {
    let list = prop::collection::vec(item(low, high, names), 1..4).prop_map(|items| Set {
        text: items.iter().map(|item| item.text.as_str()).collect::<Vec<_>>().join(","),
        values: items.into_iter().flat_map(|item| item.values).collect(),
    });
    let all = Just(Set { text: "*".to_owned(), values: (low..=high).collect() });
    prop_oneof![1 => all, 3 => list]
}

/// Day of month, day of week and what both together mean.
fn days() -> impl Strategy<Value = (String, String, Rule)> {
    let of_month = |text: String, rule| (text, "?".to_owned(), rule);
    let of_week = |text: String, rule| ("?".to_owned(), text, rule);
    let offset = |n: u32| if n == 0 { String::new() } else { format!("-{n}") };
    prop_oneof![
        4 => set(1, 31, &[]).prop_map(move |s| of_month(s.text, Rule::DaysOfMonth(s.values))),
        3 => set(1, 7, &WEEKDAYS).prop_map(move |s| of_week(s.text, Rule::DaysOfWeek(s.values))),
        1 => (0..=30_u32).prop_map(move |n| of_month(format!("L{}", offset(n)), Rule::Last(n))),
        1 => (0..=30_u32)
            .prop_map(move |n| of_month(format!("L{}W", offset(n)), Rule::WeekdayNearLast(n))),
        3 => (1..=31_u32).prop_map(move |n| of_month(format!("{n}W"), Rule::WeekdayNear(n))),
        1 => (1..=7_u32).prop_map(move |d| of_week(format!("{d}L"), Rule::LastWeekday(d))),
        1 => (1..=7_u32, 1..=5_u32).prop_map(move |(d, n)| {
            of_week(format!("{}#{n}", WEEKDAYS[d as usize - 1].to_lowercase()), Rule::Nth(d, n))
        }),
    ]
}

pub(crate) fn written() -> impl Strategy<Value = Written> {
    (set(0, 59, &[]), set(0, 23, &[]), set(1, 12, &MONTHS), days()).prop_map(
        |(minute, hour, month, (day_of_month, day_of_week, rule))| Written {
            minute,
            hour,
            month,
            day_of_month,
            day_of_week,
            rule,
        },
    )
}

/// A moment between 1965 and 2150, in ms, often near the edge of a minute, a day or a month.
pub(crate) fn moment() -> impl Strategy<Value = i64> {
    let edge = prop_oneof![Just(0_i64), Just(-1), Just(1), Just(-1_000), Just(999), -90_000..90_000_i64];
    let day = 86_400_000_i64;
    prop_oneof![
        -5 * 365 * day..180 * 365 * day,
        (-1_800..65_700_i64, edge.clone()).prop_map(move |(days, edge)| days * day + edge),
        (0..2_160_i64, edge).prop_map(move |(month, edge)| {
            isochrone_quartz::calendar::days_from_civil(1970 + month / 12, (month % 12 + 1) as u32, 1) * day
                + edge
        }),
    ]
}
