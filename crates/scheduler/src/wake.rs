//! How the duties learn that something may be due earlier than they think.

use std::sync::Arc;

use tokio::sync::watch;

/// Tells a scheduler's duties to look again. A clone wakes the same ones.
///
/// A wake during a look is not lost: the duty looks once more. Many of them are one.
#[derive(Clone, Debug, Default)]
pub struct Wake(Arc<watch::Sender<u64>>);

impl Wake {
    /// A handle for a new scheduler.
    pub fn new() -> Wake {
        Wake::default()
    }

    /// Something may be due.
    pub fn wake(&self) {
        self.0.send_modify(|wakes| *wakes += 1);
    }

    /// How often it was woken.
    pub(crate) fn count(&self) -> u64 {
        *self.0.borrow()
    }

    /// Wakes from now on.
    pub(crate) fn wakes(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}
