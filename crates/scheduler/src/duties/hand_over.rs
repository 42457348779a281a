//! The short cut from who decides a run to who publishes it.

use std::collections::BTreeMap;

use isochrone_domain::{EpochMillis, RunId, TaskType};
use tokio::sync::mpsc;

/// Runs of a type that may wait here; more are found in the store.
const WAITING: usize = 10_000;

/// A run that was just committed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Handed {
    pub(super) run: RunId,
    /// When it became due.
    pub(super) due: EpochMillis,
}

/// Hands runs to the publishers of their types.
pub(super) struct HandOver(BTreeMap<TaskType, mpsc::Sender<Handed>>);

impl HandOver {
    /// With the other end for each type.
    pub(super) fn new() -> (HandOver, Vec<(TaskType, mpsc::Receiver<Handed>)>) {
        let mut senders = BTreeMap::new();
        let mut receivers = Vec::new();
        for kind in TaskType::ALL {
            let (sender, receiver) = mpsc::channel(WAITING);
            senders.insert(kind, sender);
            receivers.push((kind, receiver));
        }
        (HandOver(senders), receivers)
    }

    /// Never waits: what finds no room stands in the outbox all the same.
    pub(super) fn hand(&self, kind: TaskType, run: Handed) {
        if let Some(publisher) = self.0.get(&kind) {
            let _ = publisher.try_send(run);
        }
    }
}
