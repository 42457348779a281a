//! All files below a stranger's folder.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FileType, Mode};

use super::{Refused, UntrustedDir, UntrustedFile};

/// How far a walk goes: whoever made the folder may have made it without end.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Names that are looked at, whatever they are.
    pub names: usize,
    /// Folders in folders; each holds a file open.
    pub depth: usize,
}

/// A file that a walk came to. It is opened when it is asked for, so that a walk holds no files open.
#[derive(Debug)]
pub struct Found {
    folder: Arc<UntrustedDir>,
    name: OsString,
    path: PathBuf,
}

impl Found {
    /// Below the folder where the walk began.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens it, as [`UntrustedDir::file`] does.
    ///
    /// # Errors
    /// As that.
    pub fn open(&self, most: u64) -> Result<UntrustedFile, Refused> {
        self.folder.file(&self.name, most)
    }
}

/// Walks through all files and special files below a folder, folders first entered where they are met; links
/// are told as what they are and never followed. Ends where its bounds are reached; see [`Walk::cut`].
pub struct Walk {
    levels: Vec<Level>,
    bounds: Bounds,
    cut: bool,
    enter: Enter,
}

/// Decides by a folder's path, and by its permissions, whether it is entered.
type Enter = Box<dyn FnMut(&Path, Mode) -> bool + Send>;

struct Level {
    folder: Arc<UntrustedDir>,
    path: PathBuf,
    names: Vec<OsString>,
}

impl std::fmt::Debug for Walk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Walk").field("depth", &self.levels.len()).finish_non_exhaustive()
    }
}

impl Walk {
    /// Begins in `folder`. A folder is entered where `enter` says so for its path below that and its permissions.
    pub fn new(
        folder: UntrustedDir,
        bounds: Bounds,
        enter: impl FnMut(&Path, Mode) -> bool + Send + 'static,
    ) -> Walk {
        let mut walk = Walk { levels: Vec::new(), bounds, cut: false, enter: Box::new(enter) };
        walk.enter(Arc::new(folder), PathBuf::new());
        walk
    }

    /// Whether there is more than the bounds allow, or than can be read.
    pub fn cut(&self) -> bool {
        self.cut
    }

    fn enter(&mut self, folder: Arc<UntrustedDir>, path: PathBuf) {
        let mut names = Vec::new();
        match folder.names() {
            Err(_) => self.cut = true,
            Ok(all) => {
                for name in all.map_while(Result::ok) {
                    if self.bounds.names == 0 {
                        self.cut = true;
                        break;
                    }
                    self.bounds.names -= 1;
                    names.push(name);
                }
            }
        }
        // The last is taken first.
        names.sort_by(|one, other| other.cmp(one));
        self.levels.push(Level { folder, path, names });
    }
}

impl Iterator for Walk {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        loop {
            let level = self.levels.last_mut()?;
            let Some(name) = level.names.pop() else {
                self.levels.pop();
                continue;
            };
            let (folder, path) = (Arc::clone(&level.folder), level.path.join(&name));
            let Ok(stat) = folder.stat(&name) else { continue };
            if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                return Some(Found { folder, name, path });
            }
            if !(self.enter)(&path, Mode::from_raw_mode(stat.st_mode)) {
                continue;
            }
            match folder.dir(&name) {
                Ok(inner) if self.levels.len() < self.bounds.depth => self.enter(Arc::new(inner), path),
                _ => self.cut = true,
            }
        }
    }
}
