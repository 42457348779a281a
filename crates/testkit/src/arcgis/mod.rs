//! A simulated ArcGIS Enterprise, as far as Isochrone talks to one.

mod answers;
mod asked;
mod faults;
mod gp;
mod http_jobs;
mod portal;
mod state;

pub use faults::Fault;
pub use gp::{SimulatedGpServer, Submission};
pub use http_jobs::SimulatedHttpJobs;
pub use portal::SimulatedPortal;
