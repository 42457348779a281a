//! Notebooks executed by a real Jupyter: what comes out, and that nothing survives.

#![allow(clippy::unwrap_used)]

mod bench;
mod isolation;
mod limits;
mod network;
mod outcomes;
mod parameters;
mod secrets;
mod stops;
mod traps;
