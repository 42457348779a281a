//! What a scheduler did, for those who watch.

use isochrone_domain::{Decision, EpochMillis, Reason, RunId, RunStatus, TaskId, TaskType};
use tokio::sync::broadcast;

/// Events that a watcher may lag behind before it misses some.
const EVENTS: usize = 4_096;

/// Tells watchers what a scheduler did.
#[derive(Clone, Debug)]
pub(crate) struct Events(broadcast::Sender<Event>);

impl Events {
    pub(crate) fn new() -> Events {
        Events(broadcast::Sender::new(EVENTS))
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.0.subscribe()
    }

    pub(crate) fn tell(&self, event: Event) {
        // Nobody needs to watch.
        drop(self.0.send(event));
    }
}

/// Something that a scheduler did.
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
    /// The outbox and the queue of a type were compared.
    Compared {
        /// The type.
        kind: TaskType,
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
