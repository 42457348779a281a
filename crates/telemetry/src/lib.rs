//! What a process tells of itself: metrics for Prometheus, and log lines that carry whose run they are of.
//!
//! [`Metrics`] has a method for everything that is counted, so that names and labels stand in one place. No label
//! grows with tasks, runs or users.

mod catalogue;
mod json;
mod labels;
mod recorded;
#[cfg_attr(not(feature = "otlp"), path = "no_traces.rs")]
mod traces;

pub use catalogue::Metrics;
pub use json::JsonLines;
pub use labels::{AttemptResult, AuthFailure, ConnectionLimit, Published};
pub use recorded::InProgress;
pub use traces::Traces;

/// Traces can't be sent. The text is for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("traces can't be sent (OTEL_EXPORTER_OTLP_ENDPOINT): {0}")]
pub struct TracesError(pub String);

/// Where OpenTelemetry's own variables say that traces go; either is enough.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];

fn is_asked_for() -> bool {
    ENDPOINTS.iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}
