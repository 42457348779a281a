//! An environment that is in use.

use std::path::{Path, PathBuf};

use super::folder::{Folder, Lock, Manifest};
use super::short;

/// An environment that is in use: as long as this is there, nobody removes it.
#[derive(Debug)]
pub(in super::super) struct Environment {
    /// Executes notebooks.
    pub(in super::super) python: PathBuf,
    pub(super) made: Option<Made>,
}

#[derive(Debug)]
pub(super) struct Made {
    pub(super) base: PathBuf,
    pub(super) folder: Folder,
    pub(super) manifest: Manifest,
    /// Held as long as it is in use.
    pub(super) _lock: Lock,
}

impl Environment {
    /// The operator's own Python, with which it can be found out what isolates notebooks.
    pub(in super::super) fn base(&self) -> &Path {
        self.made.as_ref().map_or(&self.python, |made| &made.base)
    }

    /// What notebooks must be able to read to have it, beside what [`Self::base`] needs.
    pub(in super::super) fn readable(&self) -> Option<PathBuf> {
        self.made.as_ref().map(|made| made.folder.env())
    }

    /// For a run's log.
    pub(in super::super) fn line(&self) -> String {
        const LONGEST: usize = 1_000;
        let Some(Made { folder, manifest, .. }) = &self.made else {
            return format!("Python: {} ([notebook] python)", self.python.display());
        };
        let asked = match manifest.requirements.join(", ") {
            none if none.is_empty() => "no packages of its own".to_owned(),
            asked => asked.chars().take(LONGEST).collect(),
        };
        let (version, all) = (&manifest.python, manifest.packages.len());
        format!(
            "Python environment {}: Python {version}, {asked}; {all} packages in all",
            short(folder.path())
        )
    }
}
