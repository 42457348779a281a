//! The chains of the audit log: each entry's digest covers the entry before it, so that none can be changed,
//! removed, moved or added without a trace.
//!
//! Under a key (`[secrets]`) the digests are HMACs: whoever can write to the store but has no key can't make
//! them. Without one they are plain SHA-256, and only what was noted elsewhere (the head in the log and in the
//! metrics) tells of a chain that was made anew.

mod head;
mod link;
mod verify;

pub use head::{Head, HeadError};
pub use link::{AuditKey, ChainEnd, Checkpoint, Digest, Link};
pub use verify::{AuditChain, Broken, StoredEntry, Verified, verify};
