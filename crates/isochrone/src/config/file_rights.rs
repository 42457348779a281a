//! Who may read a file that holds a secret.

use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What is wrong with a file's rights, with its mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rights {
    /// Everybody on the machine may read or change it.
    Everybody(u32),
    /// Its group may read or change it.
    Group(u32),
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rights::Everybody(mode) => write!(f, "everybody on this machine may read it (mode {mode:04o})"),
            Rights::Group(mode) => write!(f, "its group may read it (mode {mode:04o})"),
        }
    }
}

/// Where container runtimes and systemd put secrets for one process alone: their rights are not its owner's choice.
const HANDED_OVER: [&str; 3] = ["/run/secrets", "/var/run/secrets", "/run/credentials"];

/// What is wrong with the rights of a file that holds a secret. One of root's that a group may read was made for this
/// process, if that is not root's.
pub(crate) fn of(file: &Path) -> io::Result<Option<Rights>> {
    if HANDED_OVER.iter().any(|folder| file.starts_with(folder)) {
        return Ok(None);
    }
    let about = std::fs::metadata(file)?;
    let mode = about.mode() & 0o7777;
    let made_for_us = about.uid() == 0 && !rustix::process::geteuid().is_root() && mode & 0o020 == 0;
    Ok(match mode {
        _ if mode & 0o007 != 0 => Some(Rights::Everybody(mode)),
        _ if mode & 0o070 != 0 && !made_for_us => Some(Rights::Group(mode)),
        _ => None,
    })
}
