//! Which limits are real here. There is a row for each in docs/notebook-limits.md.

use std::fmt;

use super::super::isolation::Tier;

/// What a limit is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limited {
    /// Memory of the processes' own.
    Memory,
    /// Memory that is a file: memfd, `/dev/shm`, segments of System V.
    SharedMemory,
    /// Memory that the operating system holds for the processes: buffers of sockets and pipes.
    KernelMemory,
    /// Processes and their threads.
    Processes,
    /// Files on the disk.
    Disk,
}

impl fmt::Display for Limited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Limited::Memory => "memory",
            Limited::SharedMemory => "shared memory",
            Limited::KernelMemory => "buffers of sockets and pipes",
            Limited::Processes => "processes",
            Limited::Disk => "disk",
        })
    }
}

/// Whether a limit holds here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// What it is on.
    pub on: Limited,
    /// What holds it, or why nothing does; for people.
    pub by: Result<&'static str, &'static str>,
}

/// What there is to hold limits with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Means {
    pub(super) tier: Tier,
    /// A cgroup's controllers, by the version of cgroups that has them.
    pub(super) cgroup_pids: Option<&'static str>,
    pub(super) cgroup_memory: Option<&'static str>,
    /// Each run has a user of its own.
    pub(super) own_user: bool,
    pub(super) root: bool,
}

/// Each limit, in the order in which people read them.
pub(super) fn held(means: &Means) -> Vec<Held> {
    let Means { tier, cgroup_pids, cgroup_memory, own_user, root } = *means;
    let bwrap = tier == Tier::Bwrap;
    let memory = cgroup_memory.unwrap_or("a look at its processes each 200 ms");
    let shared = match cgroup_memory {
        Some(cgroup) => Ok(cgroup),
        None if bwrap => Ok("a /dev/shm of its own; memfd and System V are refused"),
        None => Err("/dev/shm is the machine's"),
    };
    let kernel = cgroup_memory.ok_or("no cgroup counts them");
    let processes = match cgroup_pids {
        Some(cgroup) => Ok(cgroup),
        None if own_user => Ok("a user of its own"),
        None if bwrap => Ok("its namespace, which ends at once"),
        None if root => Err("a fork bomb is faster than a list of it, and root has no other limit"),
        None => Err("a fork bomb is faster than a list of it; the user's own limit ends it"),
    };
    let disk = match tier {
        Tier::Bwrap | Tier::Landlock => Ok("the sum of its files, taken again and again"),
        Tier::None if own_user => Ok("the sum of its files, taken again and again"),
        Tier::None => Err("without isolation it writes wherever the account may"),
    };
    [
        (Limited::Memory, Ok(memory)),
        (Limited::SharedMemory, shared),
        (Limited::KernelMemory, kernel),
        (Limited::Processes, processes),
        (Limited::Disk, disk),
    ]
    .map(|(on, by)| Held { on, by })
    .into()
}

/// The limits of notebooks here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitsFound {
    /// Each of them.
    pub limits: Vec<Held>,
    /// Why the worker can't give its runs cgroups, if it can't; for people.
    pub no_cgroup: Option<String>,
    /// What the cgroup that this process is in, or one around it, may have of memory, in bytes.
    pub memory_around: Option<u64>,
}

impl LimitsFound {
    /// The limits that do not hold, with why; none if all do.
    pub fn missing(&self) -> Option<String> {
        let missing = self.limits.iter().filter_map(|one| Some(format!("{} ({})", one.on, one.by.err()?)));
        let missing = missing.collect::<Vec<_>>().join(", ");
        (!missing.is_empty()).then_some(missing)
    }
}

impl fmt::Display for LimitsFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let holds = self.limits.iter().filter_map(|one| Some(format!("{} by {}", one.on, one.by.ok()?)));
        f.write_str(&holds.collect::<Vec<_>>().join(", "))?;
        match self.missing() {
            None => Ok(()),
            Some(missing) => write!(f, "; not held: {missing}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_holds_and_what_does_not() {
        let bare = Means {
            tier: Tier::Landlock,
            cgroup_pids: None,
            cgroup_memory: None,
            own_user: false,
            root: true,
        };
        let found = |means: &Means| LimitsFound { limits: held(means), no_cgroup: None, memory_around: None };
        let text = found(&bare).to_string();
        for part in ["shared memory (", "buffers of sockets and pipes (", "processes ("] {
            assert!(text.split_once("not held: ").unwrap().1.contains(part), "{text}");
        }
        let v2 = Some("cgroup v2");
        let all = found(&Means { cgroup_pids: v2, cgroup_memory: v2, ..bare });
        assert_eq!(all.missing(), None);
        assert!(all.to_string().contains("processes by cgroup v2"));
        let missing = found(&Means { tier: Tier::Bwrap, ..bare }).missing().unwrap();
        assert!(missing.contains("sockets") && !missing.contains("shared"), "{missing}");
    }
}
