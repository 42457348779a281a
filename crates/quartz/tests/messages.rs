//! What people read when a schedule is refused or only just accepted.

use isochrone_quartz::{Field, Fields, Problem, Schedule};

fn fields(text: &str) -> Fields<'_> {
    let mut parts = text.split('|');
    let mut part = || parts.next().expect("five fields");
    Fields { minute: part(), hour: part(), day_of_month: part(), month: part(), day_of_week: part() }
}

#[test]
fn an_error_names_the_field_the_text_and_what_was_expected() {
    let both = "dayOfMonth and dayOfWeek:";
    let expected = [
        ("75|0|*|*|?", "minute: '75' is out of range, expected 0 to 59"),
        ("0|8-24|*|*|?", "hour: '8-24' is out of range, expected 0 to 23"),
        ("0|0|32W|*|?", "dayOfMonth: '32W' is out of range, expected 1 to 31"),
        ("0|0|?|*|0", "dayOfWeek: '0' is out of range, expected 1 to 7"),
        ("99999999999|0|*|*|?", "minute: '99999999999' is out of range, expected 0 to 59"),
        ("*/75|0|*|*|?", "minute: '*/75' has a step that is out of range, expected at most 59"),
        ("0|5/|*|*|?", "hour: '5/' has no whole number after '/', expected a step such as '/5'"),
        ("0|5-|*|*|?", "hour: '5-' has no number after '-', expected a range such as '8-17'"),
        ("0|0|*|3-MAY|?", "month: '3-MAY' has no number after '-', expected a range such as '3-10'"),
        ("0|0|*|FOO|?", "month: 'FOO' is not a name of this field, expected JAN to DEC"),
        ("0|0|?|*|MO", "dayOfWeek: 'MO' is not a name of this field, expected SUN to SAT"),
        ("W|0|*|*|?", "minute: 'W' has letters where none may stand, expected 0 to 59"),
        ("-1|0|*|*|?", "minute: '-1' begins with an unexpected character, expected 0 to 59 or '*'"),
        ("5L|0|*|*|?", "minute: '5L' uses 'L', expected only in dayOfWeek"),
        ("0|0|?|*|2W", "dayOfWeek: '2W' uses 'W', expected only in dayOfMonth"),
        ("0|0|2#1|*|?", "dayOfMonth: '2#1' uses '#', expected only in dayOfWeek"),
        ("0|0|?|*|2#6", "dayOfWeek: '2#6' has no valid number after '#', expected 1 to 5"),
        ("0|0|?|*|2#1,3#1", "dayOfWeek: '2#1,3#1' uses '#' twice, expected at most one"),
        ("0|0|L-31|*|?", "dayOfMonth: 'L-31' has no valid number after 'L-', expected 0 to 30"),
        ("0|0|L,15|*|?", "dayOfMonth: 'L,15' uses 'L' in a list, expected it alone"),
        ("0|0|0W|*|?", "dayOfMonth: '0W' asks for the weekday nearest to day 0, expected 1 to 31"),
        ("?|0|*|*|?", "minute: '?' uses '?', expected only in dayOfMonth or dayOfWeek"),
        ("0|0|?xy|*|*", "dayOfMonth: '?xy' goes on after '?', expected '?' alone"),
        (",|0|*|*|?", "minute: ',' names no value, expected at least one"),
        ("|0|*|*|?", "minute: '' is empty, expected a value or '*'"),
        ("0|1 2|*|*|?", "hour: '1 2' has a blank inside, expected none"),
    ];
    for (text, message) in expected {
        let error = Schedule::parse(&fields(text)).expect_err(text);
        assert_eq!(error.to_string(), message);
    }
    for (text, message) in [
        ("0|0|*|*|*", format!("{both} '*' and '*' are both given, expected that one of them is '?'")),
        ("0|0|5|*|2", format!("{both} '5' and '2' are both given, expected that one of them is '?'")),
        ("0|0|?|*|?", format!("{both} '?' and '?' are both '?', expected that only one of them is '?'")),
    ] {
        assert_eq!(Schedule::parse(&fields(text)).expect_err(text).to_string(), message);
    }
}

#[test]
fn an_error_shows_a_long_text_cut() {
    let long = "é".repeat(500);
    let error = Schedule::parse(&Fields { minute: &long, ..fields("0|0|*|*|?") }).expect_err("no minute");
    assert_eq!(error.field, Field::Minute);
    assert_eq!(error.text, "É".repeat(40) + "…");
    let longer = "1,".repeat(4_000);
    let error = Schedule::parse(&Fields { hour: &longer, ..fields("0|0|*|*|?") }).expect_err("too long");
    assert_eq!(error.problem, Problem::TooLong(4_096));
}

#[test]
fn leniences_are_told_and_strict_reading_refuses_them() {
    let expected = [
        ("5x|0|*|*|?", "minute: '5x' is read as 5, what follows is ignored"),
        ("12:30|0|*|*|?", "minute: '12:30' is read as 12, what follows is ignored"),
        ("99|0|*|*|?", "minute: '99' is read with 99 as '*'"),
        ("99-5|0|*|*|?", "minute: '99-5' is read with 99 as 0"),
        ("0|0|?|*|99#2", "dayOfWeek: '99#2' is a day that never comes"),
        ("0|0|?|*|MON-FRI/2", "dayOfWeek: 'MON-FRI/2' is read as 'MON-FRI', what follows is ignored"),
        ("0|0|*,9W|*|?", "dayOfMonth: '*,9W' is read as 1W, the other days are ignored"),
        ("0|0|20,15W|*|?", "dayOfMonth: '20,15W' is read as 15W, the other days are ignored"),
        ("0|0|?|*|5#3,2", "dayOfWeek: '5#3,2' is read as 2#3, the other days are ignored"),
        ("0|0|5C|*|?", "dayOfMonth: '5C' is read as 5, what follows is ignored"),
        ("0|0|?,5|*|2", "dayOfMonth: '?,5' is read as '?', the other items are ignored"),
        ("0|0|98|*|2", "dayOfMonth: '98' is read with 98 as '?'"),
        ("0|0|?5|*|2", "dayOfMonth: '?5' is read as '?', what follows is ignored"),
        ("1,,2|0|*|*|?", "minute: '1,,2' has empty items, which are skipped"),
        ("*/0|0|*|*|?", "minute: '*/0' is read as every value"),
        ("*/-7|0|*|*|?", "minute: '*/-7' is read as every value"),
        ("5/0|0|*|*|?", "minute: '5/0' is read as 5 alone, as its step is 0"),
        ("*x|0|*|*|?", "minute: '*x' is read as '*', what follows is ignored"),
        ("0|0|*|3-0|?", "month: '3-0' is read as 3-12"),
        ("0|0|?|*|LW", "dayOfWeek: 'LW' is read as every Saturday"),
        ("0|0|?|*|0#2", "dayOfWeek: '0#2' is read with 0 as Saturday"),
        ("L,5|0|*|*|?", "minute: 'L' adds nothing in this field"),
        ("*/٧|0|*|*|?", "minute: '*/٧' is read as '*/7'"),
        ("0|0|?|*|ſun", "dayOfWeek: 'ſun' is read as 'SUN'"),
        ("0|0|?|*|MONTUE", "dayOfWeek: 'MONTUE' is read as 'MON', what follows is ignored"),
    ];
    for (text, message) in expected {
        let warnings = Schedule::warnings(&fields(text));
        let shown: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        assert_eq!(shown, [message]);
        let error = Schedule::parse_strict(&fields(text)).expect_err(text);
        assert_eq!(error.to_string(), format!("{message}; strict reading refuses this"));
    }
}

#[test]
fn what_quartz_documents_passes_strict_reading() {
    for text in [
        "*/10|*|*|*|?",
        "0|/2|?|jan,Mar-MAY|Mon-fri",
        "0|22-2|L-3W|*|?",
        "0|0|LW|JANUARY|?",
        "0|0|?|*|Friday",
        "0|0|?|*|6L",
        "0|0|?|*|FRI#3",
        "0|0|?|*|7#2",
        "0|0|?|*|FRIL",
        "0|0|?|*|L",
        " 0 |0\t|15W|*|?",
    ] {
        let strict = Schedule::parse_strict(&fields(text));
        assert_eq!(strict, Schedule::parse(&fields(text)), "{text}");
        assert!(strict.is_ok(), "{text}: {strict:?}");
    }
}

#[test]
fn impossible_dates_are_known_since_reading() {
    for (text, never) in [
        ("0|0|30|2|?", true),
        ("0|0|31|2,4,6,9,11|?", true),
        ("0|0|L-29|2|?", true),
        ("0|0|L-30|4|?", true),
        ("0|0|L-29W|2|?", true),
        ("0|0|31W|2|?", true),
        ("0|0|?|*|9#1", true),
        ("0|0|29|2|?", false),
        ("0|0|30W|2|?", false),
        ("0|0|31W|4|?", false),
        ("0|0|L-28|2|?", false),
        ("0|0|?|2|7#5", false),
        ("0|0|31|2,3|?", false),
    ] {
        let schedule = Schedule::parse(&fields(text)).expect(text);
        assert_eq!(schedule.never_fires(), never, "{text}");
        assert_eq!(schedule.next(0).is_none(), never, "{text}");
    }
}
