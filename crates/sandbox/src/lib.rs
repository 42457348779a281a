//! A simulated ArcGIS Enterprise, as far as Isochrone talks to one: to try Isochrone without one, and to test it.

mod answers;
mod asked;
mod connections;
mod faults;
mod gp;
mod http_jobs;
mod listening;
mod notebooks;
mod portal;
mod processes;
mod reports;
mod state;
mod workflow;

pub use faults::Fault;
pub use gp::{SimulatedGpServer, Submission};
pub use http_jobs::SimulatedHttpJobs;
pub use notebooks::SimulatedNotebookServer;
pub use portal::SimulatedPortal;
pub use processes::SimulatedProcesses;
pub use workflow::{Intervention, SimulatedWorkflowManager};
