//! What holds for every schedule, and for every text that is none.

mod written;

use isochrone_quartz::{Fields, Schedule};
use proptest::prelude::*;
use written::{Rule, moment, written};

/// Text that often comes close to a field.
fn garbage() -> impl Strategy<Value = String> {
    prop_oneof![
        "[0-9*/?LWC#, \t\\-]{0,12}",
        "[0-9*/?LWC#,\\-]{1,4}",
        "(9[89]|[0-9]{1,2})[-/#LW]?[0-9]{0,3}[-/,]?[0-9]{0,11}",
        "(SUN|mon|JAN|decem|ſat|L|l)[-#/LW,]?(TUE|fRı|DEC|[0-9]{1,2})?",
        "\\PC{0,8}",
        ".{0,60}",
    ]
}

fn any_moment() -> impl Strategy<Value = i64> {
    prop_oneof![any::<i64>(), moment(), Just(i64::MIN), Just(i64::MAX), Just(-1), Just(0)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_500))]

    #[test]
    fn garbage_never_panics(
        texts in prop::array::uniform5(garbage()),
        good in prop::array::uniform5(any::<bool>()),
        after in any_moment(),
    ) {
        let plain = ["0", "0", "?", "*", "*"];
        let text = |i: usize| if good[i] { plain[i] } else { texts[i].as_str() };
        let fields = Fields {
            minute: text(0),
            hour: text(1),
            day_of_month: text(2),
            month: text(3),
            day_of_week: text(4),
        };
        let parsed = Schedule::parse(&fields);
        let explained = Schedule::parse_explained(&fields);
        prop_assert_eq!(&parsed, &explained.clone().map(|explained| explained.schedule));
        match Schedule::parse_strict(&fields) {
            Ok(strict) => {
                prop_assert_eq!(Ok(strict), parsed.clone());
                prop_assert!(Schedule::warnings(&fields).is_empty());
            }
            Err(error) => prop_assert!(error.text.chars().count() <= 41 && !error.to_string().is_empty()),
        }
        if let Ok(schedule) = parsed {
            prop_assert!(!schedule.describe().is_empty());
            if let Some(next) = schedule.next(after) {
                prop_assert!(next > after && next >= 0 && next % 60_000 == 0);
                prop_assert!(!schedule.never_fires());
            }
            // Nothing that may fire waits longer than for a 29 February of one weekday.
            prop_assert_eq!(schedule.next(i64::MIN).is_none(), schedule.never_fires());
        }
    }

    #[test]
    fn fires_come_in_order(written in written(), after in any_moment(), further in 0..400_000_000_i64) {
        let schedule = written.schedule();
        let fires: Vec<i64> = schedule.iter_after(after).take(20).collect();
        prop_assert!(fires.is_sorted_by(|a, b| a < b));
        if matches!(written.rule, Rule::WeekdayNear(_)) {
            return Ok(()); // What comes next depends on where the search starts.
        }
        if let Some(next) = fires.first() {
            prop_assert_eq!(schedule.next(next - 1), Some(*next));
            prop_assert_eq!(schedule.next(next - 60_000), Some(*next));
            let later = schedule.next(after.saturating_add(further));
            prop_assert!(later.is_none_or(|later| later >= *next));
        }
    }

    #[test]
    fn plain_schedules_pass_strict_reading(written in written()) {
        prop_assert_eq!(Schedule::parse_strict(&written.fields()), Ok(written.schedule()));
    }
}

#[test]
fn huge_fields_are_refused_at_once() {
    for piece in ["1,", "*", "9", " ", "é", "L-", "1-2/3,"] {
        let huge = piece.repeat(10_000_000 / piece.len());
        let fields = Fields { minute: &huge, hour: "*", day_of_month: "*", month: "*", day_of_week: "?" };
        let error = Schedule::parse(&fields).expect_err("ten megabytes are no minute");
        assert!(error.to_string().len() < 200);
    }
}

#[test]
fn the_ends_of_time_are_safe() {
    let fields = Fields { minute: "*", hour: "*", day_of_month: "*", month: "*", day_of_week: "?" };
    let schedule = Schedule::parse(&fields).expect("every minute");
    assert_eq!(schedule.next(i64::MIN), Some(0));
    assert_eq!(schedule.next(-1), Some(0));
    assert_eq!(schedule.next(0), Some(60_000));
    assert_eq!(schedule.next(i64::MAX), None);
    let last_minute = 7_258_118_340_000; // 2199-12-31T23:59Z
    assert_eq!(schedule.next(last_minute - 1), Some(last_minute));
    assert_eq!(schedule.next(last_minute), None);
    assert_eq!(schedule.with_horizon(u16::MAX).next(last_minute), Some(last_minute + 60_000));
    assert_eq!(schedule.with_horizon(0).next(31_535_999_999), None);
}
