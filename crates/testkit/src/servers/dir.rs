//! A server's directory: gone with the server, or at the latest when the next test starts one.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

const PREFIX: &str = "isochrone-server-";
const LOCK: &str = "lock";

/// A directory. Dropped, it is removed.
pub(super) struct ServerDir {
    dir: TempDir,
    /// The system lets go of it when the test's process ends, however it ends.
    _lock: File,
}

impl ServerDir {
    /// A new one, after those are removed whose tests were killed or kept their servers to the very end.
    pub(super) fn new() -> Result<ServerDir> {
        remove_abandoned(&std::env::temp_dir());
        let dir = tempfile::Builder::new().prefix(PREFIX).tempdir().context("a server's directory")?;
        // Locked before it has its name: nobody finds it and takes it for abandoned.
        let unnamed = dir.path().join("new-lock");
        let lock = File::create(&unnamed)?;
        lock.lock()?;
        std::fs::rename(unnamed, dir.path().join(LOCK))?;
        Ok(ServerDir { dir, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// Removes the directories whose lock nobody holds.
fn remove_abandoned(parent: &Path) {
    let Ok(entries) = std::fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        // Of another user, or without a lock yet: not ours to remove.
        let Ok(lock) = File::options().write(true).open(entry.path().join(LOCK)) else { continue };
        if lock.try_lock().is_ok() {
            // Another test may be removing it as well.
            drop(std::fs::remove_dir_all(entry.path()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_abandoned_directory_is_removed_and_one_in_use_stays() {
        let parent = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let dir = parent.path().join(name);
            std::fs::create_dir(&dir).unwrap();
            dir
        };
        let (abandoned, used, unlocked, foreign) =
            (make("isochrone-server-1"), make("isochrone-server-2"), make("isochrone-server-3"), make("x"));
        File::create(abandoned.join(LOCK)).unwrap();
        File::create(foreign.join(LOCK)).unwrap();
        let lock = File::create(used.join(LOCK)).unwrap();
        lock.lock().unwrap();
        remove_abandoned(parent.path());
        let left = [&abandoned, &used, &unlocked, &foreign].map(|dir| dir.exists());
        assert_eq!(left, [false, true, true, true]);
    }
}
