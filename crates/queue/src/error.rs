//! What can go wrong with the queue.

/// The queue could not do a step.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// It is closed or can't be reached. A publish may have been done: publish again, the claim makes
    /// the double harmless.
    #[error("the queue is unavailable: {0}")]
    Unavailable(String),
}
