//! The machine's processes, as /proc tells them.

use std::fs;
use std::iter::Sum;
use std::os::unix::fs::MetadataExt;
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
}

impl Sum for Unbacked {
    fn sum<I: Iterator<Item = Unbacked>>(all: I) -> Unbacked {
        all.fold(Unbacked::default(), |sum, one| Unbacked {
            own: sum.own + one.own,
            shared: sum.shared + one.shared,
        })
    }
}

/// What a process has. Pages that several processes share count for each.
pub(super) fn unbacked_memory(pid: i32) -> Option<Unbacked> {
    let text = fs::read_to_string(file(pid, "status")).ok()?;
    let own = kib(&text, "RssAnon:")? + kib(&text, "VmSwap:").unwrap_or(0);
    Some(Unbacked { own, shared: kib(&text, "RssShmem:")? })
}

/// The same with shared pages counted in parts; slow for large processes, and not on Linux before 5.4.
pub(super) fn proportional_memory(pid: i32) -> Option<Unbacked> {
    let text = fs::read_to_string(file(pid, "smaps_rollup")).ok()?;
    let own = kib(&text, "Pss_Anon:")? + kib(&text, "SwapPss:").unwrap_or(0);
    Some(Unbacked { own, shared: kib(&text, "Pss_Shmem:")? })
}

/// What is in a process's `/dev/shm`, in bytes, if that is not the one of this process.
pub(super) fn own_shared_folder(pid: i32) -> u64 {
    let folder = Path::new("/dev/shm");
    let theirs = file(pid, "root/dev/shm");
    let device = |path: &Path| fs::metadata(path).ok().map(|found| found.dev());
    match (device(&theirs), device(folder)) {
        (Some(device), ours) if Some(device) != ours => rustix::fs::statfs(&theirs).map_or(0, |found| {
            let blocks = found.f_blocks.saturating_sub(found.f_bfree);
            blocks.saturating_mul(u64::try_from(found.f_bsize).unwrap_or(0))
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
}
