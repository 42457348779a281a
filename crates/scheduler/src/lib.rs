//! Accepts submissions, fires what is due, publishes the outbox, expires leases.
//!
//! [`Submissions`] is what people and programs ask for, with their rights checked; [`Scheduler`] does what has become
//! due, by duties that don't wait for each other. They meet in the store, and [`Wake`] tells the duties to look.

mod backoff;
mod duties;
mod event;
mod firing;
mod lead;
mod overview;
mod retention;
mod scheduler;
mod submissions;
mod wake;

pub use event::Event;
pub use lead::Lead;
pub use retention::{Forgotten, Retention, RetentionRules, delete_artifacts};
pub use scheduler::Scheduler;
pub use submissions::{
    Adopted, Backfill, Caller, LeftOut, Once, ParameterSource, Program, Quota, Quotas, Reach, StoredTask,
    Submissions, SubmitError, Taken, Target,
};
pub use wake::Wake;
