//! One server a data directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::connection::{cannot, create_dir};
use crate::{Result, StoreError};

/// The right to serve a data directory. It ends when it is dropped, and with its process at the latest.
#[derive(Debug)]
pub struct DirLock {
    _file: File,
}

/// Takes a data directory for this process, and makes it if it is missing.
/// [`StoreError::InUse`]: another process has it.
pub fn lock(dir: &Path) -> Result<DirLock> {
    create_dir(dir)?;
    let path = dir.join("lock");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|error| cannot("open", &path, &error))?;
    match file.try_lock() {
        Ok(()) => {
            // For people who look for the process; the lock does not depend on it.
            let noted = file.set_len(0).and_then(|()| file.rewind());
            noted
                .and_then(|()| writeln!(file, "{}", std::process::id()))
                .map_err(|error| cannot("write", &path, &error))?;
            Ok(DirLock { _file: file })
        }
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let holder = match file.read_to_string(&mut holder) {
                Ok(1..) => format!(" (process {})", holder.trim()),
                _ => String::new(),
            };
            Err(StoreError::InUse(format!("{}{holder}", dir.display())))
        }
        Err(TryLockError::Error(error)) => Err(cannot("lock", &path, &error)),
    }
}
