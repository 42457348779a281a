//! The folder of one environment: `lock`, `environment.json`, which is written last, and `env`, the environment
//! itself. What is in `env` was written by what was installed: the worker opens and executes nothing of it.
//!
//! Who uses an environment holds `lock` together with others, who builds or removes one holds it alone; the
//! operating system lets go of it for those who die. Its time of change is the environment's last use.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{FileType, renameat};
use serde::{Deserialize, Serialize};

use crate::untrusted::{self, UntrustedDir};

const LOCK: &str = "lock";
const ENVIRONMENT: &str = "env";
const MANIFEST: &str = "environment.json";
const FAILURE: &str = "failure.json";
/// Where a file is written before it has its name.
const UNNAMED: &str = "new";

/// What is written about an environment has no more bytes.
const LONGEST: u64 = 4 << 20;

/// What is known of an environment that is complete.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct Manifest {
    /// The version of its Python.
    pub(in super::super) python: String,
    /// What was asked for beside the packages that all have.
    pub(in super::super) requirements: Vec<String>,
    /// All that it has, by name and version, as its build said.
    pub(in super::super) packages: Vec<(String, String)>,
    /// What it takes of the disk.
    pub(in super::super) bytes: u64,
    /// How long its build took, in seconds.
    pub(in super::super) seconds: u64,
}

/// Why the last build failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Failure {
    pub(super) requirements: Vec<String>,
    pub(super) message: String,
}

/// The folder, by its path. It may go away at any time at which its lock is not held.
#[derive(Clone, Debug)]
pub(super) struct Folder(PathBuf);

/// Its lock. Given back when dropped.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "held for its lock")] File);

impl Folder {
    /// Of the environment `name` below `parent`.
    pub(super) fn of(parent: &Path, name: &str) -> Folder {
        Folder(parent.join(name))
    }

    pub(super) fn python(&self) -> PathBuf {
        self.env().join("bin/python")
    }

    /// What notebooks may read.
    pub(super) fn env(&self) -> PathBuf {
        self.0.join(ENVIRONMENT)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// For those who use it. None: somebody builds or removes it.
    pub(super) fn share(&self) -> io::Result<Option<Lock>> {
        let Some(file) = self.lock(File::try_lock_shared)? else { return Ok(None) };
        // Where it can't be set, it is removed earlier.
        let _ = file.set_modified(SystemTime::now());
        Ok(Some(Lock(file)))
    }

    /// For whoever builds or removes it. None: somebody uses, builds or removes it.
    pub(super) fn take(&self) -> io::Result<Option<Lock>> {
        Ok(self.lock(File::try_lock)?.map(Lock))
    }

    fn lock(&self, lock: impl Fn(&File) -> Result<(), TryLockError>) -> io::Result<Option<File>> {
        match fs::create_dir(&self.0) {
            // Notebooks may run as other users.
            Ok(()) => fs::set_permissions(&self.0, Permissions::from_mode(0o711))?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        // Unconfined notebooks can write in the folder, and put something there that blocks.
        let file = match UntrustedDir::open(&self.0)?.lock_file(OsStr::new(LOCK)).map_err(io::Error::from) {
            // It was removed meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        match lock(&file) {
            Ok(()) if file.metadata()?.nlink() > 0 => Ok(Some(file)),
            Ok(()) | Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Not there: it is not complete.
    pub(super) fn manifest(&self) -> Option<Manifest> {
        self.read(MANIFEST)
    }

    pub(super) fn failure(&self) -> Option<Failure> {
        self.read(FAILURE)
    }

    fn read<T: for<'de> Deserialize<'de>>(&self, name: &str) -> Option<T> {
        let mut text = Vec::new();
        let file = UntrustedDir::open(&self.0).ok()?.file(OsStr::new(name), LONGEST).ok();
        file?.read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// How long ago it was used; made, where it has no lock.
    pub(super) fn unused_for(&self) -> Duration {
        let used = UntrustedDir::open(&self.0)
            .and_then(|folder| folder.stat(OsStr::new(LOCK)).or_else(|_| Ok(rustix::fs::fstat(&folder)?)));
        let used = used.ok().and_then(|stat| u64::try_from(stat.st_mtime).ok());
        let used = SystemTime::UNIX_EPOCH + Duration::from_secs(used.unwrap_or_default());
        SystemTime::now().duration_since(used).unwrap_or_default()
    }

    /// Removes what an earlier build has left. The lock must be held.
    pub(super) fn clear(&self, _lock: &Lock) -> io::Result<()> {
        let folder = UntrustedDir::open(&self.0)?;
        for name in [MANIFEST, FAILURE, UNNAMED, ENVIRONMENT].map(OsStr::new) {
            if folder.stat(name).is_ok() {
                untrusted::remove(&folder, name).map_err(|left| left.error)?;
            }
        }
        Ok(())
    }

    /// Puts the finished environment `name` of the folder `built` in its place; it is there whole or not at all. None of
    /// the build's processes may be alive.
    pub(super) fn finish(
        &self,
        _lock: &Lock,
        built: &UntrustedDir,
        name: &OsStr,
        manifest: &Manifest,
    ) -> io::Result<()> {
        if FileType::from_raw_mode(built.stat(name)?.st_mode) != FileType::Directory {
            return Err(io::Error::other("the build has left something else than a folder"));
        }
        let folder = UntrustedDir::open(&self.0)?;
        renameat(built, name, &folder, ENVIRONMENT)?;
        Self::write(&folder, MANIFEST, manifest)
    }

    /// Says why there is none.
    pub(super) fn fail(&self, _lock: &Lock, failure: &Failure) -> io::Result<()> {
        Self::write(&UntrustedDir::open(&self.0)?, FAILURE, failure)
    }

    fn write(folder: &UntrustedDir, name: &str, value: &impl Serialize) -> io::Result<()> {
        if folder.stat(OsStr::new(UNNAMED)).is_ok() {
            untrusted::remove(folder, OsStr::new(UNNAMED)).map_err(|left| left.error)?;
        }
        let mut file = folder.new_file(OsStr::new(UNNAMED))?;
        file.write_all(&serde_json::to_vec(value)?)?;
        file.sync_all()?;
        renameat(folder, UNNAMED, folder, name)?;
        Ok(())
    }

    /// Removes all of it. The lock is gone then.
    pub(super) fn remove(&self, lock: Lock) -> io::Result<()> {
        // First what says that it is complete.
        self.clear(&lock)?;
        let (Some(parent), Some(name)) = (self.0.parent(), self.0.file_name()) else { return Ok(()) };
        untrusted::remove(&UntrustedDir::open(parent)?, name).map_err(|left| left.error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_uses_it_keeps_it_from_builders_and_removers() {
        let parent = tempfile::tempdir().unwrap();
        let folder = Folder::of(parent.path(), "one");
        let (first, second) = (folder.share().unwrap(), folder.share().unwrap());
        assert!(first.is_some() && second.is_some());
        assert!(folder.take().unwrap().is_none());
        drop((first, second));
        let alone = folder.take().unwrap().unwrap();
        assert!(folder.share().unwrap().is_none());
        folder.remove(alone).unwrap();
        assert!(!folder.path().exists());
        assert!(folder.share().unwrap().is_some());
    }

    #[test]
    fn an_environment_is_there_whole_or_not_at_all() {
        let parent = tempfile::tempdir().unwrap();
        let folder = Folder::of(parent.path(), "one");
        let lock = folder.take().unwrap().unwrap();
        // A build that was killed has left these.
        fs::create_dir(folder.env()).unwrap();
        fs::write(folder.env().join("half"), "").unwrap();
        assert_eq!(folder.manifest(), None);
        folder.clear(&lock).unwrap();
        let built = parent.path().join("built");
        fs::create_dir_all(built.join("env/bin")).unwrap();
        std::os::unix::fs::symlink("/etc", built.join("link")).unwrap();
        let (built, manifest) = (UntrustedDir::open(&built).unwrap(), Manifest::default());
        assert!(folder.finish(&lock, &built, OsStr::new("link"), &manifest).is_err());
        assert_eq!(folder.manifest(), None);
        folder.finish(&lock, &built, OsStr::new("env"), &manifest).unwrap();
        assert_eq!(folder.manifest(), Some(manifest));
        assert!(folder.env().join("bin").is_dir() && !folder.env().join("half").exists());
    }
}
