//! What can go wrong with the store itself.

use crate::clocks::Disagreement;

/// The store could not do a step. Nothing of the step was done, unless it says otherwise.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// It could not be reached or answered too late; the step may have been done.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// What was asked goes by time, and the clocks disagree. Nothing of the step was done.
    #[error("{0}")]
    ClocksDisagree(Disagreement),
    /// The disk is full: nothing can be acknowledged.
    #[error("the store's disk is full")]
    Full,
    /// What it holds can't be read: it is damaged, or another version wrote it.
    #[error("the store holds something unreadable: {0}")]
    Corrupt(String),
    /// Another process has it.
    #[error("another process uses this data directory: {0}")]
    InUse(String),
    /// It can't be used as it, or the way to it, is set up.
    #[error("the store's configuration: {0}")]
    Config(String),
}
