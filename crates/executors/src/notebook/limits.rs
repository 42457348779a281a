//! What a notebook may use, and the ways to hold it to that.

use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use isochrone_domain::Reason;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use super::config::Config;
use super::processes;
use super::tree::Tree;

/// Beyond this many times its limit of memory a process is refused more by the operating system, which
/// not every program takes well (Jupyter's kernel loses output); before that, [`watch`] ends it. Private
/// writable memory is meant, not address space: libraries reserve much of that and never touch it.
const DATA_SLACK: u64 = 2;

/// The operating system counts all threads of a user, other programs' included, and root's not at all:
/// a bound for fork bombs, while [`watch`] counts the notebook's processes.
const THREADS_EACH: u64 = 16;

/// Of a machine without memory, notebooks go before the worker.
const FIRST_TO_GO: &str = "500";

/// The kernel of the operating system holds each process to these by itself; what the processes use
/// together is for [`watch`].
pub(super) fn set(pid: Pid, config: &Config) -> rustix::io::Result<()> {
    let limits = [
        (Resource::Data, config.memory_bytes().saturating_mul(DATA_SLACK)),
        (Resource::Fsize, config.file_bytes()),
        (Resource::Core, 0),
        (Resource::Nproc, processes::threads_of_this_user() + THREADS_EACH * config.processes as u64),
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

/// A limit that a notebook is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Excess {
    Memory,
    Processes,
    Output,
}

impl Excess {
    pub(super) fn reason(self) -> Reason {
        match self {
            Excess::Memory => Reason::MemoryLimit,
            Excess::Processes => Reason::ProcessLimit,
            Excess::Output => Reason::OutputLimit,
        }
    }

    /// For people, with the limit and the setting that moves it.
    pub(super) fn sentence(self, config: &Config) -> String {
        match self {
            Excess::Memory => format!(
                "the notebook used more than {} MiB of memory ([notebook] memory_mib)",
                config.memory_mib
            ),
            Excess::Processes => format!(
                "the notebook had more than {} processes at once ([notebook] processes)",
                config.processes
            ),
            Excess::Output => format!(
                "the notebook's cells wrote more than {} MiB of output ([notebook] output_mib)",
                config.output_mib
            ),
        }
    }
}

/// Between two looks at the tree; shorter where it grows, since a fork bomb doubles in milliseconds.
const LOOK: Duration = Duration::from_millis(200);
const CLOSE_LOOK: Duration = Duration::from_millis(20);

/// Looks at the tree again and again, and returns when it is over a limit.
pub(super) async fn watch(tree: Arc<Mutex<Tree>>, config: &Config) -> Excess {
    let memory_limit = config.memory_bytes();
    loop {
        let tree = Arc::clone(&tree);
        let look = move || tree.lock().unwrap_or_else(PoisonError::into_inner).usage(memory_limit);
        // A look that panicked is no reason to end a notebook.
        let usage = tokio::task::spawn_blocking(look).await.unwrap_or_default();
        if usage.processes > config.processes {
            return Excess::Processes;
        }
        if usage.memory > memory_limit {
            return Excess::Memory;
        }
        let close = usage.processes > config.processes / 4;
        tokio::time::sleep(if close { CLOSE_LOOK } else { LOOK }).await;
    }
}
