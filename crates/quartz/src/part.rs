//! One item of a field's comma list, read as Quartz reads it.
//!
//! The text is upper-cased before if it holds anything but ASCII; ASCII letters are compared without case.

use crate::digits::{take_digit, take_number, whole_int};
use crate::error::{ParseError, Problem};
use crate::fields::Field;
use crate::values::{ALL, UNSPECIFIED, Values};
use crate::warning::Notes;

/// Reads the items of one field and keeps what they add up to.
pub(crate) struct Reader<'n> {
    pub(crate) field: Field,
    pub(crate) values: Values,
    pub(crate) notes: &'n mut Notes,
}

type Read = Result<(), Problem>;

impl Reader<'_> {
    /// Reads one item, which is not empty and holds no comma.
    pub(crate) fn item(&mut self, part: &str) -> Result<(), ParseError> {
        let read = match part.as_bytes()[0] {
            b'A'..=b'Z' | b'a'..=b'z' if is_last_form(part) => self.last(part),
            b'A'..=b'Z' | b'a'..=b'z' => self.name(part),
            b'?' => self.question(part),
            b'*' | b'/' => self.star(part),
            b'0'..=b'9' => self.number(part),
            _ => Err(Problem::Unexpected { low: self.field.low(), high: self.field.high() }),
        };
        read.map_err(|problem| ParseError::new(self.field, part, problem))
    }

    /// `L`, `LW`, `L-3`, `L-3W`.
    fn last(&mut self, part: &str) -> Read {
        match self.field {
            Field::DayOfMonth => return self.last_day_of_month(part),
            Field::DayOfWeek => {
                self.values.insert(7);
                if part.len() > 1 {
                    self.note(part, || "is read as every Saturday".to_owned());
                }
            }
            _ => self.note(part, || "adds nothing in this field".to_owned()),
        }
        Ok(())
    }

    fn last_day_of_month(&mut self, part: &str) -> Read {
        let (offset, rest) = match part[1..].strip_prefix('-') {
            None => (0, &part[1..]),
            Some("") => return Err(Problem::BadLastOffset),
            Some(after) => take_number(0, after).ok_or(Problem::BadLastOffset)?,
        };
        if offset > 30 {
            return Err(Problem::BadLastOffset);
        }
        if part.len() == 3 && part.as_bytes()[1] == b'-' && !rest.is_empty() {
            self.note(part, || "is read as LW".to_owned());
        }
        self.values.last = Some(offset);
        self.values.nearest |= !rest.is_empty();
        Ok(())
    }

    /// `MON`, `MON-FRI`, `MON#2`, `MONL`, `JAN`, `JAN-MAR`.
    fn name(&mut self, part: &str) -> Read {
        let field = self.field;
        if field.names().is_empty() {
            return Err(Problem::NameNotAllowed { low: field.low(), high: field.high() });
        }
        let (start, rest) = take_name(field, part)?;
        let mark = rest.as_bytes().first().map(u8::to_ascii_uppercase);
        if mark == Some(b'-') {
            let (end, rest) = take_name(field, &rest[1..])?;
            self.note_rest(part, rest);
            return self.values.add(field, start, Some(end), 1);
        }
        if field == Field::DayOfWeek && mark == Some(b'#') {
            self.nth(part, &rest[1..])?;
        } else if field == Field::DayOfWeek && mark == Some(b'L') {
            self.values.last_weekday = true;
            self.note_rest(part, &rest[1..]);
        } else if !part.eq_ignore_ascii_case(field.names()[start as usize - 1]) {
            self.note_rest(part, rest);
        }
        self.values.add(field, start, None, 0)
    }

    fn question(&mut self, part: &str) -> Read {
        if part.encode_utf16().nth(2).is_some() {
            return Err(Problem::QuestionRest);
        }
        if !self.field.is_day() {
            return Err(Problem::QuestionNotAllowed);
        }
        self.note_rest(part, &part[1..]);
        self.values.unspecified = true;
        Ok(())
    }

    /// `*`, `*/5`, `/5`.
    fn star(&mut self, part: &str) -> Read {
        let after_slash = part.strip_prefix('*').unwrap_or(part).strip_prefix('/');
        let step = if let Some(step) = after_slash {
            whole_int(step).ok_or(Problem::BadStep)?
        } else {
            self.note_rest(part, &part[1..]);
            1
        };
        let step = u32::try_from(step).unwrap_or(0);
        self.check_step(step)?;
        if step == 0 {
            self.note(part, || "is read as every value".to_owned());
        } else if part.contains('+') || !part.is_ascii() {
            self.note(part, || format!("is read as '*/{step}'"));
        }
        self.values.add(self.field, ALL, None, step)
    }

    /// Everything that begins with a digit.
    fn number(&mut self, part: &str) -> Read {
        let field = self.field;
        let (value, rest) = take_number(0, part).ok_or_else(|| Problem::out_of_range(field))?;
        if value == ALL && !rest.starts_with(['-', '#']) {
            self.note(part, || "is read with 99 as '*'".to_owned());
        } else if value == UNSPECIFIED && field.is_day() {
            self.note(part, || "is read with 98 as '?'".to_owned());
        }
        let Some(mark) = rest.chars().next() else {
            return self.values.add(field, value, None, 0);
        };
        match mark.to_ascii_uppercase() {
            'L' => self.last_weekday(part, value, &rest[1..]),
            'W' => self.nearest_weekday(part, value, &rest[1..]),
            '#' => self.nth_weekday(part, value, &rest[1..]),
            '-' => self.range(part, value, &rest[1..]),
            '/' => self.step(part, value, &rest[1..]),
            _ => {
                self.note(part, || format!("is read as {value}, what follows is ignored"));
                self.values.add(field, value, None, 0)
            }
        }
    }

    fn last_weekday(&mut self, part: &str, value: u32, rest: &str) -> Read {
        if self.field != Field::DayOfWeek {
            return Err(Problem::MarkNotAllowed { mark: 'L', only_in: Field::DayOfWeek });
        }
        if !(1..=7).contains(&value) {
            return Err(Problem::out_of_range(self.field));
        }
        self.note_rest(part, rest);
        self.values.last_weekday = true;
        self.values.insert(value);
        Ok(())
    }

    fn nearest_weekday(&mut self, part: &str, value: u32, rest: &str) -> Read {
        if self.field != Field::DayOfMonth {
            return Err(Problem::MarkNotAllowed { mark: 'W', only_in: Field::DayOfMonth });
        }
        if value > 31 {
            return Err(Problem::out_of_range(self.field));
        }
        self.note_rest(part, rest);
        self.values.nearest = true;
        self.values.insert(value);
        Ok(())
    }

    fn nth_weekday(&mut self, part: &str, value: u32, rest: &str) -> Read {
        if self.field != Field::DayOfWeek {
            return Err(Problem::MarkNotAllowed { mark: '#', only_in: Field::DayOfWeek });
        }
        self.nth(part, rest)?;
        if value == 0 {
            self.note(part, || "is read with 0 as Saturday".to_owned());
        } else if value > 7 && value != UNSPECIFIED {
            self.note(part, || "is a day that never comes".to_owned());
        }
        self.values.insert(value);
        Ok(())
    }

    fn nth(&mut self, part: &str, number: &str) -> Read {
        let nth = whole_int(number).filter(|n| (1..=5).contains(n)).ok_or(Problem::BadNth)?;
        if !number.bytes().all(|b| b.is_ascii_digit()) {
            self.note(part, || format!("is read with {nth} after '#'"));
        }
        self.values.nth = u32::try_from(nth).ok();
        Ok(())
    }

    /// `1-5`, `22-2`, `1-30/5`: what follows the `-`.
    fn range(&mut self, part: &str, start: u32, rest: &str) -> Read {
        let field = self.field;
        let bad_end = || Problem::BadRangeEnd(example_range(field));
        let (first, rest) = take_digit(rest).ok_or_else(bad_end)?;
        let (end, rest) = take_number(first, rest).ok_or_else(|| Problem::out_of_range(field))?;
        let (step, rest) = match rest.strip_prefix('/') {
            None => (1, rest),
            Some(step) => {
                let (first, rest) = take_digit(step).ok_or(Problem::BadStep)?;
                take_number(first, rest).ok_or(Problem::BadStep)?
            }
        };
        self.note_rest(part, rest);
        if start == ALL {
            self.note(part, || format!("is read with 99 as {}", field.low()));
        } else if step == 0 {
            self.note(part, || format!("is read as {start} alone, as its step is 0"));
        } else if step > field.high() {
            self.note(part, || format!("is read as {start} alone, as its step reaches past the end"));
        } else if end < field.low() {
            self.note(part, || format!("is read as {start}-{}", field.high()));
        } else if !part.is_ascii() {
            self.note(part, || format!("is read as '{start}-{end}/{step}'"));
        }
        self.values.add(field, start, Some(end), step)
    }

    /// `5/15`: what follows the `/`.
    fn step(&mut self, part: &str, start: u32, rest: &str) -> Read {
        let (first, rest) = take_digit(rest).ok_or(Problem::BadStep)?;
        if !rest.is_empty() && !rest.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(Problem::BadStep);
        }
        let (step, rest) = take_number(first, rest).ok_or(Problem::BadStep)?;
        self.check_step(step)?;
        self.note_rest(part, rest);
        if step == 0 && start != ALL {
            self.note(part, || format!("is read as {start} alone, as its step is 0"));
        } else if !part.is_ascii() {
            self.note(part, || format!("is read as '{start}/{step}'"));
        }
        self.values.add(self.field, start, None, step)
    }

    fn check_step(&self, step: u32) -> Read {
        let greatest = self.field.high();
        if step > greatest { Err(Problem::StepOutOfRange(greatest)) } else { Ok(()) }
    }

    fn note(&mut self, part: &str, meaning: impl FnOnce() -> String) {
        self.notes.add(self.field, part, meaning);
    }

    /// Notes that the end of the item, if it has any, means nothing to Quartz.
    fn note_rest(&mut self, part: &str, rest: &str) {
        if !rest.is_empty() {
            let read = &part[..part.len() - rest.len()];
            self.note(part, || format!("is read as '{read}', what follows is ignored"));
        }
    }
}

/// Whether the item is `L`, `LW`, `L-`, digits after that, and a `W` after these, and nothing else.
fn is_last_form(part: &str) -> bool {
    let Some(rest) = part.strip_prefix(['L', 'l']) else { return false };
    let rest = rest.strip_suffix(['W', 'w']).unwrap_or(rest);
    rest.is_empty() || rest.strip_prefix('-').is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()))
}

/// Takes a name of three letters off the front; values count from 1.
fn take_name(field: Field, text: &str) -> Result<(u32, &str), Problem> {
    let found = text.get(..3).and_then(|name| {
        field.names().iter().zip(1..).find(|(full, _)| full[..3].eq_ignore_ascii_case(name))
    });
    let (_, value) = found.ok_or(Problem::UnknownName(match field {
        Field::Month => "JAN to DEC",
        _ => "SUN to SAT",
    }))?;
    Ok((value, &text[3..]))
}

const fn example_range(field: Field) -> &'static str {
    match field {
        Field::Minute => "0-30",
        Field::Hour => "8-17",
        Field::DayOfMonth => "1-15",
        Field::Month => "3-10",
        Field::DayOfWeek => "2-6",
    }
}
