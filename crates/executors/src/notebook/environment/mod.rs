//! The Python that executes notebooks: one that the operator names, or a virtual environment that is built on first
//! use from the pinned packages that this program ships, the operator's (`[notebook] packages`, `requirements`), and,
//! where that is allowed, those that a notebook asks for itself.
//!
//! There is one environment for each distinct set ([`wanted`]), shared by the workers of a machine ([`folder`]), made
//! once ([`making`]), built in the notebooks' sandbox ([`build`]), and removed when nobody has used it for a while
//! ([`unused`]).

mod base;
mod build;
mod diagnosis;
mod error;
mod folder;
mod in_use;
mod item;
mod making;
mod program;
mod requirement;
mod status;
mod unused;
mod uv;
mod wanted;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex as SyncMutex, PoisonError};
use std::time::{Instant, SystemTime};

use tokio::sync::{Mutex, OnceCell, broadcast};

use super::config::Config;
use super::network::{self, Lookup, Rules};
use base::Base;
use build::{BuildNetwork, Builder};
pub use error::EnvironmentError;
pub(super) use in_use::Environment;
pub(super) use item::ItemRequirements;
use making::key_of;
pub use requirement::BadRequirement;
use requirement::parse_list;
pub use status::{EnvironmentState, EnvironmentStatus};

/// What every environment has.
const PINS: &str = include_str!("../requirements.txt");

/// Checks what the configuration says of packages, as far as that can be done without reading files.
pub fn check_packages(config: &Config) -> Result<(), EnvironmentError> {
    parse_list("notebook.packages", &config.packages)?;
    if config.python.is_some() {
        let unused = [
            ("notebook.packages", !config.packages.is_empty()),
            ("notebook.requirements", config.requirements.is_some()),
            ("notebook.item_requirements", config.item_requirements),
        ];
        if let Some((field, _)) = unused.iter().find(|(_, set)| *set) {
            let problem = "is set, and so is notebook.python: packages are installed into environments that Isochrone \
                           makes. Install them there yourself, or unset notebook.python";
            return Err(BadRequirement::new((*field).to_owned(), "", problem).into());
        }
    }
    Ok(())
}

/// The Python environments; clones share them.
#[derive(Clone, Debug)]
pub struct PythonEnvironment(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    /// Makes the environments: a name on the search path.
    base: PathBuf,
    config: Config,
    /// What was found out about it, and of when its program was then.
    known_base: SyncMutex<Option<(Base, SystemTime)>>,
    builder: OnceCell<Builder>,
    network: SyncMutex<BuildNetwork>,
    /// When this process last removed what is unused.
    swept: SyncMutex<Option<Instant>>,
    /// By what a notebook asks for itself; the operator's own is under the empty text.
    sets: SyncMutex<HashMap<String, Arc<Set>>>,
}

/// What is known in this process of one set of packages.
#[derive(Debug)]
struct Set {
    progress: broadcast::Sender<String>,
    /// The last try, if it failed, and when that was.
    failed: Mutex<Option<(Instant, EnvironmentError)>>,
}

impl PythonEnvironment {
    /// Environments in `folder`, unless `config` names another folder or a Python. Nothing is done before
    /// [`Self::ready`].
    pub fn new(folder: impl Into<PathBuf>, config: &Config) -> PythonEnvironment {
        Self::from_base(folder.into(), "python3".into(), config)
    }

    fn from_base(folder: PathBuf, base: PathBuf, config: &Config) -> PythonEnvironment {
        let folder = config.environments_dir.clone().unwrap_or(folder);
        let rules = Rules::default().with_reach(&config.reach);
        let indexes = network::package_indexes(&config.environment);
        let rules =
            rules.with_servers(indexes.iter().map(String::as_str)).with_servers(network::DEFAULT_INDEX);
        PythonEnvironment(Arc::new(Shared {
            folder,
            base,
            config: config.clone(),
            known_base: SyncMutex::default(),
            builder: OnceCell::new(),
            network: SyncMutex::new(BuildNetwork { rules, lookup: None }),
            swept: SyncMutex::default(),
            sets: SyncMutex::default(),
        }))
    }

    /// Builds may connect where these rules say, too, and names are resolved so.
    pub(super) fn use_network(&self, change: impl FnOnce(Rules) -> Rules, lookup: Option<Arc<dyn Lookup>>) {
        let mut network = self.0.network.lock().unwrap_or_else(PoisonError::into_inner);
        network.rules = change(std::mem::take(&mut network.rules));
        network.lookup = lookup.or(network.lookup.take());
    }

    /// What is being done, line by line, while the operator's environment is being made.
    pub fn progress(&self) -> broadcast::Receiver<String> {
        self.0.set("").progress.subscribe()
    }

    /// The same for that with a notebook's own packages.
    pub(super) fn progress_of(&self, item: &ItemRequirements) -> broadcast::Receiver<String> {
        self.0.set(&key_of(item)).progress.subscribe()
    }

    /// The Python of the operator's environment, once it is there. Callers at the same time share one making, which
    /// goes on even if they go away.
    pub async fn ready(&self) -> Result<PathBuf, EnvironmentError> {
        self.for_run(&ItemRequirements::default()).await.map(|environment| environment.python)
    }

    /// An environment for a notebook with these requirements of its own. Callers at the same time share one making,
    /// which goes on even if they go away.
    pub(super) async fn for_run(&self, item: &ItemRequirements) -> Result<Environment, EnvironmentError> {
        let (shared, item) = (Arc::clone(&self.0), item.clone());
        let asked = Instant::now();
        let making = tokio::spawn(async move { shared.for_run(&item, asked).await });
        let made = making.await.unwrap_or_else(|error| Err(self.0.io(&io::Error::other(error))));
        if self.0.is_due() {
            let shared = Arc::clone(&self.0);
            tokio::spawn(async move { shared.remove_unused().await });
        }
        made
    }

    /// A Python that is there without making anything, and that is the operator's own: to find out with what there
    /// is for notebooks.
    pub async fn at_hand(&self) -> Result<PathBuf, EnvironmentError> {
        match &self.0.config.python {
            Some(python) => base::check(python).await.map(|()| python.clone()),
            None => Ok(self.0.base().await?.executable),
        }
    }

    /// Whether [`Self::ready`] would answer at once, without making anything.
    pub async fn is_made(&self) -> bool {
        match &self.0.config.python {
            Some(python) => python.exists(),
            None => match self.0.wanted(&ItemRequirements::default()).await {
                Ok(wanted) => wanted.folder.manifest().is_some(),
                Err(_) => false,
            },
        }
    }

    /// Whether the operator has packages installed, so that the making takes long.
    pub fn has_packages(&self) -> bool {
        !self.0.config.packages.is_empty() || self.0.config.requirements.is_some()
    }

    /// Removes environments that nobody has used for a while; none that is in use, and not the operator's.
    pub async fn remove_unused(&self) {
        self.0.remove_unused().await;
    }
}

/// What people call it by: the beginning of its name.
fn short(folder: &Path) -> String {
    folder.file_name().unwrap_or_default().to_string_lossy().chars().take(12).collect()
}

#[cfg(test)]
mod tests;
