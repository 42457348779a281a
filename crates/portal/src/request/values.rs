//! Parameters as numbers, choices and ids, with messages that name them.

use std::ops::RangeInclusive;
use std::str::FromStr;

use super::Parameters;
use super::parameters::shortened;
use crate::answer::Failure;

/// A limit as clients send it: they send back what they read, and "no limit" reads -1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// At least 1.
    Most(u32),
    /// -1.
    None,
}

impl Limit {
    /// How much at most, if there is a limit.
    pub(crate) fn most<N: From<u32>>(self) -> Option<N> {
        match self {
            Limit::Most(most) => Some(most.into()),
            Limit::None => None,
        }
    }
}

/// One page of a list, as clients ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Paging {
    /// The first row's number; the list's first is 1.
    pub start: u64,
    /// How many rows.
    pub num: u64,
}

impl Paging {
    /// The page in the store's terms.
    pub(crate) fn page(self) -> isochrone_store::Page {
        isochrone_store::Page { offset: self.start - 1, limit: self.num }
    }

    /// Where the next page starts; -1 after the last.
    pub(crate) fn next_start(self, rows: usize, total: u64) -> i64 {
        let next = self.start.saturating_add(rows as u64);
        if rows > 0 && next <= total { i64::try_from(next).unwrap_or(-1) } else { -1 }
    }
}

impl Parameters {
    /// The text of a parameter that must be there.
    pub(crate) fn required(&self, name: &'static str) -> Result<&str, Failure> {
        self.given(name).ok_or_else(|| Failure::parameter(name, "is required"))
    }

    /// A whole number within a range; none if it is absent or empty.
    pub(crate) fn whole(
        &self,
        name: &'static str,
        range: RangeInclusive<i64>,
    ) -> Result<Option<i64>, Failure> {
        let Some(text) = self.given(name) else { return Ok(None) };
        let digits = text.strip_prefix('-').unwrap_or(text);
        let (low, high) = (range.start(), range.end());
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            let problem = format!("is '{}'; expected a whole number from {low} to {high}", shortened(text));
            return Err(Failure::parameter(name, problem));
        }
        match text.parse() {
            Ok(number) if range.contains(&number) => Ok(Some(number)),
            _ => {
                let problem = format!("is {}; expected {low} to {high}", shortened(text));
                Err(Failure::parameter(name, problem))
            }
        }
    }

    /// 1 to `most`, or -1 for no limit.
    pub(crate) fn limit(&self, name: &'static str, most: i64) -> Result<Option<Limit>, Failure> {
        let limit = |number| match u32::try_from(number) {
            Ok(0) => Err(Failure::parameter(name, format!("is 0; expected 1 to {most}, or -1 for no limit"))),
            Ok(number) => Ok(Limit::Most(number)),
            Err(_) => Ok(Limit::None),
        };
        self.whole(name, -1..=most)?.map(limit).transpose()
    }

    /// `true` or `false`; Python's spelling too.
    pub(crate) fn flag(&self, name: &'static str) -> Result<Option<bool>, Failure> {
        match self.given(name) {
            None => Ok(None),
            Some("true" | "True") => Ok(Some(true)),
            Some("false" | "False") => Ok(Some(false)),
            Some(other) => {
                Err(Failure::parameter(name, format!("is '{}'; expected true or false", shortened(other))))
            }
        }
    }

    /// An id of 32 hex digits.
    pub(crate) fn id<T: FromStr>(&self, name: &'static str) -> Result<Option<T>, Failure> {
        let parse = |text: &str| {
            text.parse().map_err(|_| {
                Failure::parameter(name, format!("is '{}'; expected 32 hex digits", shortened(text)))
            })
        };
        self.given(name).map(parse).transpose()
    }

    /// `start` and `num`. More than `most` rows are never given at once.
    pub(crate) fn paging(&self, default: u64, most: u64) -> Result<Paging, Failure> {
        let start = self.whole("start", 1..=i64::from(i32::MAX))?.unwrap_or(1);
        let num = self.whole("num", 0..=i64::from(i32::MAX))?;
        Ok(Paging { start: start as u64, num: num.map_or(default, |num| (num as u64).min(most)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(value: &str) -> Parameters {
        let mut parameters = Parameters::default();
        parameters.add("maxOccurrences".to_owned(), value.to_owned()).expect("one parameter");
        parameters
    }

    #[test]
    fn whole_numbers_are_plain_digits_within_the_range() {
        let read = |value: &str| with(value).whole("maxOccurrences", -1..=i64::from(i32::MAX));
        assert!(matches!(read("30"), Ok(Some(30))));
        assert!(matches!(read("-1"), Ok(Some(-1))));
        assert!(matches!(read(""), Ok(None)));
        for bad in [
            "-2",
            "2147483648",
            "9223372036854775808",
            "1e400",
            "1e3",
            "NaN",
            "Infinity",
            "0x1F",
            "٣",
            "３０",
            "1.0",
            " 1",
            "1 ",
            "+1",
            "-",
            "--1",
            "1_000",
            "true",
        ] {
            let failure = read(bad).expect_err(bad);
            assert!(failure.message().starts_with("'maxOccurrences' is "), "{}", failure.message());
        }
    }

    #[test]
    fn the_page_after_the_last_is_minus_one() {
        let page = Paging { start: 11, num: 10 };
        assert_eq!(page.next_start(10, 21), 21);
        assert_eq!(page.next_start(10, 20), -1);
        assert_eq!(page.next_start(0, 20), -1);
    }
}
