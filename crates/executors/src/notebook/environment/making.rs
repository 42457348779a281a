//! Makes the environment that a notebook wants, unless it is there: once, whoever else wants it at that time.

use std::fs;
use std::io;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, broadcast};

use super::super::limits::let_pass;
use super::base;
use super::build::{Builder, Plan};
use super::error::EnvironmentError;
use super::folder::{Failure, Lock};
use super::in_use::{Environment, Made};
use super::item::ItemRequirements;
use super::requirement::Requirement;
use super::wanted::Wanted;
use super::{Set, Shared, short};

/// How often unused environments are looked for, at most.
const BETWEEN_SWEEPS: Duration = Duration::from_hours(12);

/// Between two tries of a lock.
const LOOK: Duration = Duration::from_millis(200);

/// How many lines of a build are kept for those who read slowly.
const LINES: usize = 256;

impl Shared {
    pub(super) fn set(&self, key: &str) -> Arc<Set> {
        let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        if !sets.contains_key(key) {
            // Those of notebooks that come no more are nobody's.
            sets.retain(|key, set| key.is_empty() || Arc::strong_count(set) > 1);
        }
        let new = || Arc::new(Set { progress: broadcast::Sender::new(LINES), failed: Mutex::default() });
        Arc::clone(sets.entry(key.to_owned()).or_insert_with(new))
    }

    pub(super) async fn for_run(
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
        fs::create_dir_all(&self.folder).map_err(|error| self.io(&error))?;
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
    pub(super) fn is_due(&self) -> bool {
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
}

pub(super) fn key_of(item: &ItemRequirements) -> String {
    let all: Vec<String> = item.packages.iter().map(ToString::to_string).collect();
    all.join("\n")
}

fn not_allowed(item: &ItemRequirements, missing: &[&Requirement]) -> EnvironmentError {
    let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
    EnvironmentError::NotAllowed { field: item.fields.join(" and "), missing: missing.join(", ") }
}

fn say(progress: &broadcast::Sender<String>, line: String) {
    tracing::debug!(line, "Python environment");
    // Nobody may be listening.
    drop(progress.send(line));
}
