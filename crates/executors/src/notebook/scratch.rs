//! The folder of one attempt. Its outer part is the worker's; what the notebook is given is in `input`, which it
//! can only read; all that it writes is in `own`. They go with the attempt.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::limits::{RunUser, let_pass};
use crate::untrusted::{self, Left, UntrustedDir};

/// What the names of attempts' folders begin with.
pub(super) const PREFIX: &str = "run-";

/// The file that is locked as long as its folder is in use.
pub(super) const LOCK: &str = "lock";

/// How often another name is tried where a sweep was quicker than the lock.
const TRIES: usize = 10;

/// An attempt's folder; removed when dropped.
#[derive(Debug)]
pub(super) struct Scratch {
    parent: PathBuf,
    name: OsString,
    own: UntrustedDir,
    /// The owner's folder, which outlives the run, where there is one.
    owners: Option<PathBuf>,
    /// Held as long as the folder is in use: a sweep leaves locked ones alone.
    _lock: File,
    removed: bool,
}

/// A path that the notebook can write to. It is for command lines, environments and what the driver is told; the
/// worker opens nothing by it (see [`crate::untrusted`]), so it is no `Path`.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub(super) struct NotebookPath(PathBuf);

impl NotebookPath {
    pub(super) fn join(&self, name: &str) -> NotebookPath {
        NotebookPath(self.0.join(name))
    }
}

impl AsRef<OsStr> for NotebookPath {
    fn as_ref(&self) -> &OsStr {
        self.0.as_ref()
    }
}

impl Scratch {
    /// A new folder below `parent`, readable by its owner only.
    pub(super) fn new(parent: &Path) -> io::Result<Scratch> {
        fs::create_dir_all(parent)?;
        let (folder, lock) = new_folder(parent)?;
        let name = folder.file_name().unwrap_or_default().to_owned();
        fs::create_dir(folder.join("input"))?;
        for name in ["own", "own/home", "own/work", "own/tmp", "own/runtime"] {
            fs::create_dir(folder.join(name))?;
        }
        let own = UntrustedDir::open(&folder.join("own"))?;
        Ok(Scratch { parent: parent.to_path_buf(), name, own, owners: None, _lock: lock, removed: false })
    }

    /// The worker's part, which holds the two others. The notebook can neither read nor write there.
    pub(super) fn outer(&self) -> PathBuf {
        self.parent.join(&self.name)
    }

    /// What the notebook is given: it can read it, and only the worker writes there.
    pub(super) fn input(&self) -> PathBuf {
        self.outer().join("input")
    }

    /// Where `GIS("home")` leads; not there where it leads nowhere.
    pub(super) fn auth_file(&self) -> PathBuf {
        self.input().join("nb_auth.json")
    }

    /// All that the notebook can write to.
    pub(super) fn own(&self) -> NotebookPath {
        NotebookPath(self.outer().join("own"))
    }

    /// The same by a handle, for what the worker must do there.
    pub(super) fn own_folder(&self) -> &UntrustedDir {
        &self.own
    }

    pub(super) fn home(&self) -> NotebookPath {
        self.own().join("home")
    }

    /// Where the notebook's cells begin.
    pub(super) fn work(&self) -> NotebookPath {
        self.own().join("work")
    }

    /// What is at `/arcgis/home`: the owner's folder, else the run's own.
    pub(super) fn arcgis_home(&self) -> NotebookPath {
        self.owners.clone().map_or_else(|| self.work(), NotebookPath)
    }

    /// Puts the owner's folder at `/arcgis/home`.
    pub(super) fn share_home(&mut self, folder: PathBuf) {
        self.owners = Some(folder);
    }

    pub(super) fn temporary(&self) -> NotebookPath {
        self.own().join("tmp")
    }

    /// For Jupyter's connection file and the kernel's sockets.
    pub(super) fn runtime(&self) -> NotebookPath {
        self.own().join("runtime")
    }

    /// Gives the notebook's parts to the user that it is to run as. It must not run yet.
    pub(super) fn hand_over(&self, user: &RunUser) -> io::Result<()> {
        let_pass(&self.outer());
        user.hand_over(&self.input(), &self.outer().join("own"))
    }

    /// Removes the folder with all that is in it, in a thread that may block for long.
    pub(super) async fn remove(mut self) {
        self.removed = true;
        let (parent, name) = (self.parent.clone(), self.name.clone());
        // The lock is held until it is over.
        let removing = tokio::task::spawn_blocking(move || {
            remove_logged(&parent, &name);
            drop(self);
        });
        drop(removing.await);
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.removed {
            let (parent, name) = (self.parent.clone(), self.name.clone());
            // Whoever drops this may be in no position to wait. Without a thread, the next start's sweep does it.
            let remove = move || remove_logged(&parent, &name);
            let _ = std::thread::Builder::new().name("notebook-folder".to_owned()).spawn(remove);
        }
    }
}

fn new_folder(parent: &Path) -> io::Result<(PathBuf, File)> {
    for _ in 0..TRIES {
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?.keep();
        match new_lock(&folder) {
            Ok(Some(lock)) => return Ok((folder, lock)),
            // A sweep met the folder before it had a lock, and removes it.
            Ok(None) => {}
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::AlreadyExists) => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("other processes remove each new folder"))
}

fn new_lock(folder: &Path) -> io::Result<Option<File>> {
    let lock = UntrustedDir::open(folder)?.new_file(OsStr::new(LOCK))?;
    Ok((lock.try_lock().is_ok() && lock.metadata()?.nlink() > 0).then_some(lock))
}

/// Removes `parent`'s folder `name`; what can't be removed is logged.
pub(super) fn remove_logged(parent: &Path, name: &OsStr) -> bool {
    let removed = UntrustedDir::open(parent)
        .map_err(|error| Left { path: name.into(), error })
        .and_then(|parent| untrusted::remove(&parent, name));
    if let Err(left) = &removed {
        let Left { path, error } = left;
        // Its names are the notebook's: written so, they are one line.
        tracing::warn!(folder = ?parent.join(path), %error, "a run's folder can't be removed");
    }
    removed.is_ok()
}
