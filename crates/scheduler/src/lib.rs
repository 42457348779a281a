//! Accepts submissions, fires what is due, publishes the outbox, reaps lapsed leases.
//!
//! [`Submissions`] is what people and programs ask for, with their rights checked; [`Scheduler`] is the
//! loop that does what has become due. They meet in the store, and [`Wake`] tells the loop to look.

mod backoff;
mod due;
mod event;
mod expiry;
mod fire_loop;
mod firing;
mod lead;
mod outbox;
mod overview;
mod reaper;
mod republish;
mod retention;
mod submissions;
mod wake;

pub use event::Event;
pub use fire_loop::Scheduler;
pub use lead::Lead;
pub use retention::{Forgotten, Retention, RetentionRules, delete_artifacts};
pub use submissions::{
    Adopted, Backfill, Caller, LeftOut, Once, ParameterSource, Program, Quota, Quotas, Reach, StoredTask,
    Submissions, SubmitError, Taken, Target,
};
pub use wake::Wake;
