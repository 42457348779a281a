//! The machine's processes, as /proc tells them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

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
    /// Its share of memory in bytes; pages that several processes share count for each.
    pub(super) resident: u64,
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
    let pages: u64 = fields.get(21)?.parse().ok()?;
    Some(Process {
        pid,
        parent: fields.get(1)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        zombie: matches!(state, "Z" | "X"),
        stopped: matches!(state, "T" | "t"),
        began: fields.get(19)?.parse().ok()?,
        resident: pages * rustix::param::page_size() as u64,
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

/// Whether the process was started with this in its environment.
pub(super) fn has_in_environment(pid: i32, entry: &str) -> bool {
    fs::read(file(pid, "environ"))
        .is_ok_and(|variables| variables.split(|byte| *byte == 0).any(|found| found == entry.as_bytes()))
}

/// Its memory in bytes with shared pages counted in parts; slow for large processes.
pub(super) fn proportional_memory(pid: i32) -> Option<u64> {
    let text = fs::read_to_string(file(pid, "smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
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
        assert!(!found.zombie && !found.stopped && found.resident > 100_000, "{found:?}");
        let exact = proportional_memory(own).expect("a process may read its own");
        assert!(exact > 100_000 && exact < 2 * found.resident, "{exact} {found:?}");
    }

    #[test]
    fn a_name_may_hold_anything() {
        let stat = "42 (a) R 7 (b)) Z 3 42 9 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 777 0 5 0";
        let process = parse(42, stat).unwrap();
        assert!(process.zombie);
        assert_eq!((process.parent, process.session, process.began), (3, 9, 777));
    }
}
