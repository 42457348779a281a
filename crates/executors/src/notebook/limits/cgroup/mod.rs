//! Linux's control groups: the kernel counts what a notebook's processes use together, in whatever form, and
//! holds them to it.
//!
//! A worker has a folder of its own below the cgroup that it was started in, and in it one for each run. In
//! version 2 it moves itself into a leaf there, since a cgroup that has processes can't give controllers to
//! others. The folder is locked as long as the worker lives, so that a later one knows what was left behind.

mod group;
mod hierarchy;
mod scope;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use isochrone_domain::TaskId;

pub(in super::super) use group::{Ceilings, Group};
use hierarchy::{Hierarchy, Version, hierarchies};

/// What workers' folders are called.
const PREFIX: &str = "isochrone-";

/// Where a worker of version 2 is itself.
const LEAF: &str = "worker";

/// Processes that are being moved keep a cgroup busy for a moment.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(10);

/// Where this worker makes cgroups for its runs; one for the whole process.
#[derive(Debug)]
pub(in super::super) struct Cgroups {
    pids: Option<Arc<WorkerGroup>>,
    memory: Option<Arc<WorkerGroup>>,
    runs: AtomicU64,
}

/// The worker's own folder in a hierarchy. Removed when dropped.
#[derive(Debug)]
struct WorkerGroup {
    version: Version,
    /// The cgroup that the worker was started in.
    base: PathBuf,
    folder: PathBuf,
    /// Whether the process left `base` for a leaf below `folder`.
    moved: bool,
    /// Others remove a folder that nobody has locked.
    _lock: File,
}

impl Cgroups {
    /// The process's own, found or made now. The error says, for people, what is in the way.
    pub(in super::super) fn of_this_process() -> Result<Arc<Cgroups>, String> {
        static SHARED: Mutex<Weak<Cgroups>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = shared.upgrade() {
            return Ok(found);
        }
        let found = Arc::new(Cgroups::make()?);
        *shared = Arc::downgrade(&found);
        Ok(found)
    }

    fn make() -> Result<Cgroups, String> {
        let mut why = Vec::new();
        if let Some(found) = Cgroups::below_own(&mut why) {
            return Ok(found);
        }
        if scope::manager_is_there() {
            match scope::enter() {
                Ok(()) => {
                    if let Some(found) = Cgroups::below_own(&mut why) {
                        return Ok(found);
                    }
                }
                Err(error) => why.push(format!("a scope of the service manager's: {error}")),
            }
        }
        Err(why.join("; "))
    }

    fn below_own(why: &mut Vec<String>) -> Option<Cgroups> {
        let mut found = Cgroups { pids: None, memory: None, runs: AtomicU64::new(0) };
        for hierarchy in own_hierarchies() {
            let offered = match hierarchy.version {
                Version::One => hierarchy.controllers.clone(),
                Version::Two => controllers(&hierarchy.own),
            };
            let has = |name: &str| offered.iter().any(|offered| offered == name);
            let (pids, memory) =
                (has("pids") && found.pids.is_none(), has("memory") && found.memory.is_none());
            if !pids && !memory {
                continue;
            }
            sweep(&hierarchy.own);
            match WorkerGroup::make(&hierarchy, &offered) {
                Ok(place) => {
                    let place = Arc::new(place);
                    found.pids = found.pids.or_else(|| pids.then(|| Arc::clone(&place)));
                    found.memory = found.memory.or_else(|| memory.then_some(place));
                }
                Err(error) => why.push(format!("{}: {error}", hierarchy.own.display())),
            }
        }
        if found.pids.is_none() && found.memory.is_none() {
            if why.is_empty() {
                why.push("no cgroup with the controllers pids and memory is mounted here".to_owned());
            }
            return None;
        }
        Some(found)
    }

    /// What counts processes, for people.
    pub(in super::super) fn counts_processes(&self) -> Option<&'static str> {
        self.pids.as_deref().map(WorkerGroup::name)
    }

    /// What counts memory, for people.
    pub(in super::super) fn counts_memory(&self) -> Option<&'static str> {
        self.memory.as_deref().map(WorkerGroup::name)
    }

    /// A new cgroup for one run.
    pub(in super::super) fn group(&self, ceilings: &Ceilings) -> io::Result<Group> {
        let name = format!("run-{}", self.runs.fetch_add(1, Ordering::Relaxed));
        let folder = |group: &WorkerGroup| (group.version, group.folder.join(&name));
        Group::make(self.pids.as_deref().map(folder), self.memory.as_deref().map(folder), ceilings)
    }
}

/// What this process's cgroup or one around it may have of memory, in bytes; none where there is no such limit.
pub(super) fn memory_around() -> Option<u64> {
    let hierarchies = own_hierarchies();
    let files = hierarchies.iter().filter_map(|hierarchy| match hierarchy.version {
        Version::Two => Some((hierarchy, "memory.max")),
        Version::One => {
            let is_memory = hierarchy.controllers.iter().any(|name| name == "memory");
            is_memory.then_some((hierarchy, "memory.limit_in_bytes"))
        }
    });
    let limits = files.flat_map(|(hierarchy, file)| {
        hierarchy.own.ancestors().map_while(move |folder| {
            folder
                .join("cgroup.procs")
                .exists()
                .then(|| fs::read_to_string(folder.join(file)).unwrap_or_default())
        })
    });
    // Version 1 has no word for "no limit", but the largest number of pages.
    limits.filter_map(|text| text.trim().parse().ok()).filter(|bytes| *bytes < 1 << 60).min()
}

fn own_hierarchies() -> Vec<Hierarchy> {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    hierarchies(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"))
}

impl WorkerGroup {
    fn make(hierarchy: &Hierarchy, offered: &[String]) -> io::Result<WorkerGroup> {
        let base = hierarchy.own.clone();
        let folder = base.join(format!("{PREFIX}{}", TaskId::random()));
        fs::create_dir(&folder)?;
        if !folder.join("cgroup.procs").exists() {
            let _ = fs::remove_dir(&folder);
            return Err(io::Error::other("something else is mounted over it"));
        }
        let lock = File::open(&folder)?;
        lock.lock()?;
        let mut place = WorkerGroup { version: hierarchy.version, base, folder, moved: false, _lock: lock };
        if place.version == Version::Two {
            place.hand_down(offered)?;
        }
        Ok(place)
    }

    /// Gives the folder controllers to pass on, for which nobody may be in the base.
    fn hand_down(&mut self, offered: &[String]) -> io::Result<()> {
        // The hierarchy's root may have both.
        if self.base.join("cgroup.type").exists() {
            let own = std::process::id();
            if let Some(other) = processes(&self.base)?.into_iter().find(|pid| *pid != own && !is_child(*pid))
            {
                return Err(io::Error::other(format!(
                    "the process {other} is in the same cgroup (systemd: Delegate=yes in a unit of its own)"
                )));
            }
            fs::create_dir(self.folder.join(LEAF))?;
            fs::write(self.folder.join(LEAF).join("cgroup.procs"), own.to_string())?;
            self.moved = true;
        }
        for folder in [&self.base, &self.folder] {
            for controller in
                ["pids", "memory", "io"].iter().filter(|name| offered.iter().any(|o| o == *name))
            {
                let enabled =
                    patiently(|| fs::write(folder.join("cgroup.subtree_control"), format!("+{controller}")));
                // io is a weight, and can be done without.
                if *controller != "io" {
                    enabled?;
                }
            }
        }
        Ok(())
    }

    fn name(&self) -> &'static str {
        match self.version {
            Version::One => "cgroup v1",
            Version::Two => "cgroup v2",
        }
    }
}

impl Drop for WorkerGroup {
    fn drop(&mut self) {
        if self.moved {
            // In this order: a cgroup that gives controllers to others takes no processes.
            let off = "-pids -memory";
            for folder in [&self.folder, &self.base] {
                let _ = fs::write(folder.join("cgroup.subtree_control"), off);
                let _ = fs::write(folder.join("cgroup.subtree_control"), "-io");
            }
            let _ = fs::write(self.base.join("cgroup.procs"), std::process::id().to_string());
            let _ = fs::remove_dir(self.folder.join(LEAF));
        }
        if let Err(error) = patiently(|| fs::remove_dir(&self.folder)) {
            tracing::debug!(folder = %self.folder.display(), %error, "a worker's cgroup stays for the next to remove");
        }
    }
}

/// Removes what dead workers have left in `base`, and kills what is still in it.
fn sweep(base: &Path) {
    for folder in folders(base) {
        let is_workers =
            folder.file_name().and_then(|name| name.to_str()).is_some_and(|n| n.starts_with(PREFIX));
        // As long as this is held, nobody else sweeps it.
        let Some(lock) = is_workers.then(|| File::open(&folder).ok()).flatten() else { continue };
        if lock.try_lock().is_err() {
            continue;
        }
        let removed = patiently(|| {
            for run in folders(&folder) {
                group::kill_all(&run, &[]);
                fs::remove_dir(&run)?;
            }
            fs::remove_dir(&folder)
        });
        match removed {
            Ok(()) => tracing::info!(folder = %folder.display(), "a dead worker's cgroup is removed"),
            Err(error) => {
                tracing::warn!(folder = %folder.display(), %error, "a dead worker's cgroup can't be removed");
            }
        }
    }
}

fn controllers(folder: &Path) -> Vec<String> {
    let text = fs::read_to_string(folder.join("cgroup.controllers")).unwrap_or_default();
    text.split_whitespace().map(str::to_owned).collect()
}

fn folders(parent: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

fn processes(folder: &Path) -> io::Result<Vec<u32>> {
    let text = fs::read_to_string(folder.join("cgroup.procs"))?;
    Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
}

/// Whether this process has started it; it will be gone in a moment.
fn is_child(pid: u32) -> bool {
    let own = std::process::id().cast_signed();
    super::super::processes::read(pid.cast_signed()).is_none_or(|process| process.parent == own)
}

fn patiently<T>(mut act: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let until = Instant::now() + PATIENCE;
    loop {
        match act() {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && Instant::now() < until => {
                std::thread::sleep(PAUSE);
            }
            done => return done,
        }
    }
}
