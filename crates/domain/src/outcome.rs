//! How a run ended, and why.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How a run ended. ArcGIS knows these four and no "cancelled".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The work was done.
    Succeeded,
    /// The work was accepted and did not succeed.
    Failed,
    /// The work was never accepted: bad input, or no backend for it.
    SubmitFailed,
    /// The fire made no work.
    Skipped,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal: $text:literal),* $(,)?) => {
        /// Why a fire or a run ended as it did. The code is stable: APIs, metrics and the ledger carry it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Reason { $($(#[$doc])* #[serde(rename = $code)] $name),* }

        impl Reason {
            /// Every reason.
            pub const ALL: &[Reason] = &[$(Reason::$name),*];

            /// The stable code.
            pub fn code(self) -> &'static str {
                match self { $(Reason::$name => $code),* }
            }

            /// One sentence for people.
            pub fn sentence(self) -> &'static str {
                match self { $(Reason::$name => $text),* }
            }
        }
    };
}

reasons! {
    /// Fired within ten seconds of its minute.
    OnTime = "on_time": "It fired on time.",
    /// Fired more than ten seconds after its minute.
    Late = "late": "It fired late, and is the latest that was due.",
    /// Fired by a catch-up after downtime.
    CaughtUp = "caught_up": "It was missed and made up for.",
    /// Asked for by a person.
    Requested = "requested": "It was asked for by hand.",
    /// Asked for by a person, for a minute of the past.
    Backfilled = "backfilled": "It was asked for by hand, for a minute of the past.",
    /// Missed while no scheduler ran, and the policy does not make up for it.
    SkippedMisfire = "skipped_misfire": "Its minute passed while no scheduler was running, and the task's misfire policy runs only later ones.",
    /// The task was disabled when the fire was decided.
    SkippedDisabled = "skipped_disabled": "The task was disabled before this fire was decided.",
    /// Somebody changed the task's dates so that they leave the fire out, before it was decided.
    SkippedExcluded = "skipped_excluded": "The task's dates were changed to leave its minute out before this fire was decided.",
    /// An earlier run had not ended.
    SkippedOverlap = "skipped_overlap": "An earlier run of the task had not ended.",
    /// The work was done.
    Done = "done": "The run succeeded.",
    /// The work itself reported an error.
    ExecutionError = "execution_error": "The work reported an error.",
    /// It took longer than its deadline.
    Timeout = "timeout": "The run took longer than its deadline.",
    /// A person cancelled it.
    Cancelled = "cancelled": "The run was cancelled.",
    /// The worker was stopped and the grace time was over.
    Drained = "drained": "The worker was stopped before the run had ended.",
    /// The worker died and the task must not run twice.
    WorkerLost = "worker_lost": "The worker died; whether the work was done is unknown.",
    /// It failed when it had stood still because the store was away, and the task must not run twice.
    Suspended = "suspended": "The run failed just after it had been suspended, since the store was away.",
    /// It used more memory than it may.
    MemoryLimit = "memory_limit": "The run used more memory than it may.",
    /// It wrote more output than it may.
    OutputLimit = "output_limit": "The run wrote more output than it may.",
    /// Its files took more of the disk than they may.
    DiskLimit = "disk_limit": "The run's files took more of the disk than they may.",
    /// It started more processes than it may.
    ProcessLimit = "process_limit": "The run started more processes than it may.",
    /// The process that carried it out died.
    ProcessDied = "process_died": "The process that carried out the run died.",
    /// The task's type has no backend here.
    BackendNotConfigured = "backend_not_configured": "No backend is configured for tasks of this type.",
    /// The server that would do the work can't be reached, or does not answer as it should.
    BackendUnavailable = "backend_unavailable": "The server that carries out the work could not be reached.",
    /// The server that was asked did not answer, and the work must not be begun twice.
    SubmissionUnknown = "submission_unknown": "Whether the server that was asked has done the work is unknown.",
    /// The item that the task points at does not exist.
    ItemMissing = "item_missing": "The item that the task points at does not exist.",
    /// The task's owner has no right to it.
    NotAllowed = "not_allowed": "The task's owner may not do this.",
    /// Somebody else changed the item since the task's owner agreed to it.
    ItemChanged = "item_changed": "The item was changed by somebody else since the task's owner agreed to it.",
    /// The task's owner is disabled or deleted.
    OwnerDisabled = "owner_disabled": "The task's owner is disabled or deleted.",
    /// The task's owner became a viewer.
    OwnerNotAllowed = "owner_not_allowed": "The task's owner may have no tasks any more.",
    /// The item or the parameters can't be used.
    BadInput = "bad_input": "The task's item or parameters can't be used.",
    /// Something in Isochrone or its machine failed.
    Internal = "internal": "The worker could not carry out the run.",
    /// A person said how it ended.
    Amended = "amended": "How it ended was set by hand.",
    /// Its task was deleted.
    TaskDeleted = "task_deleted": "The task was deleted.",
}

impl Reason {
    /// Whether a run that ends so counts towards disabling its task: what somebody decided about it is no failure
    /// of its work.
    pub fn counts_as_failure(self) -> bool {
        !matches!(
            self,
            Reason::Cancelled | Reason::ItemChanged | Reason::OwnerDisabled | Reason::OwnerNotAllowed
        )
    }
}

impl Outcome {
    /// ArcGIS's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Succeeded => "succeeded",
            Outcome::Failed => "failed",
            Outcome::SubmitFailed => "submitfailed",
            Outcome::Skipped => "skipped",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}
