//! What the operating system holds each process of a notebook to, by itself.

use std::fs;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use super::super::config::Config;
use super::super::processes;
use super::THREADS_EACH;

/// Beyond this many times its limit of memory a process is refused more by the operating system, which
/// not every program takes well (Jupyter's kernel loses output); before that, the watch ends it. Private
/// writable memory is meant, not address space: libraries reserve much of that and never touch it.
const DATA_SLACK: u64 = 2;

/// Files, pipes and sockets: each holds memory of the kernel.
const OPEN_FILES: u64 = 1_024;

/// Memory that is never given back to others, in bytes a process.
const LOCKED: u64 = 8 << 20;

/// POSIX message queues of all the user's processes, in bytes.
const MESSAGE_QUEUES: u64 = 1 << 20;

/// Of a machine without memory, notebooks go before the worker.
const FIRST_TO_GO: &str = "500";

/// Sets them for a process and what it will start.
pub(super) fn set(pid: Pid, config: &Config, own_user: bool) -> rustix::io::Result<()> {
    let others = if own_user { 0 } else { processes::threads_of_this_user() };
    let limits = [
        (Resource::Data, config.memory_bytes().saturating_mul(DATA_SLACK)),
        (Resource::Fsize, config.file_bytes()),
        (Resource::Core, 0),
        (Resource::Nofile, OPEN_FILES),
        (Resource::Memlock, LOCKED),
        (Resource::Msgqueue, MESSAGE_QUEUES),
        // It counts all threads of a user, other programs' included, and root's not at all.
        (Resource::Nproc, others + THREADS_EACH * config.processes as u64),
    ];
    for (resource, limit) in limits {
        // The child inherited this process's limits, and only root may raise them.
        let limit = getrlimit(resource).maximum.map_or(limit, |inherited| inherited.min(limit));
        prlimit(Some(pid), resource, Rlimit { current: Some(limit), maximum: Some(limit) })?;
    }
    // Isolated, it can't do so itself. Where that is refused the kernel chooses as it does among all.
    let _ = fs::write(format!("/proc/{}/oom_score_adj", pid.as_raw_pid()), FIRST_TO_GO);
    Ok(())
}
