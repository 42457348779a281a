//! What a notebook leaves in its working folder becomes the run's artifacts. The folder is a stranger's: its files are
//! opened by handles only (see [`crate::untrusted`]), and each is named in the run's log, kept or not.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use isochrone_domain::LogStream;
use isochrone_worker::{Attempt, Mask, StopReason};
use rustix::fs::{Mode, fstat};

use super::config::Config;
use super::lines::plain;
use crate::untrusted::{Bounds, Found, Refused, UntrustedDir, UntrustedFile, Walk};

/// How far the folder is looked through.
const BOUNDS: Bounds = Bounds { names: 20_000, depth: 64 };

/// Files and folders that are named in the log one by one; of the rest it has the number.
const NAMED: usize = 200;

/// A longer path is no artifact's name.
const LONGEST_NAME: usize = 400;

/// A larger file that takes no room on the disk has nothing but zeros that nobody wrote.
const LARGEST_WITHOUT_BLOCKS: u64 = 64 << 10;

/// How long files may take where the worker wants the attempt to end: it is patient for [`isochrone_worker::STOP_GRACE`].
const WHEN_STOPPED: Duration = Duration::from_secs(2);

/// Why a file is not kept.
#[derive(Debug, thiserror::Error)]
enum LeftOut {
    #[error("its name begins with a dot")]
    Hidden,
    #[error("it is a cache")]
    Cache,
    #[error("its permissions keep its owner out")]
    Closed,
    #[error("its name is too long")]
    Name,
    #[error("it has more than {0} MiB, which a file may have ([notebook] artifact_mib)")]
    Size(u64),
    #[error("the run's files would have more than {0} MiB ([notebook] artifacts_mib)")]
    Total(u64),
    #[error("a run may leave {0} files ([notebook] artifact_files)")]
    Count(usize),
    #[error("it has no content: it is one hole")]
    Hole,
    #[error("there is no time for it, as the run was told to end")]
    Stopped,
    #[error("{0}")]
    Refused(#[from] Refused),
    #[error("it could not be kept: {0}")]
    NotKept(#[from] isochrone_worker::NotKept),
}

/// What is no work of a notebook, by its path below the working folder.
fn no_result(path: &Path) -> Result<(), LeftOut> {
    let name = path.file_name().unwrap_or_default();
    if name == "__pycache__" {
        return Err(LeftOut::Cache);
    }
    if name.as_encoded_bytes().starts_with(b".") {
        return Err(LeftOut::Hidden);
    }
    Ok(())
}

/// Keeps the files of a working folder with the run, after `taken`, the names of its other artifacts.
pub(super) async fn keep(
    attempt: &Attempt,
    own: &UntrustedDir,
    stopped: Option<StopReason>,
    taken: impl IntoIterator<Item = String>,
    mask: &Mask,
    config: &Config,
) {
    if config.artifact_files == 0 || stopped == Some(StopReason::LeaseLost) {
        return;
    }
    let taken = taken.into_iter().chain(["log.txt".to_owned()]).collect();
    let mut keeping = Keeping { attempt, mask, config, taken, kept: 0, bytes: 0, said: 0, unsaid: 0 };
    let over = async {
        if stopped.is_none() {
            attempt.stopped().await;
        }
        tokio::time::sleep(WHEN_STOPPED).await;
    };
    let over = tokio::select! {
        () = keeping.all(own) => false,
        () = over => true,
    };
    if over {
        keeping.say(&format!("the other files of the working folder: {}", LeftOut::Stopped)).await;
    }
    keeping.end().await;
}

struct Keeping<'a> {
    attempt: &'a Attempt,
    mask: &'a Mask,
    config: &'a Config,
    /// Names of artifacts that there are.
    taken: HashSet<String>,
    kept: usize,
    bytes: u64,
    /// Lines in the log.
    said: usize,
    unsaid: usize,
}

impl Keeping<'_> {
    async fn all(&mut self, own: &UntrustedDir) {
        // Whoever takes the rights from the folder itself wants nothing of it to be kept.
        let folder = own.dir(OsStr::new("work")).and_then(|folder| {
            let mode = Mode::from_raw_mode(fstat(&folder)?.st_mode);
            if is_open(mode) { Ok(folder) } else { Err(Refused::Kind("closed to its owner")) }
        });
        let folder = match folder {
            Ok(folder) => folder,
            Err(error) => return self.say(&format!("no file of the working folder is kept: {error}")).await,
        };
        let left: Arc<Mutex<Vec<(PathBuf, LeftOut)>>> = Arc::default();
        let passed_by = Arc::clone(&left);
        let mut walk = Walk::new(folder, BOUNDS, move |path, mode| {
            let entered = no_result(path).and_then(|()| is_open(mode).then_some(()).ok_or(LeftOut::Closed));
            let mut left = passed_by.lock().unwrap_or_else(PoisonError::into_inner);
            entered.map_err(|why| left.push((path.to_owned(), why))).is_ok()
        });
        loop {
            // It may be large, and its disk slow.
            let step = tokio::task::spawn_blocking(move || (walk.next(), walk)).await;
            let Ok((found, rest)) = step else { return };
            walk = rest;
            let passed_by = std::mem::take(&mut *left.lock().unwrap_or_else(PoisonError::into_inner));
            for (path, why) in passed_by {
                self.leave_out(&path.join(""), &why).await;
            }
            let Some(found) = found else { break };
            if let Err(why) = self.keep(&found).await {
                self.leave_out(found.path(), &why).await;
            }
        }
        if walk.cut() {
            let line = format!(
                "more files than {} or deeper folders than {}: the rest is not kept",
                BOUNDS.names, BOUNDS.depth
            );
            self.say(&line).await;
        }
    }

    async fn keep(&mut self, found: &Found) -> Result<(), LeftOut> {
        no_result(found.path())?;
        let name = self.name(found.path())?;
        let file = open(found, self.config)?;
        if self.kept >= self.config.artifact_files {
            return Err(LeftOut::Count(self.config.artifact_files));
        }
        if self.bytes.saturating_add(file.size()) > self.config.artifacts_bytes() {
            return Err(LeftOut::Total(self.config.artifacts_mib));
        }
        let size = self.attempt.keep_file(&name, media_type(found.path()), file).await?;
        self.kept += 1;
        self.bytes = self.bytes.saturating_add(size);
        self.say(&format!("kept {name} ({size} bytes)")).await;
        self.taken.insert(name);
        Ok(())
    }

    /// The artifact's name: the path, where no other artifact has it.
    fn name(&self, path: &Path) -> Result<String, LeftOut> {
        let name = self.mask.text(plain(&path.to_string_lossy()).replace(['\n', '\t'], " "));
        if name.len() > LONGEST_NAME {
            return Err(LeftOut::Name);
        }
        let others = (2..).map(|number| format!("files-{number}/{name}"));
        let mut names = [name.clone(), format!("files/{name}")].into_iter().chain(others);
        names.find(|name| !self.taken.contains(name)).ok_or(LeftOut::Name)
    }

    async fn leave_out(&mut self, path: &Path, why: &LeftOut) {
        let name = plain(&path.to_string_lossy()).replace(['\n', '\t'], " ");
        self.say(&format!("left out {name}: {why}")).await;
    }

    async fn say(&mut self, line: &str) {
        if self.said == NAMED {
            self.unsaid += 1;
            return;
        }
        self.said += 1;
        self.attempt.log(LogStream::System, self.mask.cut_text(format!("files: {line}"))).await;
    }

    async fn end(&self) {
        if self.unsaid > 0 {
            let line = format!("files: {} more are not named here; {} were kept", self.unsaid, self.kept);
            self.attempt.log(LogStream::System, line).await;
        }
    }
}

/// Whether its owner may look into a folder. Root could in any case, and would keep what others can't.
fn is_open(mode: Mode) -> bool {
    mode.contains(Mode::RUSR | Mode::XUSR)
}

fn open(found: &Found, config: &Config) -> Result<UntrustedFile, LeftOut> {
    let file = match found.open(config.artifact_bytes()) {
        Err(Refused::Size(_)) => return Err(LeftOut::Size(config.artifact_mib)),
        opened => opened?,
    };
    let stat = fstat(&file).map_err(Refused::from)?;
    if !Mode::from_raw_mode(stat.st_mode).contains(Mode::RUSR) {
        return Err(LeftOut::Closed);
    }
    if stat.st_blocks == 0 && file.size() > LARGEST_WITHOUT_BLOCKS {
        return Err(LeftOut::Hole);
    }
    Ok(file)
}

/// By the name's ending: what a file really is, nobody looks at.
fn media_type(path: &Path) -> &'static str {
    let ending = path.extension().and_then(OsStr::to_str).map(str::to_ascii_lowercase);
    match ending.as_deref() {
        Some("csv") => "text/csv; charset=utf-8",
        Some("txt" | "log" | "md") => "text/plain; charset=utf-8",
        Some("html" | "htm") => "text/html; charset=utf-8",
        Some("json") => "application/json",
        Some("geojson") => "application/geo+json",
        Some("ipynb") => "application/x-ipynb+json",
        Some("xml" | "gml") => "application/xml",
        Some("kml") => "application/vnd.google-earth.kml+xml",
        Some("kmz") => "application/vnd.google-earth.kmz",
        Some("gpkg") => "application/geopackage+sqlite3",
        Some("tif" | "tiff") => "image/tiff",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("svg") => "image/svg+xml",
        Some("gif") => "image/gif",
        Some("pdf") => "application/pdf",
        Some("zip") => "application/zip",
        Some("gz") => "application/gzip",
        Some("xlsx") => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        Some("docx") => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        Some("parquet") => "application/vnd.apache.parquet",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caches_and_hidden_files_are_no_results() {
        for name in ["result.csv", "out/deep/x.txt", "a.b.c", "pycache", "with space", "a/b.c/d"] {
            assert!(no_result(Path::new(name)).is_ok(), "{name}");
        }
        for name in [".ipynb_checkpoints", "__pycache__", "out/.git", ".hidden", "out/__pycache__"] {
            assert!(no_result(Path::new(name)).is_err(), "{name}");
        }
    }

    #[test]
    fn media_types_go_by_the_ending() {
        assert_eq!(media_type(Path::new("a/B.CSV")), "text/csv; charset=utf-8");
        assert_eq!(media_type(Path::new("map.tar.gz")), "application/gzip");
        assert_eq!(media_type(Path::new("no ending")), "application/octet-stream");
    }
}
