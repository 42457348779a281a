//! A second opinion on plain schedules: the `cron` crate.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use isochrone_quartz::{Fields, Schedule};
use proptest::prelude::*;

/// Lists of values, ranges that do not wrap and steps: what both dialects read alike.
fn plain(low: u32, high: u32) -> impl Strategy<Value = String> {
    let item = (low..=high, low..=high, 1..=high.min(12), 0..5_u8).prop_map(move |(a, b, step, kind)| {
        let (first, last) = (a.min(b), a.max(b));
        match kind {
            0 => format!("{a}"),
            1 => format!("{first}-{last}"),
            2 => format!("{first}-{last}/{step}"),
            3 => format!("*/{step}"),
            _ => format!("{a}/{step}"),
        }
    });
    prop_oneof![
        1 => Just("*".to_owned()),
        3 => prop::collection::vec(item, 1..4).prop_map(|items| items.join(",")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn agrees_with_the_cron_crate(
        minute in plain(0, 59),
        hour in plain(0, 23),
        day in plain(1, 31),
        month in plain(1, 12),
        weekday in plain(1, 7),
        by_week in any::<bool>(),
        after in 0..3_000_000_000_000_i64,
    ) {
        let (day_of_month, day_of_week) =
            if by_week { ("?", weekday.as_str()) } else { (day.as_str(), "?") };
        let fields = Fields { minute: &minute, hour: &hour, day_of_month, month: &month, day_of_week };
        let text = format!("0 {minute} {hour} {day_of_month} {month} {day_of_week}");
        let schedule = Schedule::parse(&fields).expect("a plain schedule").with_horizon(2090);
        let other = cron::Schedule::from_str(&text).expect("a plain schedule");

        let after_date: DateTime<Utc> = DateTime::from_timestamp_millis(after).expect("a moment");
        let ours: Vec<i64> = schedule.iter_after(after).take(5).collect();
        let theirs: Vec<i64> =
            other.after(&after_date).take(ours.len()).map(|fire| fire.timestamp_millis()).collect();
        prop_assert_eq!(ours, theirs, "{}", text);
    }
}
