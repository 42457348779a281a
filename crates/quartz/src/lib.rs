//! Quartz 2.3.2's cron dialect in ArcGIS's five fields: reading it, its next fire, its meaning in English.
//!
//! ```
//! use isochrone_quartz::{Fields, Schedule};
//!
//! let fields = Fields { minute: "30", hour: "9", day_of_month: "?", month: "*", day_of_week: "MON-FRI" };
//! let schedule = Schedule::parse(&fields)?;
//! assert_eq!(schedule.next(1_767_225_600_000), Some(1_767_259_800_000));
//! assert_eq!(schedule.describe(), "at 09:30 UTC on Monday to Friday");
//! # Ok::<(), isochrone_quartz::ParseError>(())
//! ```
//!
//! Seconds are always 0 and the time zone is always UTC. Where Quartz never returns (`0W`) or throws at
//! the first fire (a minute of `,`), reading refuses; so it does for empty fields and blanks inside one.

pub mod calendar;
mod days;
mod describe;
mod digits;
mod error;
mod fields;
mod next;
mod parse;
mod part;
mod phrase;
mod schedule;
mod values;
mod warning;

pub use error::{ParseError, Problem};
pub use fields::{Field, Fields, repair_day_fields};
pub use next::Fires;
pub use schedule::{DEFAULT_HORIZON, Parsed, Schedule};
pub use warning::Warning;
