//! Removes a stranger's folder, whatever is in it: by handles, never through a link, and with few files open however
//! deep it is. Folders that were made unreadable get their rights back first.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{
    AtFlags, IFlags, Mode, OFlags, chmod, fchmod, fstat, ioctl_getflags, ioctl_setflags, openat, renameat,
    unlinkat,
};
use rustix::io::Errno;

use super::{Refused, UntrustedDir, one_name};

/// Folders below this depth are moved up before they are emptied: each level holds a file open.
const DEPTH: usize = 32;

/// Something that can't be removed.
#[derive(Debug, thiserror::Error)]
#[error("{path:?} can't be removed: {error}")]
pub struct Left {
    /// Begins with the name that was to be removed.
    pub path: PathBuf,
    /// Why.
    pub error: io::Error,
}

/// Removes `name` from `parent` with all that is in it. Blocks, for long where there is much.
///
/// # Errors
/// The first thing that can't be removed. All that can be is removed nevertheless.
pub fn remove(parent: &UntrustedDir, name: &OsStr) -> Result<(), Left> {
    let path = PathBuf::from(name);
    let failed = |error| Left { path: path.clone(), error };
    one_name(name).map_err(|refused| failed(refused.into()))?;
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let mut removal = Removal { top: None, prefix: format!(".removed-{nanos}-"), moved: 0, left: None };
    if removal.take(parent, name, &mut path.clone(), 0) {
        return Ok(());
    }
    Err(removal.left.unwrap_or_else(|| failed(Errno::NOTEMPTY.into())))
}

struct Removal {
    /// Where deep folders are moved to.
    top: Option<UntrustedDir>,
    /// Of their new names, which nobody can have foreseen.
    prefix: String,
    moved: u64,
    left: Option<Left>,
}

impl Removal {
    /// Removes `name` from `folder`. Says whether it is gone from there.
    fn take(&mut self, folder: &UntrustedDir, name: &OsStr, path: &mut PathBuf, depth: usize) -> bool {
        let first = match unlinkat(folder, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => return true,
            Err(error) => error,
        };
        if unlinkat(folder, name, AtFlags::REMOVEDIR).is_ok() {
            return true;
        }
        let inner = match open_writable(folder, name) {
            Ok(inner) => inner,
            Err(Refused::Kind(_)) if first == Errno::PERM && unfreeze_file(folder, name) => {
                return match unlinkat(folder, name, AtFlags::empty()) {
                    Ok(()) => true,
                    Err(error) => self.leave(path, error.into()),
                };
            }
            Err(Refused::Kind(_)) => return self.leave(path, first.into()),
            Err(refused) => return self.leave(path, refused.into()),
        };
        if let Some(top) = self.top.as_ref().filter(|_| depth >= DEPTH) {
            self.moved += 1;
            return match renameat(folder, name, top, format!("{}{}", self.prefix, self.moved)) {
                Ok(()) => true,
                Err(error) => self.leave(path, error.into()),
            };
        }
        if self.top.is_none() {
            self.top = inner.again().ok();
        }
        self.empty(&inner, path, depth);
        match unlinkat(folder, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => true,
            Err(error) => self.leave(path, error.into()),
        }
    }

    /// Removes what is in `folder`, round by round as long as something goes: a folder that changes while it is
    /// read may hide some of its names, and what was moved up turns up in the top one.
    fn empty(&mut self, folder: &UntrustedDir, path: &mut PathBuf, depth: usize) {
        loop {
            let names = match folder.names() {
                Ok(names) => names,
                Err(error) => {
                    self.leave(path, error);
                    return;
                }
            };
            let mut gone = false;
            for name in names.map_while(Result::ok) {
                path.push(&name);
                gone |= self.take(folder, &name, path, depth + 1);
                path.pop();
            }
            if !gone {
                return;
            }
        }
    }

    fn leave(&mut self, path: &Path, error: io::Error) -> bool {
        self.left.get_or_insert_with(|| Left { path: path.to_path_buf(), error });
        false
    }
}

/// Opens a folder in which names can be removed; gives its owner all rights where they are missing.
pub(crate) fn open_writable(parent: &UntrustedDir, name: &OsStr) -> Result<UntrustedDir, Refused> {
    let folder = match parent.dir(name) {
        Err(Refused::Io(error)) if error.kind() == io::ErrorKind::PermissionDenied => {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let handle = openat(parent, name, flags, Mode::empty())?;
            // By the handle: a name could lead elsewhere by now.
            chmod(format!("/proc/self/fd/{}", handle.as_fd().as_raw_fd()), Mode::RWXU)?;
            parent.dir(name)?
        }
        folder => folder?,
    };
    if !Mode::from_raw_mode(fstat(&folder)?.st_mode).contains(Mode::RWXU) {
        fchmod(&folder, Mode::RWXU)?;
    }
    unfreeze(&folder);
    Ok(folder)
}

/// Takes the flags away by which nothing can be removed; only root can set them, and take them away.
fn unfreeze(handle: impl AsFd) -> bool {
    let frozen = IFlags::IMMUTABLE | IFlags::APPEND;
    match ioctl_getflags(&handle) {
        Ok(flags) if flags.intersects(frozen) => ioctl_setflags(&handle, flags - frozen).is_ok(),
        _ => false,
    }
}

fn unfreeze_file(folder: &UntrustedDir, name: &OsStr) -> bool {
    folder.file(name, u64::MAX).is_ok_and(unfreeze)
}
