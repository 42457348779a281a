//! What the operating system holds each process of a notebook to, by itself.

use std::fs;
use std::io;

use rustix::io::Errno;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use super::super::config::Config;
use super::super::processes;
use super::{RunUser, THREADS_EACH};

/// Beyond this many times its limit of memory a process is refused more by the operating system, which
/// not every program takes well (Jupyter's kernel loses output); before that, the watch ends it. Private
/// writable memory is meant, not address space: libraries reserve much of that and never touch it.
const DATA_SLACK: u64 = 2;

/// No core dumps: with one byte the kernel does not even start the machine's program for them, which writes elsewhere
/// (core(5)).
const CORE_DUMP: u64 = 1;

/// Files, pipes and sockets: each holds memory of the kernel.
const OPEN_FILES: u64 = 1_024;

/// Memory that is never given back to others, in bytes a process.
const LOCKED: u64 = 8 << 20;

/// POSIX message queues of all the user's processes, in bytes.
const MESSAGE_QUEUES: u64 = 1 << 20;

/// Of a machine without memory, notebooks go before the worker.
const FIRST_TO_GO: &str = "500";

/// Sets them for a process and what it will start. Where it is another user's, and this process may not do so
/// (without CAP_SYS_RESOURCE), that user does, by the program `prlimit`.
pub(super) fn set(pid: Pid, config: &Config, user: Option<&RunUser>) -> io::Result<()> {
    let others = if user.is_some() { 0 } else { processes::threads_of_this_user() };
    let limits = [
        (Resource::Data, "data", config.memory_bytes().saturating_mul(DATA_SLACK)),
        (Resource::Fsize, "fsize", config.file_bytes()),
        (Resource::Core, "core", CORE_DUMP),
        (Resource::Nofile, "nofile", OPEN_FILES),
        (Resource::Memlock, "memlock", LOCKED),
        (Resource::Msgqueue, "msgqueue", MESSAGE_QUEUES),
        // It counts all threads of a user, other programs' included, and root's not at all.
        (Resource::Nproc, "nproc", others + THREADS_EACH * config.processes as u64),
    ]
    // The child inherited this process's limits, and only root may raise them.
    .map(|(resource, name, limit)| {
        (resource, name, getrlimit(resource).maximum.map_or(limit, |inherited| inherited.min(limit)))
    });
    for (resource, _, limit) in limits {
        match prlimit(Some(pid), resource, Rlimit { current: Some(limit), maximum: Some(limit) }) {
            Err(Errno::PERM) => {
                let user = user.ok_or(Errno::PERM)?;
                user.set_limits(pid.as_raw_pid(), &limits.map(|(_, name, limit)| (name, limit)))?;
                break;
            }
            set => drop(set?),
        }
    }
    // Isolated, it can't do so itself. Where that is refused the kernel chooses as it does among all.
    let _ = fs::write(format!("/proc/{}/oom_score_adj", pid.as_raw_pid()), FIRST_TO_GO);
    Ok(())
}
