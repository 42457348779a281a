//! The machine's processes, as /proc tells them.

use std::collections::HashMap;
use std::fs;
use std::iter::Sum;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// A process, or what is left of one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Process {
    pub(super) pid: i32,
    pub(super) parent: i32,
    pub(super) session: i32,
    /// Dead, and not yet reaped by its parent.
    pub(super) zombie: bool,
    /// Stopped by a signal.
    pub(super) stopped: bool,
    /// When it began, in the kernel's ticks: tells it from a later process with the same id.
    pub(super) began: u64,
    pub(super) threads: u64,
}

/// All processes by rising id. Each is read when the iterator comes to it, so that those started
/// meanwhile are seen, too.
pub(super) fn all() -> impl Iterator<Item = Process> {
    ids().filter_map(read)
}

fn ids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// One process, if it is there.
pub(super) fn read(pid: i32) -> Option<Process> {
    parse(pid, &fs::read_to_string(file(pid, "stat")).ok()?)
}

/// The fields of proc(5); the command's name, second, may hold blanks and parentheses.
fn parse(pid: i32, stat: &str) -> Option<Process> {
    let after_name = &stat[stat.rfind(')')? + 1..];
    let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
    let state = *fields.first()?;
    Some(Process {
        pid,
        parent: fields.get(1)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        zombie: matches!(state, "Z" | "X"),
        stopped: matches!(state, "T" | "t"),
        began: fields.get(19)?.parse().ok()?,
        threads: fields.get(17)?.parse().ok()?,
    })
}

/// How many threads the user has that this process runs as.
pub(super) fn threads_of_this_user() -> u64 {
    let user = rustix::process::geteuid().as_raw();
    let own = |pid: &i32| fs::metadata(file(*pid, "stat")).is_ok_and(|found| found.uid() == user);
    ids()
        .filter(own)
        .filter_map(|pid| fs::read_dir(file(pid, "task")).ok())
        .map(|all| all.count() as u64)
        .sum()
}

/// How many processes run as this user, without a look at each.
pub(super) fn count_of_user(user: u32) -> usize {
    ids().filter(|pid| fs::metadata(file(*pid, "stat")).is_ok_and(|found| found.uid() == user)).count()
}

/// Whether a process runs as this user.
pub(super) fn user_has_any(user: u32) -> bool {
    // What is dead and not yet reaped does no harm.
    let alive = |pid: i32| read(pid).is_some_and(|process| !process.zombie);
    ids().any(|pid| fs::metadata(file(pid, "stat")).is_ok_and(|found| found.uid() == user) && alive(pid))
}

/// Whether it is the first process of a namespace, with which all others there end.
pub(super) fn leads_namespace(pid: i32) -> bool {
    let text = fs::read_to_string(file(pid, "status")).unwrap_or_default();
    let ids = text.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
    ids.split_ascii_whitespace().skip(1).last() == Some("1")
}

/// Whether it is in another network namespace than this process.
pub(super) fn has_own_network(pid: i32) -> bool {
    // Who is not root may not look at the driver's; what the kernel tells of its devices differs, too.
    let network = |folder: &str| {
        fs::metadata(Path::new("/proc").join(folder).join("net/netlink")).map(|found| found.ino())
    };
    matches!((network(&pid.to_string()), network("self")), (Ok(theirs), Ok(ours)) if theirs != ours)
}

/// How many processes are in the namespace whose first process this is, as that itself would see it. Quick however many there
/// are, since none of them is looked at.
pub(super) fn count_in_namespace(first: i32) -> usize {
    let entries = fs::read_dir(file(first, "root/proc")).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit)).count()
}

/// Whether the process was started with this in its environment.
pub(super) fn has_in_environment(pid: i32, entry: &str) -> bool {
    fs::read(file(pid, "environ"))
        .is_ok_and(|variables| variables.split(|byte| *byte == 0).any(|found| found == entry.as_bytes()))
}

/// Memory that no file on the disk backs, in bytes: what is only kept from the disk goes when others need it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Unbacked {
    /// A process's own.
    pub(super) own: u64,
    /// Which others may have, too: anonymous or in a file system that is in memory.
    pub(super) shared: u64,
    /// Addresses that have a meaning, whether there is memory or not.
    pub(super) mapped: u64,
}

impl Sum for Unbacked {
    fn sum<I: Iterator<Item = Unbacked>>(all: I) -> Unbacked {
        all.fold(Unbacked::default(), |sum, one| Unbacked {
            own: sum.own + one.own,
            shared: sum.shared + one.shared,
            mapped: sum.mapped + one.mapped,
        })
    }
}

/// What a process has. Pages that several processes share count for each.
pub(super) fn unbacked_memory(pid: i32) -> Option<Unbacked> {
    let text = fs::read_to_string(file(pid, "status")).ok()?;
    let own = kib(&text, "RssAnon:")? + kib(&text, "VmSwap:").unwrap_or(0) + page_tables(&text);
    Some(Unbacked { own, shared: kib(&text, "RssShmem:")?, mapped: kib(&text, "VmSize:").unwrap_or(0) })
}

/// To map much and have nothing there takes memory, too.
fn page_tables(status: &str) -> u64 {
    kib(status, "VmPTE:").unwrap_or(0)
}

/// The same with shared pages counted in parts; slow for large processes, and not on Linux before 5.4.
pub(super) fn proportional_memory(pid: i32) -> Option<Unbacked> {
    let text = fs::read_to_string(file(pid, "smaps_rollup")).ok()?;
    let status = fs::read_to_string(file(pid, "status")).ok()?;
    let own = kib(&text, "Pss_Anon:")? + kib(&text, "SwapPss:").unwrap_or(0) + page_tables(&status);
    let mapped = kib(&status, "VmSize:").unwrap_or(0);
    Some(Unbacked { own, shared: kib(&text, "Pss_Shmem:")?, mapped })
}

/// Anonymous memory that processes share, in bytes: it is there even where none of them has it mapped in
/// (MADV_DONTNEED). Only root may see how much there is of it; for others it is as large as it may become.
pub(super) fn shared_anonymous_memory(pids: impl Iterator<Item = i32>) -> u64 {
    let mut found: HashMap<u64, u64> = HashMap::new();
    for pid in pids {
        let text = fs::read_to_string(file(pid, "maps")).unwrap_or_default();
        for (inode, range, size) in text.lines().filter_map(shared_anonymous_mapping) {
            let bytes = fs::metadata(file(pid, "map_files").join(range)).map(|found| found.blocks() * BLOCK);
            let known = found.entry(inode).or_default();
            *known = bytes.unwrap_or(size).max(*known);
        }
    }
    found.into_values().sum()
}

/// The unit of `st_blocks` (stat(3type)).
const BLOCK: u64 = 512;

/// The memory's inode, the range of addresses and its size, of a line of proc_pid_maps(5).
fn shared_anonymous_mapping(line: &str) -> Option<(u64, &str, u64)> {
    let mut fields = line.strip_suffix("/dev/zero (deleted)")?.split_ascii_whitespace();
    let range = fields.next()?;
    let (first, end) = range.split_once('-')?;
    let address = |text| u64::from_str_radix(text, 16).ok();
    Some((fields.nth(3)?.parse().ok()?, range, address(end)?.checked_sub(address(first)?)?))
}

/// What sockets in a process's network namespace hold of messages from the kernel that nobody has read, in bytes, by the
/// sockets' inodes.
pub(super) fn netlink_buffers(pid: i32) -> HashMap<u64, u64> {
    let text = fs::read_to_string(file(pid, "net/netlink")).unwrap_or_default();
    let read = |line: &str| {
        // sk Eth Pid Groups Rmem Wmem Dump Locks Drops Inode
        let mut fields = line.split_ascii_whitespace().skip(4);
        let bytes = fields.next()?.parse().ok()?;
        Some((fields.last()?.parse().ok()?, bytes))
    };
    text.lines().filter_map(read).collect()
}

/// The inodes of the sockets that a process has open.
pub(super) fn sockets(pid: i32) -> Vec<u64> {
    let open = fs::read_dir(file(pid, "fd")).into_iter().flatten().flatten();
    // This looks at what is open, and opens nothing.
    let found = open.filter_map(|entry| fs::metadata(entry.path()).ok());
    found.filter(|found| found.file_type().is_socket()).map(|found| found.ino()).collect()
}

/// What the kernel has of a file in memory beside its content: inode and name.
const FILE: u64 = 1_024;

/// What is in a process's `/dev/shm`, in bytes, if that is not the one of this process.
pub(super) fn own_shared_folder(pid: i32) -> u64 {
    let folder = Path::new("/dev/shm");
    let theirs = file(pid, "root/dev/shm");
    let device = |path: &Path| fs::metadata(path).ok().map(|found| found.dev());
    match (device(&theirs), device(folder)) {
        (Some(device), ours) if Some(device) != ours => rustix::fs::statfs(&theirs).map_or(0, |found| {
            let blocks = found.f_blocks.saturating_sub(found.f_bfree);
            let files = found.f_files.saturating_sub(found.f_ffree);
            blocks.saturating_mul(u64::try_from(found.f_bsize).unwrap_or(0)) + files.saturating_mul(FILE)
        }),
        _ => 0,
    }
}

/// A number of KiB behind a name, in bytes.
fn kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let number: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(number * 1_024)
}

fn file(pid: i32, name: &str) -> PathBuf {
    ["/proc", &pid.to_string(), name].iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_this_process_among_all() {
        let own = i32::try_from(std::process::id()).unwrap();
        let found = all().find(|process| process.pid == own).expect("it runs");
        assert!(!found.zombie && !found.stopped && found.threads > 0, "{found:?}");
        let roughly = unbacked_memory(own).expect("a process may read its own");
        let exact = proportional_memory(own).expect("a process may read its own");
        assert!(exact.own > 100_000 && exact.own < 2 * roughly.own, "{exact:?} {roughly:?}");
    }

    #[test]
    fn a_name_may_hold_anything() {
        let stat = "42 (a) R 7 (b)) Z 3 42 9 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 777 0 5 0";
        let process = parse(42, stat).unwrap();
        assert!(process.zombie);
        assert_eq!((process.parent, process.session, process.began), (3, 9, 777));
    }

    #[test]
    fn shared_anonymous_memory_is_found_among_mappings() {
        let line =
            "7f0000000000-7f0000200000 rw-s 00000000 00:01 4242                       /dev/zero (deleted)";
        let range = "7f0000000000-7f0000200000";
        assert_eq!(shared_anonymous_mapping(line), Some((4242, range, 2 << 20)));
        for other in
            ["7f00-7f10 rw-p 00000000 00:00 0 ", "7f00-7f10 r--p 00000000 08:01 7 /usr/lib/libc.so.6", ""]
        {
            assert_eq!(shared_anonymous_mapping(other), None);
        }
    }
}
