//! Notebooks executed by a real Jupyter: what comes out, and that nothing survives.

#![allow(clippy::unwrap_used)]

mod bench;
mod bombs;
mod isolation;
mod limits;
mod network;
mod outcomes;
mod packages;
mod parameters;
mod secrets;
mod stages;
mod stops;
mod traps;
