//! The code that carries out each task type: one folder a type.

mod declared;
pub mod drill;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod gp_job;
pub mod gp_service;
pub mod http_job;
pub mod notebook;
pub mod notebook_server;
mod remote;
mod remote_job;
mod remote_results;
pub mod report;
pub mod scene_cook;
mod submission;
mod unconfigured;
pub mod untrusted;
mod way_out;
pub mod workflow_manager;

pub use unconfigured::Unconfigured;
pub use way_out::{Trust, WayOut};
