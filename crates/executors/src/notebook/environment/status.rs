//! What there is of environments, for `isochrone doctor`.

use std::path::PathBuf;
use std::time::Duration;

use super::error::EnvironmentError;
use super::folder::Folder;
use super::item::ItemRequirements;
use super::{PythonEnvironment, short, unused};

/// An environment, or one that is yet to be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvironmentStatus {
    /// The beginning of its name.
    pub name: String,
    /// Where it is.
    pub folder: PathBuf,
    /// Whether it has the packages of `[notebook] packages` and `requirements`, and no others.
    pub is_operators: bool,
    /// What was asked for.
    pub requirements: Vec<String>,
    /// Whether it is there.
    pub state: EnvironmentState,
    /// How long ago it was used.
    pub unused_for: Duration,
}

/// Whether an environment is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvironmentState {
    /// It is built.
    Built {
        /// What it takes of the disk.
        bytes: u64,
        /// How many packages it has.
        packages: usize,
    },
    /// Its last build failed.
    Failed {
        /// Why.
        why: String,
    },
    /// Nobody has built it, or somebody does so now.
    NotBuilt,
}

impl PythonEnvironment {
    /// All that are there, the operator's own first, whether it is there or not. None where `[notebook] python` names
    /// one. Nothing is built or removed.
    pub async fn statuses(&self) -> Result<Vec<EnvironmentStatus>, EnvironmentError> {
        if self.0.config.python.is_some() {
            return Ok(Vec::new());
        }
        let wanted = self.0.wanted(&ItemRequirements::default()).await?;
        let own = status(&wanted.folder, wanted.requirements.iter().map(ToString::to_string).collect(), true);
        let parent = self.0.parent().map_err(|error| self.0.io(&error))?;
        let others = unused::all(&parent).into_iter().filter(|folder| folder.path() != wanted.folder.path());
        Ok(std::iter::once(own).chain(others.map(|folder| status(&folder, Vec::new(), false))).collect())
    }
}

fn status(folder: &Folder, wanted: Vec<String>, is_operators: bool) -> EnvironmentStatus {
    let (state, requirements) = match (folder.manifest(), folder.failure()) {
        (Some(manifest), _) => {
            let state = EnvironmentState::Built { bytes: manifest.bytes, packages: manifest.packages.len() };
            (state, manifest.requirements)
        }
        (None, Some(failure)) => (EnvironmentState::Failed { why: failure.message }, failure.requirements),
        (None, None) => (EnvironmentState::NotBuilt, wanted),
    };
    EnvironmentStatus {
        name: short(folder.path()),
        folder: folder.path().to_path_buf(),
        is_operators,
        requirements,
        state,
        unused_for: folder.unused_for(),
    }
}
