//! A whole fleet in one thread on virtual time: the real schedulers, workers and store, a modelled Redis and broker, faults
//! by a seed, and the promises as assertions. The same seed gives the same trace.

mod broker;
mod faults;
mod fleet;
mod network;
mod planted;
mod promises;
mod simulate;
mod trace;
mod users;
mod work;
mod workload;
mod world;

pub use planted::Bug;
pub use simulate::{Plan, Report, simulate};
