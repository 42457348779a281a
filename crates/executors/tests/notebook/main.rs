//! Notebooks executed by a real Jupyter: what comes out, and that nothing survives.

mod bench;
mod limits;
mod outcomes;
mod parameters;
mod stops;
