//! What the items of one field add up to.

use crate::error::Problem;
use crate::fields::Field;

/// Quartz's internal number for `*`; written out it means the same.
pub(crate) const ALL: u32 = 99;
/// Quartz's internal number for `?`; written out in a day field it means the same.
pub(crate) const UNSPECIFIED: u32 = 98;

/// The values and marks of one field.
#[derive(Clone, Copy, Default)]
pub(crate) struct Values {
    /// One bit a value; bit 0 of the 1-based fields only through `0W` and `0#n`.
    pub(crate) mask: u64,
    /// A `d#n` whose d is no day of the week.
    pub(crate) beyond: bool,
    /// `?` in any item.
    pub(crate) unspecified: bool,
    /// `L-n` of dayOfMonth: n.
    pub(crate) last: Option<u32>,
    /// `W` in any item.
    pub(crate) nearest: bool,
    /// `dL` of dayOfWeek.
    pub(crate) last_weekday: bool,
    /// n of `d#n`.
    pub(crate) nth: Option<u32>,
}

impl Values {
    /// Adds a value without a check of its range, as Quartz does beside `W` and `#`.
    pub(crate) fn insert(&mut self, value: u32) {
        match value {
            UNSPECIFIED => self.unspecified = true,
            0..=63 => self.mask |= 1 << value,
            _ => self.beyond = true,
        }
    }

    /// Adds `start` to `end` (the field's greatest value if none) by steps; a step of 0 is `start` alone.
    pub(crate) fn add(
        &mut self,
        field: Field,
        start: u32,
        end: Option<u32>,
        step: u32,
    ) -> Result<(), Problem> {
        let (low, high) = (field.low(), field.high());
        let marker = start == ALL || (start == UNSPECIFIED && field.is_day());
        if !marker && (start < low || start > high || end.is_some_and(|end| end > high)) {
            return Err(Problem::out_of_range(field));
        }
        if step == 0 && start != ALL {
            self.insert(start);
            return Ok(());
        }
        let start = if start == ALL { low } else { start };
        let end = end.unwrap_or(high);
        if step > 1 || start > high || end > high {
            self.walk(field, start, end, step.max(1));
        } else if end < start {
            self.mask |= row(start, high) | row(low, end);
        } else {
            self.mask |= row(start, end);
        }
        Ok(())
    }

    /// Adds every `step`th value from `start` to `end`, over the greatest value and on if `end` is less.
    ///
    /// The markers may lead past the greatest value: nothing fires there, but `99-98` passes that of `?`.
    fn walk(&mut self, field: Field, start: u32, end: u32, step: u32) {
        let (low, count) = (field.low(), field.count());
        let wraps = end < start;
        let last = if wraps { end + count } else { end.min(UNSPECIFIED) };
        for value in (start..=last).step_by(step as usize) {
            if wraps {
                self.mask |= 1 << ((value - low) % count + low);
            } else if value <= field.high() {
                self.mask |= 1 << value;
            } else if value == UNSPECIFIED && field.is_day() {
                self.unspecified = true;
            }
        }
    }

    /// The smallest value, which is the one that takes `W` or `#`; `beyond` only if there is no other.
    pub(crate) fn smallest(&self) -> Option<u32> {
        (self.mask != 0).then(|| self.mask.trailing_zeros())
    }
}

/// The bits from `first` to `last`; none if `last` is less, as with `3-0`.
fn row(first: u32, last: u32) -> u64 {
    (u64::MAX << first) & (u64::MAX >> (63 - last))
}
