//! The cgroup of one run.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getpid, kill_process};

use super::hierarchy::Version;

/// Below the machine's other work.
const IO_WEIGHT: &str = "50";

const PAUSE: Duration = Duration::from_millis(5);

/// What the processes of a run may have together.
#[derive(Clone, Copy, Debug)]
pub(in super::super::super) struct Ceilings {
    /// Threads: the kernel counts each as a process.
    pub(in super::super::super) threads: u64,
    /// In bytes. What is only kept from the disk is dropped before anybody is refused.
    pub(in super::super::super) memory: u64,
}

/// A run's folder in one hierarchy, or in two. Removed when dropped, if nobody is in it.
#[derive(Debug)]
pub(in super::super::super) struct Group {
    pids: Option<PathBuf>,
    memory: Option<(Version, PathBuf)>,
    threads: u64,
}

/// What the kernel has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super::super) struct Counts {
    /// Processes that are there.
    pub(in super::super::super) processes: usize,
    /// How often a new process or thread was refused; 0 where that is not counted.
    pub(in super::super::super) refused_forks: u64,
    /// How many processes were killed because there was no more memory for them; 0 where that is not counted.
    pub(in super::super::super) oom_kills: u64,
    /// Buffers of TCP and UDP, in bytes, where they are no part of the memory that has a limit (version 1).
    pub(in super::super::super) socket_buffers: u64,
}

impl Group {
    pub(super) fn make(
        pids: Option<(Version, PathBuf)>,
        memory: Option<(Version, PathBuf)>,
        ceilings: &Ceilings,
    ) -> io::Result<Group> {
        let mut group = Group { pids: None, memory: None, threads: ceilings.threads };
        if let Some((_, folder)) = &pids {
            fs::create_dir(folder)?;
            group.pids = Some(folder.clone());
            fs::write(folder.join("pids.max"), ceilings.threads.to_string())?;
        }
        if let Some((version, folder)) = memory {
            if group.pids.as_ref() != Some(&folder) {
                fs::create_dir(&folder)?;
            }
            group.memory = Some((version, folder.clone()));
            hold_memory(version, &folder, ceilings.memory)?;
        }
        Ok(group)
    }

    /// Whether its memory is counted, whatever form it has.
    pub(in super::super::super) fn counts_memory(&self) -> bool {
        self.memory.is_some()
    }

    /// Takes a process in, with what it will start. What it has used so far stays where it was.
    pub(in super::super::super) fn admit(&self, pid: Pid) -> io::Result<()> {
        self.folders()
            .try_for_each(|folder| fs::write(folder.join("cgroup.procs"), pid.as_raw_pid().to_string()))
    }

    /// Who is in it.
    pub(in super::super::super) fn processes(&self) -> Vec<i32> {
        self.folders().next().map(members).unwrap_or_default().into_iter().map(Pid::as_raw_pid).collect()
    }

    /// What has been counted so far.
    pub(in super::super::super) fn counts(&self) -> Counts {
        let (mut oom_kills, mut socket_buffers) = (0, 0);
        match &self.memory {
            None => {}
            Some((Version::Two, folder)) => oom_kills = count(&folder.join("memory.events"), "oom_kill"),
            Some((Version::One, folder)) => {
                oom_kills = count(&folder.join("memory.oom_control"), "oom_kill");
                let used = fs::read_to_string(folder.join("memory.kmem.tcp.usage_in_bytes"));
                socket_buffers = used.unwrap_or_default().trim().parse().unwrap_or(0);
            }
        }
        Counts {
            processes: self.folders().map(|folder| members(folder).len()).max().unwrap_or(0),
            refused_forks: self.pids.as_ref().map_or(0, |folder| count(&folder.join("pids.events"), "max")),
            oom_kills,
            socket_buffers,
        }
    }

    /// Kills all but those in `spare`, which may start something again afterwards. False: somebody is left.
    pub(in super::super::super) fn kill(&self, spare: &[Pid], patience: Duration) -> bool {
        if let Some(folder) = &self.pids {
            // From here on a fork bomb can't grow.
            let _ = fs::write(folder.join("pids.max"), "0");
        }
        let until = Instant::now() + patience;
        let dead = loop {
            let left: usize = self.folders().map(|folder| kill_all(folder, spare)).sum();
            if left == 0 || Instant::now() >= until {
                break left == 0;
            }
            std::thread::sleep(PAUSE);
        };
        if let (Some(folder), false) = (&self.pids, spare.is_empty()) {
            let _ = fs::write(folder.join("pids.max"), self.threads.to_string());
        }
        dead
    }

    /// Each folder once.
    fn folders(&self) -> impl Iterator<Item = &Path> {
        let memory = self.memory.as_ref().map(|(_, folder)| folder);
        let other = memory.filter(|folder| self.pids.as_ref() != Some(folder));
        self.pids.iter().chain(other).map(PathBuf::as_path)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for folder in self.folders() {
            if let Err(error) = super::patiently(|| fs::remove_dir(folder)) {
                tracing::warn!(folder = %folder.display(), %error, "a run's cgroup can't be removed");
            }
        }
    }
}

fn hold_memory(version: Version, folder: &Path, limit: u64) -> io::Result<()> {
    let bytes = limit.to_string();
    // Without swap there is no such file.
    let if_there = |name: &str, value: &str| {
        let file = folder.join(name);
        if file.exists() { fs::write(file, value) } else { Ok(()) }
    };
    match version {
        Version::Two => {
            fs::write(folder.join("memory.max"), bytes)?;
            if_there("memory.swap.max", "0")?;
            if_there("memory.oom.group", "1")?;
            // Where it is not controlled, all have the same share.
            let _ = if_there("io.weight", IO_WEIGHT);
        }
        Version::One => {
            fs::write(folder.join("memory.limit_in_bytes"), &bytes)?;
            if_there("memory.memsw.limit_in_bytes", &bytes)?;
            // Buffers of TCP and UDP are counted only where they have a limit. It makes connections slow and ends nobody, so
            // that the watch must come first.
            let slow = u64::saturating_mul(2, limit).to_string();
            if_there("memory.kmem.tcp.limit_in_bytes", &slow)?;
        }
    }
    Ok(())
}

/// Signals all in `folder` but those in `spare`, and says how many there were. This process is never among them.
pub(super) fn kill_all(folder: &Path, spare: &[Pid]) -> usize {
    let members = members(folder);
    let doomed = members.into_iter().filter(|pid| *pid != getpid() && !spare.contains(pid));
    if spare.is_empty() && fs::write(folder.join("cgroup.kill"), "1").is_ok() {
        return doomed.count();
    }
    doomed
        .map(|pid| {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::KILL);
        })
        .count()
}

/// Those outside of this process's namespace are shown as 0 there.
fn members(folder: &Path) -> Vec<Pid> {
    let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok().and_then(Pid::from_raw)).collect()
}

/// The number behind `name` in a file of names and numbers.
fn count(file: &Path, name: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    found.unwrap_or(0)
}
