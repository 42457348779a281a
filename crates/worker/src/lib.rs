//! Takes a run, claims it, executes it, finishes it: slots, leases, cancel, drain.

mod admission;
mod attempt;
mod carry;
mod config;
mod ended;
mod executor;
mod journal;
mod leases;
mod mask;
mod suspension;
mod trust;
mod worker;

pub use attempt::{Attempt, NotKept, Report, StopReason};
pub use config::WorkerConfig;
pub use executor::{Executor, STOP_GRACE};
pub use mask::{Mask, SHORTEST_SECRET};
pub use trust::{BootTime, Trust};
pub use worker::{Worker, WorkerParts};
