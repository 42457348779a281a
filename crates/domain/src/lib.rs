//! Types and rules of scheduled runs as pure functions: what fires now, what is skipped and why,
//! what a retry is, when a task is disabled. No I/O, no async, no clock of its own.

mod account;
mod audit;
mod claim;
mod declared;
mod edit;
mod fence;
mod fire;
mod id;
mod item;
mod item_digest;
mod notebook_text;
mod outcome;
mod pin;
mod policy;
pub mod redact;
mod run;
mod scene_cook;
mod settle;
mod submission;
mod task;
mod time;
mod transfer;
pub mod unknown;
mod window;
mod written_schedule;

pub use account::{Role, User, UserChange, keeps_an_administrator};
pub use audit::{Action, AuditEntry};
pub use claim::{Claimant, Held, Refusal, Renewed, check_fence, claim, has_finished, renew};
pub use declared::{
    DeclaredParameter, DeclaredParameters, ParameterKind, check_parameters, geoprocessing_parameters,
    given_parameters, notebook_outputs, notebook_parameters, process_parameters,
};
pub use edit::{Change, disable, edit, enable, replan, restart};
pub use fence::{Fence, Nonce};
pub use fire::{
    Decision, FirePlan, PlannedFire, first_fire, plan_backfill, plan_fires, plan_fires_before, plan_request,
    planned_minutes, without_runs,
};
pub use id::{ArtifactsId, FireId, IdError, InstallationId, ItemId, RunId, TaskId};
pub use item::{Access, Item, ItemDetails, ItemSnapshot, ItemVersion};
pub use item_digest::item_digest;
pub use notebook_text::{NotebookTextError, read_notebook, read_notebook_as};
pub use outcome::{Outcome, Reason};
pub use pin::{ItemChanged, check_item, keeps_pin, owns, pin};
pub use policy::{
    CrashPolicy, ItemChanges, MisfirePolicy, OverlapPolicy, Policies, PolicyChange, RetryPolicy,
};
pub use run::{Artifact, Cancel, CancelReason, Lease, LogLine, LogStream, Progress, Run, RunStatus, Trigger};
pub use scene_cook::SceneCook;
pub use settle::{Amendment, AttemptEnd, Settled, amend, cancel, recount, retry, settle};
pub use submission::{Limits, Problem, Submission, accept};
pub use task::{CronFields, Generation, Task, TaskState, TaskType, UnknownTaskType, public_url};
pub use time::EpochMillis;
pub use transfer::{Transfer, adopt, replace};
pub use unknown::{Record, UnknownFields};
