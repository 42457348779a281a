//! The Python that executes notebooks: one that the operator names, or a virtual environment that is built on first
//! use from the pinned packages that this program ships, the operator's (`[notebook] packages`, `requirements`), and,
//! where that is allowed, those that a notebook asks for itself.
//!
//! There is one environment for each distinct set ([`requirement`]), shared by the workers of a machine ([`folder`]),
//! built in the notebooks' sandbox ([`build`]), and removed when nobody has used it for a while ([`unused`]).

mod base;
mod build;
mod diagnosis;
mod error;
mod folder;
mod item;
mod requirement;
mod status;
mod unused;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex as SyncMutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use sha2::{Digest, Sha256};
use tokio::sync::{Mutex, OnceCell, broadcast};

use super::config::Config;
use super::limits::let_pass;
use super::network::{self, Lookup, Rules};
use base::Base;
use build::{BuildNetwork, Builder, Plan};
pub use error::EnvironmentError;
use folder::{Failure, Folder, Lock, Manifest};
pub(super) use item::ItemRequirements;
pub use requirement::BadRequirement;
use requirement::{Requirement, parse_list, parse_text};
pub use status::{EnvironmentState, EnvironmentStatus};

/// What every environment has.
const PINS: &str = include_str!("../requirements.txt");

/// Another layout of environments, and other ways to build them, make other environments.
const LAYOUT: &str = "2";

/// How often unused environments are looked for, at most.
const BETWEEN_SWEEPS: Duration = Duration::from_hours(12);

/// Between two tries of a lock.
const LOOK: Duration = Duration::from_millis(200);

/// The operator's file of requirements has no more bytes.
const LONGEST_FILE: u64 = 1 << 20;

/// How many lines of a build are kept for those who read slowly.
const LINES: usize = 256;

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

/// An environment that is in use: as long as this is there, nobody removes it.
#[derive(Debug)]
pub(super) struct Environment {
    /// Executes notebooks.
    pub(super) python: PathBuf,
    made: Option<Made>,
}

#[derive(Debug)]
struct Made {
    base: PathBuf,
    folder: Folder,
    manifest: Manifest,
    _lock: Lock,
}

/// What is wanted, and where it is.
struct Wanted {
    base: Base,
    requirements: Vec<Requirement>,
    folder: Folder,
    /// The settings or fields that name the packages.
    origin: String,
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

impl Environment {
    /// The operator's own Python, with which it can be found out what isolates notebooks.
    pub(super) fn base(&self) -> &Path {
        self.made.as_ref().map_or(&self.python, |made| &made.base)
    }

    /// What notebooks must be able to read to have it, beside what [`Self::base`] needs.
    pub(super) fn readable(&self) -> Option<PathBuf> {
        self.made.as_ref().map(|made| made.folder.env())
    }

    /// For a run's log.
    pub(super) fn line(&self) -> String {
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

impl Shared {
    fn set(&self, key: &str) -> Arc<Set> {
        let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        if !sets.contains_key(key) {
            // Those of notebooks that come no more are nobody's.
            sets.retain(|key, set| key.is_empty() || Arc::strong_count(set) > 1);
        }
        let new = || Arc::new(Set { progress: broadcast::Sender::new(LINES), failed: Mutex::default() });
        Arc::clone(sets.entry(key.to_owned()).or_insert_with(new))
    }

    /// Each run wants to know, and it takes a start of Python to find out.
    async fn base(&self) -> Result<Base, EnvironmentError> {
        let changed =
            |base: &Base| std::fs::metadata(&base.executable).and_then(|found| found.modified()).ok();
        let known = self.known_base.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((base, _)) = known.filter(|(base, when)| changed(base) == Some(*when)) {
            return Ok(base);
        }
        let base = Base::of(&self.base).await?;
        let known = changed(&base).map(|when| (base.clone(), when));
        *self.known_base.lock().unwrap_or_else(PoisonError::into_inner) = known;
        Ok(base)
    }

    async fn for_run(
        &self,
        item: &ItemRequirements,
        asked: Instant,
    ) -> Result<Environment, EnvironmentError> {
        if let Some(python) = &self.config.python {
            base::check(python).await?;
            if !item.packages.is_empty() {
                return Err(not_allowed(item, &item.packages.iter().collect::<Vec<_>>()));
            }
            return Ok(Environment { python: python.clone(), made: None });
        }
        let plain = ItemRequirements::default();
        if !item.is_empty() {
            let operators = self.wanted(&plain).await?;
            item.check_python(&operators.base.markers.python_full_version().version)?;
            let made = operators.folder.manifest().is_some();
            if item.packages.is_empty() || made || !self.config.item_requirements {
                let environment = self.made(&plain, asked).await?;
                let markers = &operators.base.markers;
                let packages = environment.made.as_ref().map(|made| made.manifest.packages.as_slice());
                let met = |one: &&Requirement| one.is_met_by(packages.unwrap_or_default(), markers);
                let missing: Vec<&Requirement> = item.packages.iter().filter(|one| !met(one)).collect();
                if missing.is_empty() {
                    return Ok(environment);
                }
                if !self.config.item_requirements {
                    return Err(not_allowed(item, &missing));
                }
            }
        }
        self.made(item, asked).await
    }

    async fn made(&self, item: &ItemRequirements, asked: Instant) -> Result<Environment, EnvironmentError> {
        std::fs::create_dir_all(&self.folder).map_err(|error| self.io(&error))?;
        // Notebooks may run as other users.
        let_pass(&self.folder);
        let wanted = self.wanted(item).await?;
        if let Some(found) = Self::found(&wanted).map_err(|error| self.io(&error))? {
            return Ok(found);
        }
        let set = self.set(&key_of(item));
        let mut failed = set.failed.lock().await;
        // Whoever waited for a try that failed need not try the same again.
        if let Some((when, error)) = &*failed
            && *when >= asked
        {
            return Err(error.clone());
        }
        let made = self.make(&wanted, &set.progress).await;
        *failed = made.as_ref().err().map(|error| (Instant::now(), error.clone()));
        drop(failed);
        if made.is_ok() {
            self.remove_unused().await;
        }
        made
    }

    /// Whether it is time to look for what is unused: a worker may run for months.
    fn is_due(&self) -> bool {
        let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        let due = swept.is_none_or(|when| when.elapsed() > BETWEEN_SWEEPS);
        if due {
            *swept = Some(Instant::now());
        }
        due
    }

    /// What is there already.
    fn found(wanted: &Wanted) -> io::Result<Option<Environment>> {
        if wanted.folder.manifest().is_none() {
            return Ok(None);
        }
        let Some(lock) = wanted.folder.share()? else { return Ok(None) };
        let Some(manifest) = wanted.folder.manifest() else { return Ok(None) };
        let (base, folder) = (wanted.base.executable.clone(), wanted.folder.clone());
        let made = Made { base, folder, manifest, _lock: lock };
        Ok(Some(Environment { python: wanted.folder.python(), made: Some(made) }))
    }

    /// One process at a time builds it; the others wait.
    async fn make(
        &self,
        wanted: &Wanted,
        progress: &broadcast::Sender<String>,
    ) -> Result<Environment, EnvironmentError> {
        let mut told = false;
        loop {
            if let Some(found) = Self::found(wanted).map_err(|error| self.io(&error))? {
                return Ok(found);
            }
            match wanted.folder.take().map_err(|error| self.io(&error))? {
                Some(lock) if wanted.folder.manifest().is_none() => {
                    self.build(wanted, &lock, &|line| say(progress, line)).await?;
                    continue;
                }
                Some(_) => continue,
                None if told => {}
                None => {
                    say(progress, "another process is creating the Python environment".to_owned());
                    told = true;
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn build(
        &self,
        wanted: &Wanted,
        lock: &Lock,
        say: &(dyn Fn(String) + Send + Sync),
    ) -> Result<(), EnvironmentError> {
        let Wanted { base, requirements, folder, origin } = wanted;
        self.make_room(folder).await?;
        let new = async || Builder::new(&self.parent().unwrap_or_else(|_| self.folder.clone()), &self.config);
        let builder = self.builder.get_or_init(new).await;
        let network = self.network.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let with =
            if requirements.is_empty() { String::new() } else { format!(" with the packages of {origin}") };
        say(format!("creating the Python environment in {} (once){with}", folder.path().display()));
        let names: Vec<&str> = requirements.iter().map(Requirement::name).collect();
        tracing::info!(
            environment = short(folder.path()),
            packages = names.join(" "),
            "building a Python environment"
        );
        let plan = Plan { base, folder, requirements, origin };
        match builder.build(&plan, lock, network, say).await {
            Ok(manifest) => {
                let (mib, seconds) = (manifest.bytes >> 20, manifest.seconds);
                tracing::info!(
                    environment = short(folder.path()),
                    mib,
                    seconds,
                    "the Python environment is ready"
                );
                say(format!("the Python environment is ready ({seconds} s, {mib} MiB)"));
                Ok(())
            }
            Err(error) => {
                tracing::error!(environment = short(folder.path()), %error, "the Python environment can't be built");
                let requirements = requirements.iter().map(ToString::to_string).collect();
                let failure = Failure { requirements, message: error.to_string() };
                if let Err(error) = folder.fail(lock, &failure) {
                    tracing::warn!(%error, "what went wrong can't be kept for `isochrone doctor`");
                }
                Err(error)
            }
        }
    }

    /// What a notebook with these requirements wants.
    async fn wanted(&self, item: &ItemRequirements) -> Result<Wanted, EnvironmentError> {
        let base = self.base().await?;
        let mut requirements = parse_list("notebook.packages", &self.config.packages)?;
        requirements.extend(self.requirements_file()?);
        let settings = [
            ("[notebook] packages", !self.config.packages.is_empty()),
            ("[notebook] requirements", self.config.requirements.is_some()),
        ];
        let settings = settings.iter().filter(|(_, set)| *set).map(|(name, _)| *name);
        let origin: Vec<&str> = settings.chain(item.fields.iter().copied()).collect();
        requirements.extend(item.packages.iter().cloned());
        requirements.sort_by_cached_key(ToString::to_string);
        requirements.dedup();
        let name = self.name_of(&base, &requirements);
        let parent = self.parent().map_err(|error| self.io(&error))?;
        Ok(Wanted { folder: Folder::of(&parent, &name), origin: origin.join(" and "), base, requirements })
    }

    fn requirements_file(&self) -> Result<Vec<Requirement>, EnvironmentError> {
        let Some(file) = &self.config.requirements else { return Ok(Vec::new()) };
        let unreadable = |error: io::Error| EnvironmentError::RequirementsFile {
            file: file.display().to_string(),
            detail: error.to_string(),
        };
        let size = std::fs::metadata(file).map_err(unreadable)?.len();
        if size > LONGEST_FILE {
            return Err(unreadable(io::Error::other(format!("it has more than {LONGEST_FILE} bytes"))));
        }
        let text = std::fs::read_to_string(file).map_err(unreadable)?;
        Ok(parse_text(&format!("notebook.requirements ({})", file.display()), &text)?)
    }

    /// Another Python, other pinned packages, another platform or other requirements make another environment.
    fn name_of(&self, base: &Base, requirements: &[Requirement]) -> String {
        let sources = if self.config.allow_source_builds { "sources" } else { "wheels" };
        let mut digest = Sha256::new();
        for part in [LAYOUT, &base.key(), sources, PINS] {
            digest.update(part);
            digest.update([0]);
        }
        for requirement in requirements {
            digest.update(requirement.to_string());
            digest.update([0]);
        }
        // Notebooks may choose requirements: none may find some that have another's name.
        hex::encode(&digest.finalize()[..16])
    }

    /// The folder that environments are in, by its own name where it is there.
    fn parent(&self) -> io::Result<PathBuf> {
        self.folder.canonicalize().or_else(|_| std::path::absolute(&self.folder))
    }

    fn io(&self, error: &io::Error) -> EnvironmentError {
        EnvironmentError::Io { folder: self.folder.display().to_string(), detail: error.to_string() }
    }
}

fn key_of(item: &ItemRequirements) -> String {
    let all: Vec<String> = item.packages.iter().map(ToString::to_string).collect();
    all.join("\n")
}

fn not_allowed(item: &ItemRequirements, missing: &[&Requirement]) -> EnvironmentError {
    let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
    EnvironmentError::NotAllowed { field: item.fields.join(" and "), missing: missing.join(", ") }
}

/// What people call it by: the beginning of its name.
fn short(folder: &Path) -> String {
    folder.file_name().unwrap_or_default().to_string_lossy().chars().take(12).collect()
}

fn say(progress: &broadcast::Sender<String>, line: String) {
    tracing::debug!(line, "Python environment");
    // Nobody may be listening.
    drop(progress.send(line));
}

#[cfg(test)]
mod tests;
