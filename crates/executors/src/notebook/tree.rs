//! The processes of one notebook: what they use, and how they end.
//!
//! The driver makes itself the parent of whatever its descendants leave behind, and lives until it
//! is killed, so that each of them is found by its parents, sessions of their own or not. Should the
//! driver be gone all the same, they are found by a mark in their environment, by their sessions, and
//! by having been seen before. A fork bomb is faster than a list of it: all are stopped first, in
//! rounds, each of which meets fewer, and killed when a round meets no new one.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, setpriority_process, waitpid};

use super::limits::{Group, RunUser};
use super::processes::{self, Process, Unbacked};

/// What a notebook's processes use together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// How many there are, the driver and the kernel included.
    pub(super) processes: usize,
    /// How many threads they have; 0 where a cgroup holds that.
    pub(super) threads: u64,
    /// Their memory in bytes; 0 where a cgroup holds it.
    pub(super) memory: u64,
    /// How often a cgroup refused them a new process or thread.
    pub(super) refused_forks: u64,
    /// How many of them were killed because their cgroup's memory was used up.
    pub(super) oom_kills: u64,
}

/// The processes of one notebook.
#[derive(Debug)]
pub(super) struct Tree {
    driver: i32,
    /// NAME=value, in the environment of each process that has not cleared it.
    mark: String,
    /// Members, by id, with the time when they began.
    seen: HashMap<i32, u64>,
    /// Where the kernel counts them.
    group: Option<Group>,
    /// Whose they are, if nobody else is.
    user: Option<RunUser>,
    /// Whether all others end with the driver: it is the first process of their namespace.
    ends_with_driver: bool,
    /// Whether nobody else is in its network namespace.
    own_network: bool,
    /// The most memory that any look has found.
    pub(super) peak_memory: u64,
    /// What a look has found that was over a limit.
    pub(super) too_much: Option<Usage>,
}

/// Whom `end` leaves alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spare {
    /// Nobody.
    Nobody,
    /// The driver, so that it can tell what it knows.
    Driver,
}

/// A round of signals waits this long for the next.
const ROUND: Duration = Duration::from_millis(5);

impl Tree {
    /// The tree that grows from the process `driver`.
    pub(super) fn new(driver: i32, mark: String, group: Option<Group>, user: Option<RunUser>) -> Tree {
        let seen = processes::read(driver).map(|process| (driver, process.began)).into_iter().collect();
        let ends_with_driver = processes::leads_namespace(driver);
        let own_network = processes::has_own_network(driver);
        Tree {
            driver,
            mark,
            seen,
            group,
            user,
            ends_with_driver,
            own_network,
            peak_memory: 0,
            too_much: None,
        }
    }

    /// What the tree uses now. Memory is exact only where the sum that counts shared pages more than
    /// once is over `memory_limit`; it is left out where there are more than `processes_limit` processes, since
    /// to look at each takes long then.
    pub(super) fn usage(&mut self, memory_limit: u64, processes_limit: usize) -> Usage {
        let counts = self.group.as_ref().map(Group::counts).unwrap_or_default();
        let (refused_forks, oom_kills) = (counts.refused_forks, counts.oom_kills);
        let uncounted = |tree: &Tree| tree.netlink_buffers(memory_limit) + counts.socket_buffers;
        if self.group.as_ref().is_some_and(Group::counts_memory) {
            let processes = counts.processes;
            return Usage { processes, threads: 0, memory: uncounted(self), refused_forks, oom_kills };
        }
        let too_many = |tree: &Tree| {
            let processes = match &tree.user {
                _ if tree.ends_with_driver => processes::count_in_namespace(tree.driver),
                Some(user) => processes::count_of_user(user.user),
                None => 0,
            };
            (processes > processes_limit).then_some(Usage { processes, ..Usage::default() })
        };
        if let Some(usage) = too_many(self) {
            return usage;
        }
        let members = self.members();
        if members.len() > processes_limit {
            return Usage { processes: members.len(), ..Usage::default() };
        }
        let in_folder = processes::own_shared_folder(self.driver);
        let uncounted = uncounted(self);
        let rough = |process: &Process| processes::unbacked_memory(process.pid).unwrap_or_default();
        let mut found: Unbacked = members.iter().map(rough).sum();
        let anonymous = if found.mapped > memory_limit {
            // A fork bomb makes each look wait for its turn, and grows meanwhile.
            let pids = members.iter().map(|process| process.pid).take_while(|_| too_many(self).is_none());
            processes::shared_anonymous_memory(pids)
        } else {
            0
        };
        // What is in that folder and mapped is in both.
        let all = |found: Unbacked| found.own + found.shared.max(in_folder + anonymous) + uncounted;
        if let Some(usage) = too_many(self) {
            return usage;
        }
        if all(found) > memory_limit {
            let mut exact = Vec::new();
            for process in &members {
                // A fork bomb makes each wait for its turn, and grows meanwhile.
                if let Some(usage) = too_many(self) {
                    return usage;
                }
                exact.push(processes::proportional_memory(process.pid).unwrap_or_else(|| rough(process)));
            }
            found = exact.into_iter().sum();
        }
        let memory = all(found);
        self.seen.retain(|pid, _| *pid == self.driver);
        self.seen.extend(members.iter().map(|process| (process.pid, process.began)));
        self.peak_memory = self.peak_memory.max(memory);
        let threads = members.iter().map(|process| process.threads).sum();
        Usage { processes: members.len().max(counts.processes), threads, memory, refused_forks, oom_kills }
    }

    /// What the kernel holds of messages to the tree that nobody has read, in bytes: no cgroup counts them. In a network of
    /// others they are looked for only where there are more than `limit` in all.
    fn netlink_buffers(&self, limit: u64) -> u64 {
        let found = processes::netlink_buffers(self.driver);
        let all = found.values().sum();
        if self.own_network || all <= limit {
            return if self.own_network { all } else { 0 };
        }
        let sockets: HashSet<u64> = self.processes().into_iter().flat_map(processes::sockets).collect();
        sockets.iter().filter_map(|socket| found.get(socket)).sum()
    }

    /// The ids of all members.
    pub(super) fn processes(&self) -> Vec<i32> {
        match &self.group {
            Some(group) => group.processes(),
            None => self.members().iter().map(|process| process.pid).collect(),
        }
    }

    /// Members in whatever order they stand in the list of processes.
    fn members(&self) -> Vec<Process> {
        let mut others: Vec<Process> = processes::all().collect();
        let mut family = Family::of(self);
        let mut members = Vec::new();
        loop {
            let (found, rest): (Vec<_>, Vec<_>) = others.into_iter().partition(|other| family.takes(other));
            if found.is_empty() {
                return members;
            }
            members.extend(found);
            others = rest;
        }
    }

    /// Whether only the driver's end is sure to be quicker than a fork bomb.
    pub(super) fn is_faster_without_driver(&self) -> bool {
        (self.ends_with_driver || self.user.is_some()) && self.group.is_none()
    }

    /// Kills the tree. False: some of it could not be killed within `patience`.
    pub(super) fn end(&mut self, spare: Spare, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        if let Some(group) = &self.group {
            let spared = (spare == Spare::Driver).then(|| Pid::from_raw(self.driver)).flatten();
            group.kill(spared.as_slice(), patience);
        }
        if spare == Spare::Nobody {
            self.end_at_once();
        }
        loop {
            while self.signal(Signal::STOP, spare).new > 0 && Instant::now() < until {}
            if self.signal(Signal::KILL, spare).alive == 0 && self.is_over(spare) {
                self.reap_adopted();
                if spare == Spare::Nobody {
                    if let Some(user) = self.user.take() {
                        user.remove_shared_memory();
                    }
                    self.group = None;
                }
                return true;
            }
            if Instant::now() >= until {
                return false;
            }
            std::thread::sleep(ROUND);
        }
    }

    /// Kills the driver, and with it all in its namespace, or all of its user.
    pub(super) fn end_at_once(&self) {
        let driver = Pid::from_raw(self.driver).filter(|_| self.ends_with_driver && self.driver_lives());
        if let Some(pid) = driver {
            // To die takes time of a processor, too. Only root may give more.
            let _ = setpriority_process(Some(pid), -20);
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::KILL);
        }
        if let (Some(user), false) = (&self.user, self.ends_with_driver) {
            user.kill_all();
        }
    }

    /// One round through all processes: each member gets the signal as soon as it is met.
    fn signal(&mut self, signal: Signal, spare: Spare) -> Round {
        let mut round = Round::default();
        let mut family = Family::of(self);
        let orphaned = !self.driver_lives();
        for process in processes::all() {
            let marked = || orphaned && processes::has_in_environment(process.pid, &self.mark);
            if !family.takes(&process) && (family.is_foreign(&process) || !marked()) {
                continue;
            }
            family.add(&process);
            if !self.is_alive(&process, spare) {
                continue;
            }
            round.alive += 1;
            if signal == Signal::STOP && process.stopped {
                continue;
            }
            round.new += 1;
            if let Some(pid) = Pid::from_raw(process.pid) {
                // It may have ended by itself.
                let _ = kill_process(pid, signal);
            }
        }
        self.seen = family.known;
        round
    }

    fn is_over(&mut self, spare: Spare) -> bool {
        let members = self.members();
        self.seen.extend(members.iter().map(|process| (process.pid, process.began)));
        !members.iter().any(|process| self.is_alive(process, spare))
    }

    /// Whether the driver has not ended.
    pub(super) fn driver_lives(&self) -> bool {
        let began = self.seen.get(&self.driver);
        processes::read(self.driver).is_some_and(|driver| !driver.zombie && Some(&driver.began) == began)
    }

    fn is_alive(&self, process: &Process, spare: Spare) -> bool {
        !process.zombie && (spare == Spare::Nobody || process.pid != self.driver)
    }

    /// Buries members whose parent this process became, as the first process of a container does.
    /// The driver is not among them: whoever started it waits for it.
    fn reap_adopted(&self) {
        for (&pid, &began) in &self.seen {
            let ours = |process: &Process| {
                process.zombie && process.began == began && process.parent == getpid().as_raw_pid()
            };
            if pid != self.driver && processes::read(pid).as_ref().is_some_and(ours) {
                let _ = waitpid(Pid::from_raw(pid), WaitOptions::NOHANG);
            }
        }
    }
}

/// What a round of signals met.
#[derive(Clone, Copy, Default)]
struct Round {
    alive: usize,
    /// Those that got the signal.
    new: usize,
}

/// Who is known to belong, while the list of all processes is gone through.
struct Family {
    known: HashMap<i32, u64>,
    /// Members met on the way.
    pids: HashSet<i32>,
    /// Their sessions.
    sessions: HashSet<i32>,
    own: i32,
    own_session: i32,
}

/// What a process in a container has for its session where the session's leader is outside.
const SESSION_OUTSIDE: i32 = 0;

impl Family {
    fn of(tree: &Tree) -> Family {
        let own = getpid().as_raw_pid();
        Family {
            known: tree.seen.clone(),
            pids: HashSet::new(),
            sessions: HashSet::new(),
            own,
            own_session: processes::read(own).map_or(SESSION_OUTSIDE, |process| process.session),
        }
    }

    /// Whether the process is a member by what is known so far; then its children are, too.
    fn takes(&mut self, process: &Process) -> bool {
        let belongs = !self.is_foreign(process)
            && (self.known.get(&process.pid) == Some(&process.began)
                || self.pids.contains(&process.parent)
                || self.sessions.contains(&process.session));
        if belongs {
            self.add(process);
        }
        belongs
    }

    /// This process and the system's first are never members.
    fn is_foreign(&self, process: &Process) -> bool {
        process.pid == self.own || process.pid == 1
    }

    fn add(&mut self, process: &Process) {
        self.known.insert(process.pid, process.began);
        self.pids.insert(process.pid);
        // The driver has a group of its own, but shares the worker's session.
        if process.session != self.own_session && process.session != SESSION_OUTSIDE {
            self.sessions.insert(process.session);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    /// As in a container whose processes were started from outside: all of them have session 0.
    #[test]
    fn nobody_belongs_for_a_session_whose_leader_is_outside() {
        let process = |pid, parent, session| Process {
            pid,
            parent,
            session,
            zombie: false,
            stopped: false,
            began: 1,
            threads: 1,
        };
        let tree = Tree {
            driver: 100,
            mark: String::new(),
            seen: HashMap::from([(100, 1)]),
            group: None,
            user: None,
            ends_with_driver: false,
            own_network: false,
            peak_memory: 0,
            too_much: None,
        };
        for own_session in [SESSION_OUTSIDE, 50] {
            let mut family = Family { own: 99, own_session, ..Family::of(&tree) };
            assert!(family.takes(&process(100, 99, SESSION_OUTSIDE)), "the driver");
            assert!(family.takes(&process(101, 100, 101)), "its child, in a session of its own");
            assert!(family.takes(&process(102, 1, 101)), "what was left in that session");
            assert!(!family.takes(&process(98, 1, SESSION_OUTSIDE)), "a neighbour");
            assert!(!family.takes(&process(97, 1, 50)), "a neighbour");
        }
    }

    fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
        let until = Instant::now() + Duration::from_secs(20);
        while !holds() {
            assert!(Instant::now() < until, "never: {what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn finds_and_kills_what_left_the_session_and_ignores_signals() {
        let mark = format!("ISOCHRONE_TREE={}-{}", std::process::id(), "a");
        let (name, value) = mark.split_once('=').unwrap();
        let mut driver = Command::new("sh")
            .args([
                "-c",
                "trap '' TERM HUP; (setsid sh -c 'trap \"\" TERM; sleep 1000; sleep 1000' &) ; sleep 1000",
            ])
            .env(name, value)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let mut tree = Tree::new(i32::try_from(driver.id()).unwrap(), mark.clone(), None, None);
        let marked = || {
            processes::all()
                .filter(|process| !process.zombie && processes::has_in_environment(process.pid, &mark))
                .count()
        };
        wait_for("shell, its sleep, the escaped shell and its sleep", || marked() >= 4);
        assert!(tree.usage(u64::MAX, usize::MAX).memory > 0);
        assert!(tree.end(Spare::Nobody, Duration::from_secs(5)));
        driver.wait().unwrap();
        assert_eq!(marked(), 0);
    }
}
