//! What the loop did, for those who watch.

use isochrone_domain::{Decision, EpochMillis, Reason, RunId, RunStatus, TaskId};

/// Something that the loop did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A planned fire was decided, and that is kept.
    Fired {
        /// Whose fire it was.
        task: TaskId,
        /// Its run.
        run: RunId,
        /// Its minute.
        planned: EpochMillis,
        /// What became of it.
        decision: Decision,
        /// Why.
        reason: Reason,
    },
    /// The queue has a run's wake-up.
    Published {
        /// The run.
        run: RunId,
    },
    /// An attempt lost its lease.
    Reaped {
        /// Its run.
        run: RunId,
        /// What became of the run.
        status: RunStatus,
    },
    /// Nothing more is due.
    Idle {
        /// When something will be, as far as is known.
        until: Option<EpochMillis>,
    },
}
