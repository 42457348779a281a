//! No text makes reading panic, and whatever is read keeps its promises.
#![no_main]

use isochrone_quartz::{Fields, Schedule};
use libfuzzer_sys::fuzz_target;

// Eight bytes of moment, then five lines of text.
fuzz_target!(|data: &[u8]| {
    let Some((moment, text)) = data.split_first_chunk::<8>() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let mut parts = text.splitn(5, '\n');
    let mut part = || parts.next().unwrap_or("*");
    let fields =
        Fields { minute: part(), hour: part(), day_of_month: part(), month: part(), day_of_week: part() };
    let parsed = Schedule::parse(&fields);
    let explained = Schedule::parse_explained(&fields).map(|explained| explained.schedule);
    assert_eq!(parsed, explained);
    let Ok(schedule) = parsed else {
        assert!(Schedule::parse_strict(&fields).is_err());
        return;
    };
    assert!(!schedule.describe().is_empty());
    assert_eq!(schedule.never_fires(), schedule.next(i64::MIN).is_none());
    let after = i64::from_le_bytes(*moment);
    for after in [after, after % 7_500_000_000_000] {
        if let Some(next) = schedule.next(after) {
            assert!(next > after && next >= 0 && next % 60_000 == 0);
            assert!(schedule.next(next).is_none_or(|later| later > next));
        }
    }
});
