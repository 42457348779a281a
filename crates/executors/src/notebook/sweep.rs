//! Removes the folders of attempts whose workers died.

use std::ffi::OsStr;
use std::fs::{File, TryLockError};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::scratch::{LOCK, PREFIX, remove_logged};
use crate::untrusted::UntrustedDir;

/// Before each sweep; there is a second one where something was left. What a dead worker's notebook started may live for
/// some seconds and go on writing.
const PAUSES: [Duration; 2] = [Duration::ZERO, Duration::from_secs(30)];

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Swept {
    pub(super) removed: u64,
    /// Folders that can't be removed, each logged with the reason.
    pub(super) left: u64,
}

/// Sweeps `parent` in a thread of its own: how much a dead run has left is not the worker's to say, and its start
/// does not wait.
pub(super) fn sweep_in_background(parent: PathBuf) {
    let sweep = move || {
        for pause in PAUSES {
            std::thread::sleep(pause);
            let Swept { removed, left } = sweep(&parent);
            if removed + left > 0 {
                tracing::info!(removed, left, "folders of dead runs are swept");
            }
            if left == 0 {
                break;
            }
        }
    };
    if let Err(error) = std::thread::Builder::new().name("notebook-sweep".to_owned()).spawn(sweep) {
        tracing::warn!(%error, "no thread to sweep the folders of dead runs");
    }
}

/// Removes what workers that died have left below `parent`.
pub(super) fn sweep(parent: &Path) -> Swept {
    let mut swept = Swept::default();
    let Ok(folder) = UntrustedDir::open(parent) else { return swept };
    let Ok(names) = folder.names() else { return swept };
    // All names first: those of runs that begin meanwhile are of no interest.
    let names: Vec<_> = names.map_while(Result::ok).collect();
    for name in names.iter().filter(|name| name.as_bytes().starts_with(PREFIX.as_bytes())) {
        let holder = Holder::of(&folder, name);
        if matches!(holder, Holder::Somebody) {
            continue;
        }
        if remove_logged(parent, name) { swept.removed += 1 } else { swept.left += 1 }
    }
    swept
}

/// Who has a folder.
enum Holder {
    Somebody,
    /// This sweep, by the folder's lock.
    Sweep {
        _lock: File,
    },
    /// Nobody can: it is not as a worker makes them. Where notebooks run unconfined they can put anything there.
    Nobody,
}

impl Holder {
    fn of(parent: &UntrustedDir, name: &OsStr) -> Holder {
        let Ok(folder) = parent.dir(name) else { return Holder::Nobody };
        // Where its worker died before it made one, or is about to, it is made here: then that one does not get the name.
        let Ok(lock) = folder.lock_file(OsStr::new(LOCK)) else { return Holder::Nobody };
        match lock.try_lock() {
            Ok(()) => Holder::Sweep { _lock: lock },
            Err(TryLockError::WouldBlock) => Holder::Somebody,
            Err(TryLockError::Error(error)) => {
                tracing::warn!(folder = ?name, %error, "a run's folder is left: its lock can't be tried");
                Holder::Somebody
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::scratch::Scratch;
    use super::*;

    #[test]
    fn sweeps_the_dead_and_spares_the_living() {
        let parent = tempfile::tempdir().unwrap();
        let living = Scratch::new(parent.path()).unwrap();
        let dead = parent.path().join("run-dead");
        std::fs::create_dir_all(dead.join("own/work")).unwrap();
        std::fs::write(dead.join(LOCK), "").unwrap();
        // Its worker died before it had a lock.
        std::fs::create_dir(parent.path().join("run-new")).unwrap();
        assert_eq!(sweep(parent.path()), Swept { removed: 2, left: 0 });
        assert!(!dead.exists());
        assert!(living.input().is_dir());
        assert_eq!(sweep(parent.path()), Swept::default());
    }
}
