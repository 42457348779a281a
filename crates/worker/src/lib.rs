//! Takes a run, claims it, executes it, finishes it: slots, leases, cancel, drain.

mod admission;
mod attempt;
mod carry;
mod config;
mod executor;
mod journal;
mod leases;
mod mask;
mod worker;

pub use attempt::{Attempt, NotKept, Report, StopReason};
pub use config::WorkerConfig;
pub use executor::{Executor, STOP_GRACE};
pub use mask::{Mask, SHORTEST_SECRET};
pub use worker::{Worker, WorkerParts};
