//! What a notebook may use, and the ways to hold it to that.

mod cgroup;
mod folder_size;
mod held;
mod rlimits;
mod users;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use isochrone_domain::Reason;
use rustix::process::{Pid, setpriority_process};
use tokio::sync::oneshot;

use super::config::Config;
use super::isolation::Tier;
use super::tree::{Tree, Usage};
use crate::untrusted::UntrustedDir;
pub(super) use cgroup::Group;
use cgroup::{Ceilings, Cgroups};
use folder_size::FolderSize;
pub use held::{Held, Limited, LimitsFound};
pub use users::{NoUserRange, UserRange};
pub(super) use users::{RunUser, Users, let_pass};

/// Libraries for numbers start a thread for each processor, in each process.
const THREADS_EACH: u64 = 16;

/// What holds the runs of this worker to their limits; clones share it.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    /// Or what is in the way of them.
    cgroups: Result<Arc<Cgroups>, String>,
    /// Where there are none, and the worker can give its runs users.
    users: Option<Users>,
}

impl Limits {
    /// Finds what is there.
    pub(super) fn find(config: &Config) -> Limits {
        let cgroups = Cgroups::of_this_process();
        let counted = cgroups.as_ref().is_ok_and(|cgroups| cgroups.counts_processes().is_some());
        let users = Users::find(config.uids, config.group).filter(|_| !counted);
        Limits { cgroups, users }
    }

    /// The users for runs, if they are to have any.
    pub(super) fn users(&self) -> Option<Users> {
        self.users
    }

    /// Whether the kernel counts a run's memory in whatever form.
    pub(super) fn count_memory(&self) -> bool {
        self.cgroups.as_ref().is_ok_and(|cgroups| cgroups.counts_memory().is_some())
    }

    /// Which limits hold in a tier.
    pub(super) fn held(&self, tier: Tier, own_user: bool) -> LimitsFound {
        let cgroups = self.cgroups.as_ref().ok();
        let limits = held::held(&held::Means {
            tier,
            cgroup_pids: cgroups.and_then(|cgroups| cgroups.counts_processes()),
            cgroup_memory: cgroups.and_then(|cgroups| cgroups.counts_memory()),
            own_user,
            root: rustix::process::geteuid().is_root(),
        });
        let no_cgroup = self.cgroups.as_ref().err().cloned();
        LimitsFound { limits, no_cgroup, memory_around: cgroup::memory_around() }
    }

    /// Holds a process that has not started anything yet, and all that it will start. The cgroup, where there
    /// is one, is to be kept as long as any of them lives.
    pub(super) fn hold(
        &self,
        pid: Pid,
        config: &Config,
        user: Option<&RunUser>,
    ) -> std::io::Result<Option<Group>> {
        rlimits::set(pid, config, user)?;
        let Ok(cgroups) = &self.cgroups else { return Ok(None) };
        let group = cgroups.group(&Ceilings {
            threads: THREADS_EACH * config.processes as u64,
            memory: config.memory_bytes(),
        })?;
        group.admit(pid)?;
        Ok(Some(group))
    }
}

/// A limit that a notebook is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Excess {
    Memory,
    Processes,
    Output,
    Disk,
    Home,
}

impl Excess {
    pub(super) fn reason(self) -> Reason {
        match self {
            Excess::Memory => Reason::MemoryLimit,
            Excess::Processes => Reason::ProcessLimit,
            Excess::Output => Reason::OutputLimit,
            Excess::Disk | Excess::Home => Reason::DiskLimit,
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
                "the notebook had more than {} processes, or {THREADS_EACH} times as many threads, at once \
                 ([notebook] processes)",
                config.processes
            ),
            Excess::Output => format!(
                "the notebook's cells wrote more than {} MiB of output ([notebook] output_mib)",
                config.output_mib
            ),
            Excess::Disk => format!(
                "the notebook's files took more than {} MiB of the disk, or lay too deep to be counted \
                 ([notebook] disk_mib)",
                config.disk_mib
            ),
            Excess::Home => format!(
                "the owner's files in /arcgis/home took more than {} MiB of the disk, or lay too deep to be counted \
                 ([notebook] home_mib)",
                config.home_mib
            ),
        }
    }
}

/// Which limit this is over.
fn excess(usage: &Usage, config: &Config) -> Option<Excess> {
    let threads = THREADS_EACH.saturating_mul(config.processes as u64);
    if usage.processes > config.processes || usage.threads > threads || usage.refused_forks > 0 {
        return Some(Excess::Processes);
    }
    (usage.oom_kills > 0 || usage.memory > config.memory_bytes()).then_some(Excess::Memory)
}

/// Between two looks at the tree; shorter where it grows, since a fork bomb doubles in milliseconds.
const LOOK: Duration = Duration::from_millis(200);
const CLOSE_LOOK: Duration = Duration::from_millis(20);

/// Looks at the tree again and again, and returns when it is over a limit.
pub(super) async fn watch(tree: Arc<Mutex<Tree>>, config: &Config) -> Excess {
    let (found, seen) = oneshot::channel();
    let config = config.clone();
    // A thread of its own, since a fork bomb leaves little time to others.
    let watching = std::thread::Builder::new().name("notebook-watch".to_owned()).spawn(move || {
        // Only root may.
        let _ = setpriority_process(None, -20);
        while !found.is_closed() {
            let usage = look(&tree, &config);
            if let Some(excess) = excess(&usage, &config) {
                let _ = found.send(excess);
                return;
            }
            let close = usage.processes > config.processes / 4;
            std::thread::sleep(if close { CLOSE_LOOK } else { LOOK });
        }
    });
    if let Err(error) = watching {
        tracing::error!(%error, "no thread to watch a notebook's processes");
    }
    // Without a thread, or where it panicked, a notebook is not ended for that.
    match seen.await {
        Ok(excess) => excess,
        Err(_) => std::future::pending().await,
    }
}

/// One look at all: what ended by itself may have done so because it was refused more, or have been quick.
pub(super) async fn last_look(
    tree: Arc<Mutex<Tree>>,
    folder: Arc<UntrustedDir>,
    config: &Config,
) -> Option<Excess> {
    if let Some(excess) = excess(&usage(&tree, config).await, config) {
        return Some(excess);
    }
    (folder_size(&tree, &folder, config).await > config.disk_bytes()).then_some(Excess::Disk)
}

/// Between two sums of a run's folder; where it is large, this many times what one took.
const PAUSE: Duration = Duration::from_millis(500);
const SHARE: u32 = 4;

/// Adds the run's folder up again and again, and returns when it is too large.
pub(super) async fn watch_folder(
    tree: Arc<Mutex<Tree>>,
    folder: Arc<UntrustedDir>,
    config: &Config,
) -> Excess {
    loop {
        let began = Instant::now();
        if folder_size(&tree, &folder, config).await > config.disk_bytes() {
            return Excess::Disk;
        }
        tokio::time::sleep(PAUSE.max(began.elapsed() * SHARE)).await;
    }
}

/// What a folder takes of the disk, in bytes.
pub(super) fn size_of(folder: &UntrustedDir) -> u64 {
    FolderSize::of(folder, &[], u64::MAX)
}

/// The same of the owner's folder. Where it was too large before, it may only become smaller.
pub(super) async fn watch_home(home: Option<Arc<UntrustedDir>>, config: &Config) -> Excess {
    let Some(home) = home else { return std::future::pending().await };
    let size = async || {
        let home = Arc::clone(&home);
        tokio::task::spawn_blocking(move || FolderSize::of(&home, &[], u64::MAX)).await.unwrap_or(0)
    };
    let most = config.home_bytes().max(size().await);
    loop {
        let began = Instant::now();
        tokio::time::sleep(PAUSE).await;
        if size().await > most {
            return Excess::Home;
        }
        tokio::time::sleep(began.elapsed() * SHARE).await;
    }
}

async fn folder_size(tree: &Arc<Mutex<Tree>>, folder: &Arc<UntrustedDir>, config: &Config) -> u64 {
    let (tree, folder, most) = (Arc::clone(tree), Arc::clone(folder), config.disk_bytes());
    let add = move || {
        let processes = tree.lock().unwrap_or_else(PoisonError::into_inner).processes();
        FolderSize::of(&folder, &processes, most)
    };
    tokio::task::spawn_blocking(add).await.unwrap_or(0)
}

async fn usage(tree: &Arc<Mutex<Tree>>, config: &Config) -> Usage {
    let (tree, config) = (Arc::clone(tree), config.clone());
    // A look that panicked is no reason to end a notebook.
    tokio::task::spawn_blocking(move || look(&tree, &config)).await.unwrap_or_default()
}

/// One look. Where there are too many processes and one's end is that of all, it ends them at once.
fn look(tree: &Mutex<Tree>, config: &Config) -> Usage {
    let mut tree = tree.lock().unwrap_or_else(PoisonError::into_inner);
    // Who has ended since is not forgiven.
    if let Some(usage) = tree.too_much {
        return usage;
    }
    let usage = tree.usage(config.memory_bytes(), config.processes);
    tree.too_much = excess(&usage, config).map(|_| usage);
    if usage.processes > config.processes && tree.is_faster_without_driver() {
        tree.end_at_once();
    }
    usage
}
