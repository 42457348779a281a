//! How much could not be done because a record can't be read, and was put off.

use std::sync::atomic::{AtomicU64, Ordering};

/// What is put off, since the store was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deferred {
    /// Tasks that are due.
    pub fires: u64,
    /// Leases that have ended.
    pub expiries: u64,
    /// Deletions that can't go on.
    pub deletions: u64,
}

/// Counts it.
#[derive(Debug, Default)]
pub(crate) struct Deferrals {
    fires: AtomicU64,
    expiries: AtomicU64,
    deletions: AtomicU64,
}

impl Deferrals {
    pub(crate) fn fires(&self, count: usize) {
        self.fires.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(crate) fn expiries(&self, count: usize) {
        self.expiries.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(crate) fn deletions(&self, count: usize) {
        self.deletions.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(crate) fn so_far(&self) -> Deferred {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Deferred {
            fires: read(&self.fires),
            expiries: read(&self.expiries),
            deletions: read(&self.deletions),
        }
    }
}
