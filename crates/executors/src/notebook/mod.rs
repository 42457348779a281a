//! ExecuteNotebook on this machine: a driver on nbclient, in a Python environment of our own making.
//!
//! The way of a run: get the item's bytes ([`Notebooks`]), make the environment if it is not there yet
//! ([`PythonEnvironment`]), find what isolates it ([`Isolator`]), start the driver in a folder of its own,
//! supervise it, keep what it executed, and say how it ended.

mod config;
mod document;
mod driver;
mod ending;
mod environment;
mod events;
mod files;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod home;
mod isolation;
mod limits;
mod lines;
mod missing_module;
mod network;
mod owners_folder;
mod processes;
mod scratch;
mod secrets;
mod supervise;
mod sweep;
mod tree;

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use ending::no_notebook;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use isochrone_domain::{
    AttemptEnd, ItemId, ItemSnapshot, LogStream, Reason, Task, TaskType, check_item, item_digest,
    notebook_outputs,
};
use isochrone_worker::{Attempt, Executor};

pub use config::{Config, Isolation, Network};
pub use environment::{
    BadRequirement, EnvironmentError, EnvironmentState, EnvironmentStatus, PythonEnvironment, check_packages,
};
pub use home::{Home, Homes};
pub use isolation::{IsolationError, Isolator, NetworkFound, Tier};
pub use limits::{Held, Limited, LimitsFound, NoUserRange, UserRange};
pub use network::{Destination, Lookup, NetworkTier, NoReach, Reach, Rules};
pub use secrets::{Secret, Secrets, UnusableSecret, check as check_secrets};

use document::Received;
use driver::{Driver, NotebookInput};
use ending::Kept;
use environment::{Environment, ItemRequirements};
use isolation::Confinement;
use network::RunNetwork;
use scratch::Scratch;
use secrets::{RunSecrets, masked_notebook};

use crate::{declared, remote};

/// Where notebooks come from.
#[async_trait]
pub trait Notebooks: Send + Sync {
    /// The item's .ipynb as it was stored, and what is known of the item; none if there is no such item that the user
    /// `reader` may read. The digest in it counts for nothing: that of the bytes does.
    async fn content(&self, id: ItemId, reader: &str) -> Result<Option<(ItemSnapshot, Vec<u8>)>, NoContent>;
}

/// Why a notebook could not be had.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NoContent {
    /// Isochrone's own store failed.
    #[error("the store: {0}")]
    Store(String),
    /// The portal did not give it.
    #[error("the portal: {0}")]
    Portal(isochrone_arcgis::Error),
}

/// Carries out ExecuteNotebook.
pub struct ExecuteNotebook {
    notebooks: Arc<dyn Notebooks>,
    environment: PythonEnvironment,
    isolator: Isolator,
    config: Config,
    /// The folders of the attempts are in it.
    scratch: PathBuf,
    homes: Option<Arc<dyn Homes>>,
    rules: Rules,
    lookup: Option<Arc<dyn Lookup>>,
}

impl ExecuteNotebook {
    /// Executes what `notebooks` has, in `environment`. Working folders are made below `data_dir`; what
    /// an earlier process left there is removed.
    pub fn new(
        data_dir: &Path,
        environment: PythonEnvironment,
        notebooks: Arc<dyn Notebooks>,
        config: Config,
    ) -> ExecuteNotebook {
        let scratch = data_dir.join("tmp");
        sweep::sweep_in_background(scratch.clone());
        let isolator = Isolator::new(&scratch, &config);
        let indexes = network::package_indexes(&config.environment);
        let rules =
            Rules::default().with_reach(&config.reach).with_servers(indexes.iter().map(String::as_str));
        let (homes, lookup) = (None, None);
        ExecuteNotebook { notebooks, environment, isolator, config, scratch, homes, rules, lookup }
    }

    /// Guarded notebooks may reach these servers, too, and never Isochrone's `own`.
    pub fn with_servers<'a>(
        self,
        servers: impl IntoIterator<Item = &'a str>,
        own: impl IntoIterator<Item = Destination>,
    ) -> ExecuteNotebook {
        let own: Vec<Destination> = own.into_iter().collect();
        self.environment.use_network(|rules| rules.without(own.clone()), None);
        let rules = self.rules.with_servers(servers).without(own);
        ExecuteNotebook { rules, ..self }
    }

    /// With another way from names to addresses than the machine's, for what notebooks connect to.
    pub fn with_lookup(self, lookup: Arc<dyn Lookup>) -> ExecuteNotebook {
        self.environment.use_network(|rules| rules, Some(Arc::clone(&lookup)));
        ExecuteNotebook { lookup: Some(lookup), ..self }
    }

    /// With `GIS("home")` leading where `homes` says.
    pub fn with_homes(self, homes: Arc<dyn Homes>) -> ExecuteNotebook {
        ExecuteNotebook { homes: Some(homes), ..self }
    }

    /// What finds out how notebooks are isolated here.
    pub fn isolator(&self) -> Isolator {
        self.isolator.clone()
    }

    async fn carry_out(&self, attempt: &Attempt) -> Result<AttemptEnd, AttemptEnd> {
        let notebook = self.notebook(attempt).await?;
        let secrets = self.secrets(attempt.task())?;
        attempt.hide(secrets.mask());
        declared::check_notebook(attempt, &notebook).await?;
        let environment = self.environment(attempt, &notebook).await?;
        let confinement = self.confinement(&environment).await?;
        let mut scratch = Scratch::new(&self.scratch).map_err(|error| internal("working folder", &error))?;
        let end =
            self.execute_in(&mut scratch, attempt, &environment, &confinement, notebook, &secrets).await;
        scratch.remove().await;
        end
    }

    async fn execute_in(
        &self,
        scratch: &mut Scratch,
        attempt: &Attempt,
        environment: &Environment,
        confinement: &Confinement,
        notebook: Vec<u8>,
        secrets: &RunSecrets,
    ) -> Result<AttemptEnd, AttemptEnd> {
        let began = Instant::now();
        let parameters = attempt.task().parameters.as_deref();
        let owners = owners_folder::share(attempt, confinement, &self.config, scratch, &notebook).await;
        let home = self.open_home(attempt, scratch).await?;
        let rules = self.rules.clone().with_servers(home.as_ref().map(|home| home.portal_url.as_str()));
        let mut network = RunNetwork::new(rules, self.lookup.clone());
        let walls = format!("network: {}; limits: {}", confinement.network, confinement.held());
        attempt.log(LogStream::System, walls).await;
        attempt.log(LogStream::System, environment.line()).await;
        let (driver, streams, document) = Driver::start(
            &environment.python,
            confinement,
            scratch,
            &self.config,
            NotebookInput { notebook: &notebook, parameters, outputs: notebook_outputs(&notebook), secrets },
            attempt,
            &mut network,
        )
        .await
        .map_err(|error| internal("notebook driver", &error))?;
        drop(notebook);
        let seen =
            supervise::supervise(driver, streams, document, attempt, secrets.mask(), &self.config, owners);
        let mut seen = network.log_during(attempt, seen).await;
        if let (Some(homes), Some(home)) = (&self.homes, &home) {
            homes.close(&attempt.task().owner, home).await;
        }
        let document = std::mem::take(&mut seen.document);
        let kept = Self::keep(attempt, document, &seen, secrets).await;
        let own = scratch.own_folder();
        files::keep(attempt, own, seen.stopped, kept.name(), secrets.mask(), &self.config).await;
        Ok(ending::ending(&seen, &kept, began.elapsed(), &self.config))
    }

    /// Where the run's `GIS("home")` leads, which its folder says from now on.
    async fn open_home(&self, attempt: &Attempt, scratch: &Scratch) -> Result<Option<Home>, AttemptEnd> {
        let Some(homes) = &self.homes else { return Ok(None) };
        let length = attempt.task().policies.timeout_ms;
        let length = length.map_or_else(|| self.config.timeout(), Duration::from_millis);
        let home = homes.open(&attempt.task().owner, attempt.run().id, length).await;
        let home = home.map_err(|error| internal("token for GIS(\"home\")", &error))?;
        if let Some(home) = &home {
            home.write(&scratch.auth_file()).map_err(|error| internal("NB_AUTH_FILE", &error))?;
        }
        Ok(home)
    }

    /// The very bytes that are checked are those that are executed.
    async fn notebook(&self, attempt: &Attempt) -> Result<Vec<u8>, AttemptEnd> {
        let task = attempt.task();
        let Some(id) = task.item_id else {
            let result = "the task names no item to execute".to_owned();
            return Err(AttemptEnd::SubmitFailed { reason: Reason::ItemMissing, result });
        };
        let content = self.notebooks.content(id, &task.owner).await.map_err(|error| {
            let reason = match &error {
                NoContent::Store(_) => Reason::Internal,
                NoContent::Portal(error) => remote::reason(error),
            };
            AttemptEnd::SubmitFailed { reason, result: format!("item: {error}") }
        })?;
        let (mut item, content) = content.ok_or_else(|| AttemptEnd::SubmitFailed {
            reason: Reason::ItemMissing,
            result: format!("the item {id} does not exist or is not the task owner's to read"),
        })?;
        item.version.digest = item_digest(&content);
        attempt.item(item.clone()).await;
        check_item(task, id, &item).map_err(|changed| AttemptEnd::SubmitFailed {
            reason: Reason::ItemChanged,
            result: changed.to_string(),
        })?;
        match ending::no_notebook(&content) {
            None => Ok(content),
            Some(why) => Err(AttemptEnd::Failed { reason: Reason::BadInput, result: why }),
        }
    }

    /// What the task's owner has in `[notebook.secrets]`.
    fn secrets(&self, task: &Task) -> Result<RunSecrets, AttemptEnd> {
        let Config { secrets, environment, .. } = &self.config;
        RunSecrets::of(secrets, &task.owner, environment).map_err(|error| AttemptEnd::SubmitFailed {
            reason: Reason::BackendNotConfigured,
            result: error.to_string(),
        })
    }

    /// The environment that the notebook needs. While it is being made, the run's log shows how far that is.
    async fn environment(&self, attempt: &Attempt, notebook: &[u8]) -> Result<Environment, AttemptEnd> {
        let item = ItemRequirements::of(notebook)
            .map_err(|error| AttemptEnd::Failed { reason: Reason::BadInput, result: error.to_string() })?;
        let mut lines = self.environment.progress_of(&item);
        let mut ready = std::pin::pin!(self.environment.for_run(&item));
        loop {
            tokio::select! {
                biased;
                reason = attempt.stopped() => {
                    let result = format!("stopped ({reason:?}) while the Python environment was being made");
                    return Err(AttemptEnd::Failed { reason: Reason::Cancelled, result });
                }
                Ok(line) = lines.recv() => attempt.log(LogStream::System, line).await,
                made = &mut ready => return made.map_err(|error| ending::no_environment(&error)),
            }
        }
    }

    async fn confinement(&self, environment: &Environment) -> Result<Confinement, AttemptEnd> {
        let confinement = self.isolator.confinement(environment.base()).await;
        let confinement = confinement.map_err(|error| AttemptEnd::SubmitFailed {
            reason: Reason::BackendNotConfigured,
            result: error.to_string(),
        })?;
        Ok(match environment.readable() {
            Some(path) => confinement.with_readable(path),
            None => confinement,
        })
    }

    /// Keeps the executed notebook, whole or as far as it came.
    async fn keep(
        attempt: &Attempt,
        document: Received,
        seen: &supervise::Seen,
        secrets: &RunSecrets,
    ) -> Kept {
        if seen.stopped == Some(isochrone_worker::StopReason::LeaseLost) {
            return Kept::No("the attempt's lease was lost".to_owned());
        }
        if let Some(problem) = &document.problem {
            let line = format!("the executed notebook is kept as it was earlier, if at all: {problem}");
            attempt.log(LogStream::System, line).await;
        }
        let Some(last) = document.last else {
            let why = document.problem.unwrap_or_else(|| "there is none".to_owned());
            return Kept::No(format!("no executed notebook: {why}"));
        };
        let name = artifact_name(attempt.task());
        let mask = secrets.mask().clone();
        let read = move || masked_notebook(&mask, last.read()?).map_err(std::io::Error::other);
        let kept = match tokio::task::spawn_blocking(read).await {
            Ok(Ok(data)) => attempt
                .keep(&name, "application/x-ipynb+json", Bytes::from(data))
                .await
                .map_err(|error| error.to_string()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match kept {
            Ok(()) => Kept::As(name),
            Err(error) => {
                let why = format!("the executed notebook could not be kept: {error}");
                attempt.log(LogStream::System, why.clone()).await;
                Kept::No(why)
            }
        }
    }
}

#[async_trait]
impl Executor for ExecuteNotebook {
    fn kind(&self) -> TaskType {
        TaskType::ExecuteNotebook
    }

    fn default_timeout(&self) -> Duration {
        self.config.timeout()
    }

    fn reads_item(&self) -> bool {
        true
    }

    async fn execute(&self, attempt: &Attempt) -> AttemptEnd {
        self.carry_out(attempt).await.unwrap_or_else(|end| end)
    }
}

fn internal(what: &str, error: &dyn std::fmt::Display) -> AttemptEnd {
    AttemptEnd::Failed { reason: Reason::Internal, result: format!("{what}: {error}") }
}

/// The task's title as a plain file name; its item's id where it has none.
fn artifact_name(task: &Task) -> String {
    const LONGEST: usize = 80;
    let plain: String = task
        .title
        .chars()
        .map(|c| if c.is_alphanumeric() || " -_.()".contains(c) { c } else { '_' })
        .take(LONGEST)
        .collect();
    let plain = plain.trim_matches([' ', '.']);
    let stem = match (plain, task.item_id) {
        ("", Some(item)) => item.to_string(),
        ("", None) => "notebook".to_owned(),
        (plain, _) => plain.strip_suffix(".ipynb").unwrap_or(plain).to_owned(),
    };
    stem + ".ipynb"
}
