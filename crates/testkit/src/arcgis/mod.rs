//! A simulated ArcGIS Enterprise, as far as Isochrone talks to one.

mod answers;
mod faults;
mod portal;
mod state;

pub use faults::Fault;
pub use portal::SimulatedPortal;
