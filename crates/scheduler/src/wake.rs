//! How the loop learns that something may be due earlier than it thinks.

use std::sync::Arc;

use tokio::sync::Notify;

/// Tells a scheduler's loop to look again. A clone wakes the same loop.
///
/// A wake during a round is not lost: the loop looks once more. Many of them are one.
#[derive(Clone, Debug, Default)]
pub struct Wake(Arc<Notify>);

impl Wake {
    /// A handle for a new loop.
    pub fn new() -> Wake {
        Wake::default()
    }

    /// Something may be due.
    pub fn wake(&self) {
        self.0.notify_one();
    }

    /// Answers once after a [`Wake::wake`].
    pub(crate) async fn woken(&self) {
        self.0.notified().await;
    }
}
