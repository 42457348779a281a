//! A moment in UTC.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use isochrone_quartz::calendar::{civil_from_days, days_from_civil};
use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z: the unit of every time on ArcGIS's wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EpochMillis(pub i64);

impl EpochMillis {
    /// The last moment that a date may name: the end of the year 9999.
    pub const MAX: EpochMillis = EpochMillis(253_402_300_799_999);

    /// Milliseconds from `earlier` to this moment; negative if this one is the earlier.
    pub fn since(self, earlier: EpochMillis) -> i64 {
        self.0 - earlier.0
    }

    /// Year, month, day, hour, minute, second, millisecond in UTC.
    pub fn civil(self) -> (i64, u32, u32, u32, u32, u32, u32) {
        let days = self.0.div_euclid(86_400_000);
        let ms = self.0.rem_euclid(86_400_000);
        let (year, month, day) = civil_from_days(days);
        (
            year,
            month,
            day,
            (ms / 3_600_000) as u32,
            (ms / 60_000 % 60) as u32,
            (ms / 1_000 % 60) as u32,
            (ms % 1_000) as u32,
        )
    }

    /// Midnight UTC that begins the given day.
    pub fn from_date(year: i64, month: u32, day: u32) -> EpochMillis {
        EpochMillis(days_from_civil(year, month, day) * 86_400_000)
    }
}

/// RFC 3339 in UTC, with milliseconds only where there are any.
impl fmt::Display for EpochMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day, hour, minute, second, ms) = self.civil();
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if ms != 0 {
            write!(f, ".{ms:03}")?;
        }
        f.write_str("Z")
    }
}

impl Add<Duration> for EpochMillis {
    type Output = EpochMillis;
    fn add(self, rhs: Duration) -> EpochMillis {
        EpochMillis(self.0.saturating_add(i64::try_from(rhs.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl Sub<Duration> for EpochMillis {
    type Output = EpochMillis;
    fn sub(self, rhs: Duration) -> EpochMillis {
        EpochMillis(self.0.saturating_sub(i64::try_from(rhs.as_millis()).unwrap_or(i64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_the_dates_of_the_reference() {
        assert_eq!(EpochMillis(1_589_428_800_000).to_string(), "2020-05-14T04:00:00Z");
        assert_eq!(EpochMillis(1_691_451_979_521).to_string(), "2023-08-07T23:46:19.521Z");
        assert_eq!(EpochMillis::MAX.to_string(), "9999-12-31T23:59:59.999Z");
    }
}
