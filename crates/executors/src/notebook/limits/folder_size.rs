//! How much of the disk a run's folder takes, whoever made what is in it, and however.
//!
//! Blocks are counted, so that a file with holes is no larger than what it has, and a file with several names
//! is counted once. Files that were removed while somebody has them open or mapped are still on the disk: they
//! are found by the processes. Two things are not: what a socket that nobody reads carries, and what another
//! program keeps for the notebook.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Stat};

use crate::untrusted::{Refused, UntrustedDir, open_writable};

/// A name takes space of its own, and a file system has only so many files: without this, files without content
/// would be free.
const NAME: u64 = 4_096;

/// Files from this size on are remembered: who removes one while it is counted has it once. Others are many, and the
/// memory is the worker's.
const LARGE: u64 = 1 << 20;

/// Each level holds a file of the worker's open.
const DEEPEST: usize = 100;

/// The unit of `st_blocks`, whatever the file system's own is (stat(3type)).
const BLOCK: u64 = 512;

/// What takes space, while it is being added up.
#[derive(Debug)]
pub(super) struct FolderSize {
    device: u64,
    /// What may be met again: files with several names, without any, or large.
    seen: HashSet<u64>,
    bytes: u64,
    /// Nobody needs to know how much more it is.
    most: u64,
}

impl FolderSize {
    /// What is in the folder, in bytes; some number that is larger than `most` where it is more than that, or
    /// where it is nested too deeply to be counted.
    pub(super) fn of(folder: &UntrustedDir, processes: &[i32], most: u64) -> u64 {
        // A handle that is open has a device.
        let device = rustix::fs::fstat(folder).map_or(0, |stat| stat.st_dev);
        let mut size = FolderSize { device, seen: HashSet::new(), bytes: 0, most };
        size.add_folder(folder, 0);
        for process in processes {
            size.add_removed(&Path::new("/proc").join(process.to_string()));
        }
        size.bytes
    }

    fn is_over(&self) -> bool {
        self.bytes > self.most
    }

    fn add_folder(&mut self, folder: &UntrustedDir, depth: usize) {
        if depth > DEEPEST {
            self.bytes = u64::MAX;
            return;
        }
        let Ok(names) = folder.names() else { return };
        for name in names.map_while(Result::ok) {
            if self.is_over() {
                return;
            }
            self.add_name(folder, &name, depth);
        }
    }

    fn add_name(&mut self, folder: &UntrustedDir, name: &OsStr, depth: usize) {
        // It may be gone.
        let Ok(stat) = folder.stat(name) else { return };
        self.bytes = self.bytes.saturating_add(NAME);
        self.add(&stat);
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory
            && let Ok(inner) = open(folder, name)
        {
            self.add_folder(&inner, depth + 1);
        }
    }

    fn add(&mut self, stat: &Stat) {
        let bytes = u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(BLOCK);
        let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        self.add_inode(stat.st_ino, bytes, bytes < LARGE && (is_folder || stat.st_nlink == 1));
    }

    fn add_inode(&mut self, inode: u64, bytes: u64, met_once: bool) {
        if met_once || self.seen.insert(inode) {
            self.bytes = self.bytes.saturating_add(bytes);
        }
    }

    /// What a process holds that has no name any more.
    fn add_removed(&mut self, process: &Path) {
        let open = fs::read_dir(process.join("fd")).into_iter().flatten().flatten().map(|entry| entry.path());
        let mapped = removed_mappings(process);
        for path in open.chain(mapped) {
            if self.is_over() {
                return;
            }
            // This looks at what is open, and opens nothing.
            let Ok(found) = fs::metadata(&path) else { continue };
            let special = found.file_type().is_fifo() || found.file_type().is_char_device();
            if !special && found.nlink() == 0 && found.dev() == self.device {
                self.add_inode(found.ino(), found.blocks().saturating_mul(BLOCK), false);
            }
        }
    }
}

/// A folder that was made unreadable still has its files.
fn open(parent: &UntrustedDir, name: &OsStr) -> Result<UntrustedDir, Refused> {
    match parent.dir(name) {
        Err(Refused::Io(error)) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            open_writable(parent, name)
        }
        opened => opened,
    }
}

/// The kernel shows them to root only.
fn removed_mappings(process: &Path) -> Vec<PathBuf> {
    let text = fs::read(process.join("maps")).unwrap_or_default();
    let lines = text.split(|byte| *byte == b'\n').filter(|line| line.ends_with(b" (deleted)"));
    let ranges = lines.filter_map(|line| std::str::from_utf8(line.split(|byte| *byte == b' ').next()?).ok());
    ranges.map(|range| process.join("map_files").join(range)).collect()
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, SeekFrom, Write};

    use super::*;

    fn size(folder: &Path) -> u64 {
        let own = i32::try_from(std::process::id()).unwrap();
        FolderSize::of(&UntrustedDir::open(folder).unwrap(), &[own], u64::MAX - 1)
    }

    #[test]
    fn counts_what_is_on_the_disk_and_nothing_else() {
        const MIB: u64 = 1 << 20;
        // Where the build is: other tests' removed files are elsewhere.
        let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let path = folder.path();
        let before = size(path);
        let grown = || size(path).saturating_sub(before);
        fs::create_dir_all(path.join("a/b/c")).unwrap();
        fs::write(path.join("a/b/c/file"), vec![1; MIB as usize]).unwrap();
        assert!((MIB..MIB + 64 * 1_024).contains(&grown()), "{}", grown());
        fs::hard_link(path.join("a/b/c/file"), path.join("again")).unwrap();
        std::os::unix::fs::symlink("/usr", path.join("elsewhere")).unwrap();
        assert!(grown() < MIB + 64 * 1_024, "{}", grown());

        let mut sparse = fs::File::create(path.join("sparse")).unwrap();
        sparse.seek(SeekFrom::Start(1 << 40)).unwrap();
        sparse.write_all(b"end").unwrap();
        assert!(grown() < MIB + 128 * 1_024, "{}", grown());

        let mut open = fs::File::create(path.join("open")).unwrap();
        open.write_all(&vec![1; MIB as usize]).unwrap();
        open.sync_all().unwrap();
        fs::remove_file(path.join("open")).unwrap();
        assert!(grown() >= 2 * MIB, "{}", grown());
        drop(open);
        assert!(grown() < 2 * MIB, "{}", grown());

        for number in 0..1_000 {
            fs::write(path.join("a").join(number.to_string()), "").unwrap();
        }
        assert!(grown() > 4 * MIB, "{}", grown());
    }

    #[test]
    fn what_is_nested_without_end_is_too_much() {
        let folder = tempfile::tempdir().unwrap();
        let deep: PathBuf =
            std::iter::once(folder.path().to_path_buf()).chain((0..150).map(|_| "d".into())).collect();
        fs::create_dir_all(&deep).unwrap();
        assert!(size(folder.path()) >= u64::MAX - 1);
    }
}
