//! Folders in which strangers can write: the one way in which the worker looks into them.
//!
//! A notebook can put anything under any name: links to files outside, FIFOs that block whoever opens them, devices
//! without end, sparse files, hard links, trees without end. So nothing here is opened by a path of several parts.
//! Each name is opened below the handle of its folder, and never through a link (which holds on kernels and in
//! containers without `openat2`, too); what is opened must be a regular file with one link on the folder's own file
//! system, no larger than the caller says, while it is read, too.

mod removal;
mod walk;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, fstat, open, openat, statat};
use rustix::io::Errno;

pub(crate) use removal::open_writable;
pub use removal::{Left, remove};
pub use walk::{Bounds, Found, Walk};

const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC);

/// Without waiting for a FIFO's other end, and without becoming a terminal's process.
const FILE: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// Why something in a stranger's folder is not read.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The name is empty, leads up or has several parts where it must have one.
    #[error("it has a name that leads elsewhere")]
    Name,
    /// A link, a FIFO, a socket, a device or a folder where a file was expected, or the other way round.
    #[error("it is {0}")]
    Kind(&'static str),
    /// The same file has another name, maybe outside.
    #[error("it has {0} links")]
    Links(u64),
    /// It lies on another file system than its folder.
    #[error("it lies on another file system")]
    Device,
    /// It has more bytes than it may have.
    #[error("it has more than {0} bytes")]
    Size(u64),
    /// The operating system refused it.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl From<Errno> for Refused {
    fn from(error: Errno) -> Refused {
        Refused::Io(error.into())
    }
}

impl From<Refused> for io::Error {
    fn from(refused: Refused) -> io::Error {
        match refused {
            Refused::Io(error) => error,
            other => io::Error::other(other.to_string()),
        }
    }
}

/// A folder in which strangers can write, by a handle: where its path leads later does not matter.
#[derive(Debug)]
pub struct UntrustedDir {
    handle: OwnedFd,
    device: u64,
}

impl UntrustedDir {
    /// Opens the folder at `path`. Strangers must not be able to write in the folders that lead to it.
    ///
    /// # Errors
    /// Where it is no folder, or can't be opened.
    pub fn open(path: &Path) -> io::Result<UntrustedDir> {
        let handle = open(path, FOLDER, Mode::empty())?;
        let device = fstat(&handle)?.st_dev;
        Ok(UntrustedDir { handle, device })
    }

    /// The folder `name` in this one.
    ///
    /// # Errors
    /// Where it is anything else, or a file system of its own.
    pub fn dir(&self, name: &OsStr) -> Result<UntrustedDir, Refused> {
        one_name(name)?;
        let handle = openat(&self.handle, name, FOLDER, Mode::empty()).map_err(|error| match error {
            Errno::NOTDIR | Errno::LOOP => Refused::Kind("no folder"),
            error => error.into(),
        })?;
        if fstat(&handle)?.st_dev != self.device {
            return Err(Refused::Device);
        }
        Ok(UntrustedDir { handle, device: self.device })
    }

    /// Opens the file `name` in this folder, which may have `most` bytes. Never blocks.
    ///
    /// # Errors
    /// Where it is no regular file, has another link, lies on another file system or is larger.
    pub fn file(&self, name: &OsStr, most: u64) -> Result<UntrustedFile, Refused> {
        let file = self.plain_file(name, OFlags::RDONLY)?;
        let size = u64::try_from(fstat(&file)?.st_size).unwrap_or(u64::MAX);
        if size > most {
            return Err(Refused::Size(most));
        }
        Ok(UntrustedFile { file, size, most, left: most })
    }

    /// Opens the file `name` to be locked; makes it where there is nothing of that name. Never blocks.
    ///
    /// # Errors
    /// Where there is anything else than a regular file with one link.
    pub fn lock_file(&self, name: &OsStr) -> Result<File, Refused> {
        match self.new_file(name) {
            // Some file systems lock only what can be written.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.plain_file(name, OFlags::RDWR),
            made => Ok(made?),
        }
    }

    fn plain_file(&self, name: &OsStr, access: OFlags) -> Result<File, Refused> {
        one_name(name)?;
        // To open a device can do something, so that it is looked at before.
        regular(&self.stat(name)?)?;
        let handle =
            openat(&self.handle, name, access | FILE, Mode::empty()).map_err(|error| match error {
                Errno::LOOP => Refused::Kind("a link"),
                error => error.into(),
            })?;
        let stat = fstat(&handle)?;
        regular(&stat)?;
        if stat.st_dev != self.device {
            return Err(Refused::Device);
        }
        Ok(handle.into())
    }

    /// Opens a file below this folder by a relative path, folder by folder.
    ///
    /// # Errors
    /// As [`Self::dir`] for the folders and [`Self::file`] for the file.
    pub fn file_below(&self, path: &Path, most: u64) -> Result<UntrustedFile, Refused> {
        let mut names = Vec::new();
        for component in path.components() {
            match component {
                Component::Normal(name) => names.push(name),
                _ => return Err(Refused::Name),
            }
        }
        let (file, folders) = names.split_last().ok_or(Refused::Name)?;
        let mut last: Option<UntrustedDir> = None;
        for name in folders {
            last = Some(last.as_ref().unwrap_or(self).dir(name)?);
        }
        last.as_ref().unwrap_or(self).file(file, most)
    }

    /// Makes the file `name`, which its owner only may read. What is there already stays as it is.
    ///
    /// # Errors
    /// Where there is anything of that name.
    pub fn new_file(&self, name: &OsStr) -> io::Result<File> {
        one_name(name)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(openat(&self.handle, name, flags, Mode::RUSR | Mode::WUSR)?.into())
    }

    /// The names in this folder, as they are read; more may come and go meanwhile.
    ///
    /// # Errors
    /// Where the folder can't be read.
    pub fn names(&self) -> io::Result<impl Iterator<Item = io::Result<std::ffi::OsString>>> {
        let names = Dir::read_from(&self.handle)?.filter_map(|entry| match entry {
            Ok(entry) => {
                let name = OsStr::from_bytes(entry.file_name().to_bytes());
                (name != "." && name != "..").then(|| Ok(name.to_owned()))
            }
            Err(error) => Some(Err(error.into())),
        });
        Ok(names)
    }

    /// The same folder by another handle.
    pub(crate) fn again(&self) -> io::Result<UntrustedDir> {
        Ok(UntrustedDir { handle: self.handle.try_clone()?, device: self.device })
    }

    /// What `name` is; a link is told as one.
    pub(crate) fn stat(&self, name: &OsStr) -> io::Result<Stat> {
        Ok(statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW)?)
    }
}

impl AsFd for UntrustedDir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

/// A stranger's file, opened. Reading it ends with an error when more bytes come than it may have: it can grow.
#[derive(Debug)]
pub struct UntrustedFile {
    file: File,
    size: u64,
    most: u64,
    left: u64,
}

impl UntrustedFile {
    /// How many bytes it had when it was opened.
    pub fn size(&self) -> u64 {
        self.size
    }
}

impl AsFd for UntrustedFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Read for UntrustedFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // One byte more tells whether there are more.
        let wanted = usize::try_from(self.left.saturating_add(1)).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.file.read(&mut buffer[..wanted])?;
        match self.left.checked_sub(read as u64) {
            Some(left) => self.left = left,
            None => return Err(Refused::Size(self.most).into()),
        }
        Ok(read)
    }
}

fn one_name(name: &OsStr) -> Result<(), Refused> {
    let bytes = name.as_bytes();
    if bytes.is_empty() || bytes == b"." || bytes == b".." || bytes.contains(&b'/') {
        return Err(Refused::Name);
    }
    Ok(())
}

fn regular(stat: &Stat) -> Result<(), Refused> {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => match stat.st_nlink {
            // None: it was removed since.
            0 | 1 => return Ok(()),
            links => return Err(Refused::Links(links)),
        },
        FileType::Directory => "a folder",
        FileType::Symlink => "a link",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::Unknown => "no file",
    };
    Err(Refused::Kind(kind))
}

#[cfg(test)]
mod tests;
