//! Whether somebody means what a schedule says.
//!
//! Quartz ignores what it does not expect: it reads `1–5` (with a dash from a word processor), `1;15`, `1~5` and `0x1F`
//! as their first number. The engine does the same; here such fields are refused before a task is stored.

use isochrone_quartz::{Field, Fields, ParseError};

use crate::{CronFields, Problem};

/// Refuses fields that no schedule can be made of, or one that somebody hardly means.
/// `strict`: also what is merely untidy, such as an empty item of a list.
pub(crate) fn check_schedule(cron: &CronFields, strict: bool) -> Result<(), Problem> {
    let fields = each(cron);
    if let Some((field, _)) = fields.iter().find(|(_, text)| text.trim().is_empty()) {
        return Err(Problem::new(field.name(), "is required"));
    }
    for (field, text) in fields {
        check_characters(field, text)?;
        check_numbers(field, text)?;
    }
    check_weekday_numbers(cron)?;
    let schedule = cron.compile(false).map_err(|error| refused(&error))?;
    if strict {
        cron.compile(true).map_err(|error| refused(&error))?;
    } else {
        tidy(cron).compile(true).map_err(|error| refused(&error))?;
    }
    if schedule.never_fires() {
        return Err(Problem::new(
            "dayOfMonth",
            "never meets the other fields: the schedule would never fire (a day that its months do not have)",
        ));
    }
    Ok(())
}

fn each(cron: &CronFields) -> [(Field, &str); 5] {
    let Fields { minute, hour, day_of_month, month, day_of_week } = cron.as_fields();
    [
        (Field::Minute, minute),
        (Field::Hour, hour),
        (Field::DayOfMonth, day_of_month),
        (Field::Month, month),
        (Field::DayOfWeek, day_of_week),
    ]
}

fn refused(error: &ParseError) -> Problem {
    Problem::new(error.field.name(), format!("is no valid Quartz field: '{}' {}", error.text, error.problem))
}

fn check_characters(field: Field, text: &str) -> Result<(), Problem> {
    // The engine says where a blank stands, and what it thinks of a sign.
    let known = |letter: char| letter.is_ascii_alphanumeric() || " \t,-*/?#+".contains(letter);
    let Some(other) = text.chars().find(|letter| !known(*letter)) else { return Ok(()) };
    let hint = match other {
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}' | '~' | ':' => {
            "a range is written with a hyphen, as in 1-5"
        }
        ';' | '\u{ff0c}' | '\u{ff1b}' | '\u{3001}' | '\u{60c}' | '.' | '|' | '&' => {
            "a list is written with commas, as in 1,15; numbers are whole"
        }
        other if other.is_whitespace() => "blanks other than a space or a tab are not allowed",
        other if other.is_numeric() => "digits are 0 to 9",
        _ => "expected digits, names, and , - * / ? L W #",
    };
    let shown = if other.is_control() || other.is_whitespace() { ' ' } else { other };
    let code = u32::from(other);
    Err(Problem::new(
        field.name(),
        format!("has the character '{shown}' (U+{code:04X}), which Quartz would pass over: {hint}"),
    ))
}

/// Quartz's own marks for "every" and "none" look like numbers, and whoever writes these means numbers.
fn check_numbers(field: Field, text: &str) -> Result<(), Problem> {
    let first_number = |part: &str| -> String {
        part.trim_start().chars().take_while(char::is_ascii_digit).skip_while(|digit| *digit == '0').collect()
    };
    if text.split(',').any(|part| matches!(first_number(part).as_str(), "98" | "99")) {
        let (low, high) = match field {
            Field::Minute => (0, 59),
            Field::Hour => (0, 23),
            Field::DayOfMonth => (1, 31),
            Field::Month => (1, 12),
            Field::DayOfWeek => (1, 7),
        };
        let problem = format!("has a number that is out of range; expected {low} to {high}");
        return Err(Problem::new(field.name(), problem));
    }
    Ok(())
}

/// Where both day fields are given the schedule is one of classic cron, whose weekdays have other numbers than
/// Quartz's. What ArcGIS's clients send for their shortcuts, and names, mean the same in both.
fn check_weekday_numbers(cron: &CronFields) -> Result<(), Problem> {
    let (day_of_month, day_of_week) = (cron.day_of_month.trim(), cron.day_of_week.trim());
    let numbered = day_of_week.bytes().any(|byte| byte.is_ascii_digit()) && !has_named_nth_only(day_of_week);
    if day_of_month != "*" || day_of_week == "0" || day_of_week.contains('?') || !numbered {
        return Ok(());
    }
    let problem = format!(
        "is '{day_of_week}' while dayOfMonth is '*': cron counts weekdays from 0 and Quartz from 1 (Sunday), so it \
         can't be told which days are meant; write names, such as MON-FRI, or dayOfMonth '?' and Quartz's numbers"
    );
    Err(Problem::new("dayOfWeek", problem))
}

/// `MON#2`: the number counts weeks, not days.
fn has_named_nth_only(day_of_week: &str) -> bool {
    let named = |item: &str| {
        let day = item.split_once('#').map_or(item, |(day, _)| day);
        day.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-')
    };
    day_of_week.split(',').all(named)
}

/// Without what changes nothing: empty items of a list, and `C`, which ArcGIS's reference still lists for days and
/// Quartz has no meaning for.
fn tidy(cron: &CronFields) -> CronFields {
    let items = |text: &str, is_day: bool| -> String {
        let items = text.trim().split(',').filter(|item| !item.is_empty()).map(|item| {
            let number = item.strip_suffix(['C', 'c']).filter(|number| is_day && is_number(number));
            number.unwrap_or(item)
        });
        items.collect::<Vec<_>>().join(",")
    };
    CronFields {
        minute: items(&cron.minute, false),
        hour: items(&cron.hour, false),
        day_of_month: items(&cron.day_of_month, true),
        month: items(&cron.month, false),
        day_of_week: items(&cron.day_of_week, true),
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cron(fields: [&str; 5]) -> CronFields {
        let [minute, hour, day_of_month, month, day_of_week] = fields.map(str::to_owned);
        CronFields { minute, hour, day_of_month, month, day_of_week }
    }

    fn minute(text: &str) -> Result<(), Problem> {
        check_schedule(&cron([text, "*", "*", "*", "?"]), false)
    }

    #[test]
    fn what_quartz_would_pass_over_is_refused() {
        for text in [
            "1\u{2013}5",
            "1\u{2014}5",
            "1\u{2212}5",
            "1\u{2010}5",
            "1\u{ff0d}5",
            "1\u{ff0c}15",
            "1\u{3001}15",
            "1;15",
            "1~5",
            "0x1F",
            "12:30",
            "1.5",
            "1e4",
            "5x",
            "5 ",
            "\u{a0}5",
            "5\u{a0}",
            "5\u{3000}",
            "5\u{200b}",
            "5\u{feff}",
            "\u{ff15}",
            "\u{665}",
            "*/\u{665}",
            "5-\u{665}",
            "5\u{b2}",
            "\u{bd}",
            "*x",
            "**",
            "*5",
            "*/5x",
            "5-10x",
            "5-10/2x",
            "5/15x",
            "5?",
            "5C",
            "L",
            "5,L",
            "5'",
            "5\"",
            "5&10",
            "5|10",
            "5_",
            "5\n",
            "5\0",
            "*/+5",
            "0/0",
            "*/0",
            "5-10/0",
            "5-10/70",
            "99",
            "098",
            "99-5",
            "5,99",
            "\u{17f}un",
        ] {
            let refused = minute(text);
            if text == "5 " {
                assert_eq!(refused, Ok(()), "blanks around it mean nothing");
                continue;
            }
            assert_eq!(refused.map_err(|problem| problem.parameter), Err("minute"), "{text:?}");
        }
        for day in [
            "MONx",
            "MON/2",
            "MON-FRI/2",
            "MON-FRIx",
            "2#1x",
            "0#2",
            "6Lx",
            "MON #2",
            "L-3",
            "LW",
            "SUNDAYS",
            "MONC",
            "2#3,TUE",
        ] {
            let refused = check_schedule(&cron(["0", "0", "?", "*", day]), false);
            assert_eq!(refused.map_err(|problem| problem.parameter), Err("dayOfWeek"), "{day:?}");
        }
        for day in ["15W,20", "?5", "?,5", "3-0", "5Wx", "\u{17f}", "1\u{ff0c}15"] {
            assert!(check_schedule(&cron(["0", "0", day, "*", "?"]), false).is_err(), "{day:?}");
        }
        for month in ["JANUARYX", "JAN/2", "JAN-MAR/2", "JAN\u{2013}MAR", "1\u{2013}3"] {
            assert!(check_schedule(&cron(["0", "0", "*", month, "?"]), false).is_err(), "{month:?}");
        }
        let told = minute("1\u{2013}5").expect_err("a dash").to_string();
        assert!(told.contains("U+2013") && told.contains("1-5"), "{told}");
    }

    #[test]
    fn what_quartz_reads_as_it_is_meant_is_accepted() {
        for text in [
            "0", "00", "59", "*", "*/1", "/5", "1-5", "50-10", "1-30/5", "5/15", "1,15,30", "1,,15", "5,",
            " 5 ", "\t*",
        ] {
            assert_eq!(minute(text), Ok(()), "{text:?}");
        }
        for (days, weekdays) in [
            ("?", "2-6"),
            ("?", "MON-FRI"),
            ("?", "mon,Wed"),
            ("?", "Monday"),
            ("?", "6L"),
            ("?", "FRIL"),
            ("?", "2#1"),
            ("?", "MON#2"),
            ("?", "L"),
            ("?", "5C"),
            ("?", "*"),
            ("L", "?"),
            ("LW", "?"),
            ("L-3", "?"),
            ("15W", "?"),
            ("5C", "?"),
            ("5c,10", "?"),
            ("*/2", "?"),
            ("1", "*"),
            ("*", "*"),
        ] {
            assert_eq!(
                check_schedule(&cron(["0", "0", days, "January,MAR", weekdays]), false),
                Ok(()),
                "{days} {weekdays}"
            );
        }
        assert!(check_schedule(&cron(["5,", "0", "*", "*", "?"]), true).is_err(), "strict: tidy, too");
        assert!(check_schedule(&cron(["0", "0", "5C", "*", "?"]), true).is_err());
    }

    #[test]
    fn weekday_numbers_of_classic_cron_are_refused_with_a_hint() {
        for numbers in ["1", "1-5", "0,6", "7", "MON,3", "*/2", "6L", "2#1", "00"] {
            let problem = check_schedule(&cron(["0", "6", "*", "*", numbers]), false).expect_err(numbers);
            assert_eq!(problem.parameter, "dayOfWeek");
            assert!(problem.problem.contains("MON-FRI") && problem.problem.contains("'?'"), "{problem}");
        }
        // The clients' shortcuts, and names.
        for (days, weekdays) in
            [("*", "*"), ("1", "*"), ("*", "0"), ("*", "MON-FRI"), ("*", "SUN"), ("*", "MON#2")]
        {
            assert_eq!(
                check_schedule(&cron(["0", "0", days, "*", weekdays]), false),
                Ok(()),
                "{days} {weekdays}"
            );
        }
        assert_eq!(check_schedule(&cron(["0", "6", "?", "*", "2-6"]), false), Ok(()), "Quartz's numbers");
    }
}
