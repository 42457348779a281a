//! How many files the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// More are of no use, and lists of descriptors are walked through by some programs.
const ENOUGH: u64 = 65_536;

/// Raises the soft limit as far as the hard one allows, and gives what it is then. The soft one is 1,024 nearly
/// everywhere, for programs that can't have more.
pub(super) fn raise() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let now = limit.current.unwrap_or(u64::MAX);
    let wanted = limit.maximum.unwrap_or(u64::MAX).min(ENOUGH);
    if now >= wanted {
        return now;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), ..limit }) {
        Ok(()) => wanted,
        Err(error) => {
            tracing::warn!(%error, now, "the limit of open files could not be raised");
            now
        }
    }
}
