//! From five fields to a schedule.

use std::borrow::Cow;

use crate::days::Day;
use crate::error::{ParseError, Problem, excerpt};
use crate::fields::{Field, Fields};
use crate::part::Reader;
use crate::schedule::Schedule;
use crate::values::Values;
use crate::warning::Notes;

/// The longest field that is read, in bytes. Every value of every field, written out, takes under 200.
const LONGEST: usize = 4_096;

pub(crate) fn parse(fields: &Fields<'_>, notes: &mut Notes) -> Result<Schedule, ParseError> {
    let minutes = plain_field(Field::Minute, fields.minute, notes)?;
    let hours = plain_field(Field::Hour, fields.hour, notes)?;
    let day_of_month = field(Field::DayOfMonth, fields.day_of_month, notes)?;
    let months = plain_field(Field::Month, fields.month, notes)?;
    let day_of_week = field(Field::DayOfWeek, fields.day_of_week, notes)?;

    let both = |problem: fn(String) -> Problem| {
        let other = problem(excerpt(fields.day_of_week));
        ParseError::new(Field::DayOfMonth, fields.day_of_month, other)
    };
    let day = match (day_of_month.unspecified, day_of_week.unspecified) {
        (false, false) => return Err(both(Problem::BothDaysGiven)),
        (true, true) => return Err(both(Problem::NoDayGiven)),
        (false, true) => day_of_month_rule(&day_of_month, fields.day_of_month, notes),
        (true, false) => day_of_week_rule(&day_of_week, fields.day_of_week, notes),
    }?;
    Ok(Schedule::new(minutes, hours as u32, months as u16, day))
}

/// Reads a field that is a set of values and nothing else.
fn plain_field(name: Field, text: &str, notes: &mut Notes) -> Result<u64, ParseError> {
    let values = field(name, text, notes)?;
    if values.mask == 0 {
        return Err(ParseError::new(name, text, Problem::NoValues));
    }
    Ok(values.mask)
}

fn field(name: Field, text: &str, notes: &mut Notes) -> Result<Values, ParseError> {
    let refuse = |problem| Err(ParseError::new(name, text, problem));
    if text.len() > LONGEST {
        return refuse(Problem::TooLong(LONGEST));
    }
    let trimmed = text.trim_matches([' ', '\t']);
    if trimmed.bytes().any(|b| b == b' ' || b == b'\t') {
        return refuse(Problem::Blank);
    }
    let trimmed = trimmed.trim_matches(|c| c <= ' ');
    if trimmed.is_empty() {
        return refuse(Problem::Empty);
    }
    // Upper case changes what a letter is (`ſun`, `frı`) only outside ASCII.
    let upper = if trimmed.is_ascii() { Cow::Borrowed(trimmed) } else { Cow::Owned(trimmed.to_uppercase()) };
    if upper.is_ascii() && !trimmed.is_ascii() {
        notes.add(name, trimmed, || format!("is read as '{upper}'"));
    }
    items(name, &upper, notes)
}

fn items(name: Field, text: &str, notes: &mut Notes) -> Result<Values, ParseError> {
    let refuse = |problem| Err(ParseError::new(name, text, problem));
    if name.is_day() && text.contains(',') && text.bytes().any(|b| b | 0x20 == b'l') {
        return refuse(Problem::LastInList);
    }
    if name == Field::DayOfWeek && text.bytes().filter(|&b| b == b'#').count() > 1 {
        return refuse(Problem::TwoNths);
    }
    let mut reader = Reader { field: name, values: Values::default(), notes };
    let mut empty_items = false;
    for part in text.split(',') {
        if part.is_empty() {
            empty_items = true;
        } else {
            reader.item(part)?;
        }
    }
    let values = reader.values;
    if empty_items {
        notes.add(name, text, || "has empty items, which are skipped".to_owned());
    }
    if values.unspecified && text.contains(',') {
        notes.add(name, text, || "is read as '?', the other items are ignored".to_owned());
    }
    Ok(values)
}

fn day_of_month_rule(values: &Values, text: &str, notes: &mut Notes) -> Result<Day, ParseError> {
    let refuse = |problem| Err(ParseError::new(Field::DayOfMonth, text, problem));
    match (values.last, values.smallest()) {
        (Some(before), _) if values.nearest => Ok(Day::WeekdayNearLast { before }),
        (Some(before), _) => Ok(Day::Last { before }),
        (None, None) => refuse(Problem::NoValues),
        (None, Some(0)) => refuse(Problem::NearestToZero),
        (None, Some(day)) if values.nearest => {
            if values.mask.count_ones() > 1 {
                let meaning = || format!("is read as {day}W, the other days are ignored");
                notes.add(Field::DayOfMonth, text, meaning);
            }
            Ok(Day::WeekdayNear { day })
        }
        (None, Some(_)) => Ok(Day::of_month(values.mask as u32)),
    }
}

fn day_of_week_rule(values: &Values, text: &str, notes: &mut Notes) -> Result<Day, ParseError> {
    let Some(smallest) = values.smallest() else {
        let never = ParseError::new(Field::DayOfWeek, text, Problem::NoValues);
        return if values.beyond { Ok(Day::Never) } else { Err(never) };
    };
    // `0#n` is Saturday, as Quartz counts from 0 to the end of the week.
    let weekday = if smallest == 0 { 6 } else { smallest - 1 };
    if values.last_weekday {
        return Ok(Day::LastWeekday { weekday });
    }
    let Some(nth) = values.nth else {
        return Ok(Day::of_week((values.mask >> 1) as u8));
    };
    if smallest > 7 {
        return Ok(Day::Never);
    }
    if values.mask.count_ones() > 1 {
        let meaning = || format!("is read as {smallest}#{nth}, the other days are ignored");
        notes.add(Field::DayOfWeek, text, meaning);
    }
    Ok(Day::NthWeekday { weekday, nth })
}
