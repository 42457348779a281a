//! What servers of jobs answer, and what it means. Nothing is sent from here: these are pure functions of a response.
//!
//! [`submit`] decides what the response to a submission means ([`SubmitOutcome`]), [`status`] what a look at a job
//! shows ([`JobStatus`]), for each protocol. Both are strict about what decides (was a job begun, where is it, has it
//! ended, and how) and lenient about what is only shown: progress, messages and results are read one by one, and none
//! of them can hide a job's state. Fields are found whatever the case of their names, and whether or not the server
//! wraps them (`{"job": {...}}`, `{"data": {...}}`).

pub(crate) mod address;
pub(crate) mod fields;
pub(crate) mod handle;
pub(crate) mod media;
mod multipart;
mod numbers;
pub(crate) mod page;
mod response;
mod results;
mod shown;
mod state;
pub(crate) mod status;
pub mod submit;
mod vocabulary;
pub(crate) mod words;
mod xml;

pub(crate) use address::has_results;
pub(crate) use response::{Exchange, Incomplete, JobResponse};
pub use results::{Part, Results};
pub(crate) use shown::{percent, text as shown_text};
pub use state::JobState;
#[cfg(test)]
pub(crate) use state::find as find_state;
pub use status::JobStatus;
pub use submit::SubmitOutcome;
