//! Notebooks executed by a real Jupyter: what comes out, and that nothing survives.

#![allow(clippy::unwrap_used)]

mod arcgis;
mod bench;
mod bombs;
mod exits;
mod field;
mod files;
mod gis;
mod isolation;
mod kernels;
mod limits;
mod network;
mod outcomes;
mod packages;
mod parameters;
mod published;
mod secrets;
mod stages;
mod stops;
mod suspension;
mod table;
mod traps;
