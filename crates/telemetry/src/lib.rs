//! What a process tells of itself: metrics for Prometheus, and log lines that carry whose run they are of.
//!
//! [`Metrics`] has a method for everything that is counted, so that names and labels stand in one place. No label
//! grows with tasks, runs or users.

mod catalogue;
mod json;
mod labels;
mod recorded;

pub use catalogue::Metrics;
pub use json::JsonLines;
pub use labels::{AttemptResult, AuthFailure, Published};
pub use recorded::InProgress;
