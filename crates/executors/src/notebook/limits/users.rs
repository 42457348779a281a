//! A user for each run in progress, where the worker is root and has no cgroups to give: then the operating
//! system's limit on processes holds, and one signal ends all of a run.

use std::collections::HashSet;
use std::fmt;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr;

use rustix::thread::{CapabilitySet, capabilities};
use serde::{Deserialize, Serialize};

use super::super::processes;
use crate::untrusted::{self, UntrustedDir};

/// Several workers share a machine's users: who holds a file's lock here has its user.
const LOCKS: &str = "/run/isochrone-users";

/// Below are the system's own.
const FIRST_POSSIBLE: u32 = 1_000;

/// Some are nobody's (`nobody`, and "no change" in system calls).
const IMPOSSIBLE: [u32; 3] = [65_534, 65_535, u32::MAX];

/// Numbers of users, from the first to the last: `200000-200063`. They must be nobody's. Empty: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserRange(Option<(u32, u32)>);

/// Why a text is no range of users.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected the first and the last of a range of unused user numbers from 1000 on, as 200000-200063")]
pub struct NoUserRange;

impl FromStr for UserRange {
    type Err = NoUserRange;

    fn from_str(text: &str) -> Result<UserRange, NoUserRange> {
        if text.trim().is_empty() {
            return Ok(UserRange(None));
        }
        let (first, last) = text.split_once('-').ok_or(NoUserRange)?;
        let number = |text: &str| text.trim().parse::<u32>().map_err(|_| NoUserRange);
        let (first, last) = (number(first)?, number(last)?);
        let possible = first >= FIRST_POSSIBLE && first <= last;
        let special = IMPOSSIBLE.iter().any(|user| (first..=last).contains(user));
        if possible && !special { Ok(UserRange(Some((first, last)))) } else { Err(NoUserRange) }
    }
}

impl TryFrom<String> for UserRange {
    type Error = NoUserRange;

    fn try_from(text: String) -> Result<UserRange, NoUserRange> {
        text.parse()
    }
}

impl fmt::Display for UserRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |(first, last)| write!(f, "{first}-{last}"))
    }
}

impl From<UserRange> for String {
    fn from(range: UserRange) -> String {
        range.to_string()
    }
}

/// The users that runs may have.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Users {
    first: u32,
    last: u32,
    group: Option<u32>,
}

/// One run's user. Free again when dropped.
#[derive(Debug)]
pub(in super::super) struct RunUser {
    pub(in super::super) user: u32,
    pub(in super::super) group: u32,
    _lock: File,
}

impl Users {
    /// Those of the configuration, where this process can become them.
    pub(in super::super) fn find(range: UserRange, group: Option<u32>) -> Option<Users> {
        let (first, last) = range.0?;
        let needed =
            CapabilitySet::SETUID | CapabilitySet::SETGID | CapabilitySet::CHOWN | CapabilitySet::KILL;
        let able = capabilities(None).is_ok_and(|own| own.effective.contains(needed));
        (able && rustix::process::geteuid().is_root()).then_some(Users { first, last, group })
    }

    /// One that nobody has.
    pub(in super::super) fn take(&self) -> io::Result<RunUser> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(LOCKS)?;
        let named = users_with_names();
        for user in (self.first..=self.last).filter(|user| !named.contains(user)) {
            let lock = File::create(Path::new(LOCKS).join(user.to_string()))?;
            // What another program runs as this user is not ours to end.
            if lock.try_lock().is_ok() && !processes::user_has_any(user) {
                return Ok(RunUser { user, group: self.group.unwrap_or(user), _lock: lock });
            }
        }
        let Users { first, last, .. } = self;
        Err(io::Error::other(format!("all users of [notebook] uids = \"{first}-{last}\" are in use")))
    }
}

impl RunUser {
    /// Gives it what was made for the run: a folder to read, and one to write in. Nobody else must be able to
    /// write there yet.
    pub(in super::super) fn hand_over(&self, readable: &Path, writable: &Path) -> io::Result<()> {
        self.own_all(readable)?;
        self.own_all(writable)
    }

    fn own_all(&self, path: &Path) -> io::Result<()> {
        let found = fs::symlink_metadata(path)?;
        if found.is_dir() {
            for entry in fs::read_dir(path)? {
                self.own_all(&entry?.path())?;
            }
        }
        chown(path, Some(self.user), Some(self.group))
    }

    /// Those of these paths that it can't read, can't write, or can't pass through.
    pub(in super::super) fn out_of_reach(
        &self,
        readable: &[PathBuf],
        writable: &[PathBuf],
        passed: &[PathBuf],
    ) -> Vec<String> {
        let failing = |test: &str, paths: &[PathBuf]| {
            let script = format!("for path; do test {test} \"$path\" || printf '%s\\n' \"$path\"; done");
            let output = self.command("sh").args(["-c", &script, "sh"]).args(paths).output();
            let text = output.map_or_else(
                |error| error.to_string(),
                |found| String::from_utf8_lossy(&found.stdout).into_owned(),
            );
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        };
        [failing("-r", readable), failing("-w", writable), failing("-x", passed)].concat()
    }

    /// Sets limits of one of its processes, by their names in prlimit(1).
    pub(super) fn set_limits(&self, pid: i32, limits: &[(&str, u64)]) -> io::Result<()> {
        let limits = limits.iter().map(|(name, limit)| format!("--{name}={limit}:{limit}"));
        let status = self.command("prlimit").arg("--pid").arg(pid.to_string()).args(limits).status()?;
        if status.success() { Ok(()) } else { Err(io::Error::other(format!("prlimit: {status}"))) }
    }

    /// Kills all of its processes at once, whatever they do meanwhile.
    pub(in super::super) fn kill_all(&self) {
        // To signal everybody means: everybody that this user may signal.
        let done = self.command("sh").args(["-c", "kill -s KILL -- -1"]).status();
        if let Err(error) = done {
            tracing::error!(user = self.user, %error, "a run's processes can't be killed by their user");
        }
    }

    /// Removes what it has left in the machine's shared memory, which would be nobody's.
    pub(in super::super) fn remove_shared_memory(&self) {
        let Ok(folder) = UntrustedDir::open(Path::new("/dev/shm")) else { return };
        let Ok(names) = folder.names() else { return };
        for name in names.map_while(Result::ok) {
            if folder.stat(&name).is_ok_and(|found| found.st_uid == self.user)
                && let Err(error) = untrusted::remove(&folder, &name)
            {
                tracing::warn!(user = self.user, %error, "a run's shared memory can't be removed");
            }
        }
    }

    fn command(&self, program: &str) -> Command {
        use std::os::unix::process::CommandExt;
        let mut command = Command::new(program);
        // Without a list of groups it has none but its own.
        command.uid(self.user).gid(self.group).current_dir("/").stdin(Stdio::null()).stderr(Stdio::null());
        command
    }
}

/// Lets others pass through a folder of the worker's, without seeing what is in it.
pub(in super::super) fn let_pass(folder: &Path) {
    let Ok(found) = fs::metadata(folder) else { return };
    let own = found.uid() == rustix::process::geteuid().as_raw();
    if own && found.mode() & 0o011 != 0o011 {
        // Where that is refused, the check of what the user can reach says so.
        let _ = fs::set_permissions(folder, Permissions::from_mode(found.mode() & 0o7777 | 0o011));
    }
}

fn users_with_names() -> HashSet<u32> {
    let text = fs::read_to_string("/etc/passwd").unwrap_or_default();
    text.lines().filter_map(|line| line.split(':').nth(2)?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_users_is_read_and_written() {
        let read = |text: &str| text.parse::<UserRange>();
        assert_eq!(read("200000-200063"), Ok(UserRange(Some((200_000, 200_063)))));
        assert_eq!(read(""), Ok(UserRange(None)));
        assert_eq!(read("200000-200063").unwrap().to_string(), "200000-200063");
        for wrong in ["0-10", "999-2000", "2000-1000", "200000", "a-b", "65000-66000", "-1-5", "1-2-3"] {
            assert_eq!(read(wrong), Err(NoUserRange), "{wrong}");
        }
    }
}
