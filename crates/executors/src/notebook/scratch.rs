//! The folder of one attempt: everything that its notebook sees and leaves is in it, and goes with it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// An attempt's folder; removed when dropped.
#[derive(Debug)]
pub(super) struct Scratch {
    folder: TempDir,
    /// Held as long as the folder is in use: `sweep` leaves locked ones alone.
    _lock: File,
}

impl Scratch {
    /// A new folder below `parent`, readable by its owner only.
    pub(super) fn new(parent: &Path) -> io::Result<Scratch> {
        fs::create_dir_all(parent)?;
        let folder = tempfile::Builder::new().prefix("run-").tempdir_in(parent)?;
        let lock = File::create(folder.path().join("lock"))?;
        lock.lock()?;
        let scratch = Scratch { folder, _lock: lock };
        for inner in [scratch.home(), scratch.work(), scratch.temporary(), scratch.runtime()] {
            fs::create_dir(inner)?;
        }
        Ok(scratch)
    }

    pub(super) fn home(&self) -> PathBuf {
        self.path("home")
    }

    /// Where the notebook's cells begin.
    pub(super) fn work(&self) -> PathBuf {
        self.path("work")
    }

    pub(super) fn temporary(&self) -> PathBuf {
        self.path("tmp")
    }

    /// For Jupyter's connection file and the kernel's sockets.
    pub(super) fn runtime(&self) -> PathBuf {
        self.path("runtime")
    }

    /// Where `GIS("home")` leads; not there where it leads nowhere.
    pub(super) fn auth_file(&self) -> PathBuf {
        self.path("nb_auth.json")
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Removes what workers that died have left below `parent`.
pub(super) fn sweep(parent: &Path) {
    for folder in fs::read_dir(parent).into_iter().flatten().flatten().map(|entry| entry.path()) {
        let Ok(lock) = File::open(folder.join("lock")) else { continue };
        if lock.try_lock().is_ok()
            && let Err(error) = fs::remove_dir_all(&folder)
        {
            tracing::warn!(folder = %folder.display(), %error, "a dead run's folder can't be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sweeps_the_dead_and_spares_the_living() {
        let parent = tempfile::tempdir().unwrap();
        let living = Scratch::new(parent.path()).unwrap();
        let dead = Scratch::new(parent.path()).unwrap();
        let dead_folder = dead.path("");
        let Scratch { folder, _lock: lock } = dead;
        drop(lock);
        std::mem::forget(folder);
        sweep(parent.path());
        assert!(!dead_folder.exists());
        assert!(living.work().is_dir());
        let folder = living.path("");
        drop(living);
        assert!(!folder.exists());
    }
}
