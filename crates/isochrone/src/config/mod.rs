//! The configuration: defaults < TOML file < environment < flags.
//!
//! `ISOCHRONE__SECTION__KEY` sets `section.key`; `ISOCHRONE_ADMIN_PASSWORD` and the like are short names, and a
//! secret may come from a file named by the variable with `_FILE` added. An unknown key is an error.

mod defaults;
mod file_rights;
mod list;
mod portal;
mod secret;
mod secrets;
mod sections;
mod shown;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use figment::providers::{Env, Format, Serialized, Toml};
use figment::{Figment, Source};
use serde::{Deserialize, Serialize};

pub(crate) use secret::Secret;
pub(crate) use sections::{Log, LogFormat};
pub(crate) use shown::Setting;

use isochrone_arcgis::http_job::HttpJobs;
use isochrone_arcgis::{Egress, Outbound, Portal, SignedIn, Trust};
use isochrone_domain::{Policies, TaskType};
use isochrone_executors::notebook::Destination;
use isochrone_executors::notebook::Secret as NotebookSecret;
use isochrone_portal::client_address::TrustedProxies;
use isochrone_portal::{ItemQuota, ItemQuotas};
use isochrone_scheduler::{Quota, Quotas, RetentionRules};

use crate::args::{Command, Global};
use portal::RealPortal;
use secrets::Secrets;
use sections::{
    Admin, Amqp, Artifacts, Clock, Guarded, Http, HttpJobServer, Https, Items, Limits, OAuth, Redis,
    RemoteNotebooks, Retention, SceneCooking, Worker, WorkflowManager,
};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Where everything is kept.
    pub(crate) data_dir: PathBuf,
    /// The first user's password; without it a random one is made and shown once.
    pub(crate) admin_password: Option<Secret>,
    pub(crate) http: Http,
    pub(crate) https: Https,
    pub(crate) oauth: OAuth,
    pub(crate) admin: Admin,
    pub(crate) portal: RealPortal,
    pub(crate) secrets: Secrets,
    pub(crate) egress: Guarded,
    pub(crate) scene_cook: SceneCooking,
    pub(crate) workflow_manager: WorkflowManager,
    pub(crate) notebook_server: RemoteNotebooks,
    /// Types that a server of one's own carries out: `[http_jobs.UpdateInsightsWorkbook]`.
    pub(crate) http_jobs: BTreeMap<TaskType, HttpJobServer>,
    pub(crate) redis: Redis,
    pub(crate) amqp: Amqp,
    pub(crate) artifacts: Artifacts,
    pub(crate) log: Log,
    pub(crate) worker: Worker,
    pub(crate) retention: Retention,
    pub(crate) notebook: isochrone_executors::notebook::Config,
    pub(crate) limits: Limits,
    pub(crate) items: Items,
    pub(crate) clock: Clock,
}

impl Config {
    pub(crate) fn store_clock(&self) -> isochrone_store::Clock {
        match self.clock.speed {
            0 | 1 => isochrone_store::Clock::SYSTEM,
            speed => isochrone_store::Clock::faster(speed, isochrone_domain::EpochMillis(self.clock.origin)),
        }
    }

    pub(crate) fn domain_limits(&self) -> isochrone_domain::Limits {
        isochrone_domain::Limits { strict_cron: self.limits.strict_cron, ..Default::default() }
    }

    pub(crate) fn quotas(&self) -> Quotas {
        let limits = &self.limits;
        let given = |limit: u64| Some(limit).filter(|limit| *limit > 0);
        let of_any = given(limits.active_tasks_per_user);
        let quota = |per_user, all| Quota {
            // Both hold.
            per_user: given(per_user).into_iter().chain(of_any).min(),
            per_organization: given(all),
        };
        TaskType::ALL.into_iter().fold(Quotas::default(), |quotas, kind| {
            let quota = match kind {
                TaskType::ExecuteNotebook => quota(limits.notebook_tasks_per_user, limits.notebook_tasks),
                TaskType::UpdateInsightsWorkbook => {
                    quota(limits.insights_tasks_per_user, limits.insights_tasks)
                }
                _ => quota(0, 0),
            };
            quotas.with(kind, quota)
        })
    }

    /// The reverse proxies in front of the portal.
    pub(crate) fn trusted_proxies(&self) -> TrustedProxies {
        TrustedProxies::new(self.http.trusted_proxies.clone(), self.http.forwarded_header)
    }

    /// How many items there may be.
    pub(crate) fn item_quotas(&self) -> ItemQuotas {
        let given = |limit: u64| Some(limit).filter(|limit| *limit > 0);
        let quota =
            |items, mib: u64| ItemQuota { items: given(items), bytes: given(mib.saturating_mul(1 << 20)) };
        let Items { per_user, mib_per_user, total, total_mib } = self.items;
        ItemQuotas { per_user: quota(per_user, mib_per_user), all: quota(total, total_mib) }
    }

    /// Of a task that says nothing of its own.
    pub(crate) fn policies(&self) -> Policies {
        let max_consecutive_failures = Some(self.limits.consecutive_failures).filter(|max| *max > 0);
        Policies { max_consecutive_failures, ..Policies::default() }
    }

    pub(crate) fn retention_rules(&self) -> RetentionRules {
        // On the store's clock.
        let days =
            |days: u64| Duration::from_hours(24).saturating_mul(u32::try_from(days).unwrap_or(u32::MAX));
        let Retention { runs_per_task, run_days, record_days } = self.retention;
        let (runs, records) = (days(run_days), days(record_days));
        RetentionRules { runs_per_task, runs, records, ..RetentionRules::default() }
    }

    /// The real portal, as whoever signs in there for the workers.
    pub(crate) fn arcgis(&self) -> Result<Option<SignedIn>> {
        let Some(connection) = self.portal.connection() else { return Ok(None) };
        let credentials = self.portal.credentials()?;
        Ok(Some(SignedIn::new(Portal::new(&connection).context("[portal]")?, credentials)))
    }

    /// Servers that guarded notebooks may reach beside `notebook.reach`.
    pub(crate) fn notebook_servers(&self) -> impl Iterator<Item = &str> {
        self.portal.url.iter().chain(&self.egress.servers).map(String::as_str)
    }

    /// Isochrone's own servers, which no notebook may reach.
    pub(crate) fn own_servers(&self) -> Vec<Destination> {
        let urls = [&self.redis.url, &self.amqp.url].into_iter().flatten();
        let named = urls.flat_map(|url| Destination::of_servers(url.reveal()));
        named.chain([self.admin.listen.into()]).collect()
    }

    /// Where tasks may send requests to.
    pub(crate) fn egress(&self) -> Result<Egress> {
        // What the operator names is listed by that.
        let named = [&self.workflow_manager.server, &self.scene_cook.server, &self.notebook_server.server];
        let named = named.into_iter().flatten();
        let servers: Vec<String> = self.egress.servers.iter().chain(named).cloned().collect();
        Ok(Egress::new(&servers, self.egress.open)?)
    }

    /// The way out for tasks. Requests that carry a token carry the portal's.
    pub(crate) fn outbound(&self, portal: Option<SignedIn>) -> Result<Outbound> {
        let trust = trust(self.egress.ca_file.clone(), false);
        Outbound::new(self.egress()?, &trust, portal, None).context("[egress]")
    }

    /// Has a server carry out this type, unless another one does.
    pub(crate) fn add_http_jobs(&mut self, kind: TaskType, url: String, token: &str) {
        let token = Some(Secret::new(token.to_owned()));
        self.http_jobs.entry(kind).or_insert(HttpJobServer { url, token, ca_file: None });
    }

    /// The servers that carry out whole types.
    pub(crate) fn http_jobs(&self) -> Result<Vec<(TaskType, HttpJobs)>> {
        let server = |(kind, server): (&TaskType, &HttpJobServer)| {
            let token = server.token.as_ref().map(|token| token.reveal().to_owned());
            let jobs = HttpJobs::new(&server.url, token, &trust(server.ca_file.clone(), false), None);
            Ok((*kind, jobs.with_context(|| format!("[http_jobs.{kind}]"))?))
        };
        self.http_jobs.iter().map(server).collect()
    }

    /// Child processes have working directories of their own.
    fn make_absolute(&mut self) -> Result<()> {
        for (setting, dir) in
            [("data_dir", Some(&mut self.data_dir)), ("artifacts.dir", self.artifacts.dir.as_mut())]
        {
            if let Some(dir) = dir {
                *dir = std::path::absolute(&*dir).with_context(|| format!("{setting} is no path"))?;
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<()> {
        tracing_subscriber::EnvFilter::try_new(&self.log.filter).context("log.filter can't be read")?;
        if self.worker.slots == 0 {
            bail!("worker.slots is 0: no run would ever start; expected at least 1");
        }
        if !(1..=3_600).contains(&self.worker.lease_seconds) {
            bail!("worker.lease_seconds is {}; expected 1 to 3600", self.worker.lease_seconds);
        }
        if self.amqp.url.is_some() && self.redis.url.is_none() {
            bail!(
                "amqp.url is set and redis.url is not: a fleet needs both its queue and its store \
                 (ISOCHRONE_REDIS_URL)"
            );
        }
        // What is wrong with it is told at once, whichever process it is.
        self.arcgis()?;
        self.secrets.keyring()?;
        isochrone_executors::notebook::check_secrets(&self.notebook.secrets)?;
        isochrone_executors::notebook::check_packages(&self.notebook)?;
        if self.admin.token.as_ref().is_some_and(|token| token.reveal().len() < 16) {
            bail!("admin.token is too short: expected at least 16 characters");
        }
        if self.retention.runs_per_task == 0 {
            bail!("retention.runs_per_task is 0; expected at least 1");
        }
        if !self.http.listen.ip().is_loopback() && !self.http.insecure {
            bail!(
                "http.listen is {}: HTTP listens on loopback only (tokens and passwords would cross the \
                 network in the clear); use https.listen, or a reverse proxy with TLS, or --insecure-http",
                self.http.listen
            );
        }
        if self.https.cert_file.is_some() != self.https.key_file.is_some() {
            bail!("https.cert_file and https.key_file belong together: only one of them is set");
        }
        Ok(())
    }
}

/// Whose certificates are believed.
pub(crate) fn trust(ca_file: Option<PathBuf>, insecure: bool) -> Trust {
    match ca_file {
        _ if insecure => Trust::Anybody,
        Some(file) => Trust::File(file),
        None => Trust::System,
    }
}

/// The configuration and where it came from.
pub(crate) struct Loaded {
    pub(crate) config: Config,
    figment: Figment,
    /// Files that hold secrets.
    secret_files: Vec<PathBuf>,
}

/// Reads the configuration.
pub(crate) fn load(global: &Global, command: &Command) -> Result<Loaded> {
    let mut figment = Figment::from(Serialized::defaults(Config::default()));
    let mut secret_files = Vec::new();
    if let Some(file) = config_file(global)? {
        check_syntax(&file)?;
        let alone = figment.clone().merge(Toml::file_exact(&file));
        if shown::has_secrets(&alone) {
            secret_files.push(file.clone());
        }
        figment = figment.merge(Toml::file_exact(file));
    }
    figment = figment.merge(Env::prefixed("ISOCHRONE__").split("__"));
    for (variable, key) in [
        ("ISOCHRONE_ADMIN_PASSWORD", "admin_password"),
        ("ISOCHRONE_ADMIN_TOKEN", "admin.token"),
        ("ISOCHRONE_PORTAL_PASSWORD", "portal.password"),
        ("ISOCHRONE_PORTAL_CLIENT_SECRET", "portal.client_secret"),
        ("ISOCHRONE_PORTAL_API_KEY", "portal.api_key"),
        ("ISOCHRONE_REDIS_URL", "redis.url"),
        ("ISOCHRONE_AMQP_URL", "amqp.url"),
    ] {
        secret_files.extend(secret::variable(&format!("{variable}_FILE")).map(PathBuf::from));
        if let Some(secret) = secret::from_environment(variable)? {
            figment = figment.merge(Named { key, value: secret.into(), by: "environment" });
        }
    }
    // Its file's rights are looked at, so the file is named rather than read.
    for (variable, key) in
        [("ISOCHRONE_SECRETS_KEY", "secrets.key"), ("ISOCHRONE_SECRETS_KEY_FILE", "secrets.key_file")]
    {
        if let Some(value) = secret::variable(variable) {
            figment = figment.merge(Named { key, value: value.into(), by: variable });
        }
    }
    for (key, by, url) in
        [("redis.url", "--redis-url", &global.redis_url), ("amqp.url", "--amqp-url", &global.amqp_url)]
    {
        if let Some(url) = url {
            figment = figment.merge(Named { key, value: url.clone().into(), by });
        }
    }
    if global.allow_weak_durability {
        let (key, by) = ("redis.allow_weak_durability", "--allow-weak-durability");
        figment = figment.merge(Named { key, value: true.into(), by });
    }
    if let Some(dir) = &global.data_dir {
        let dir = dir.to_string_lossy().into_owned();
        figment = figment.merge(Named { key: "data_dir", value: dir.into(), by: "--data-dir" });
    }
    for flag in command.flags() {
        figment = figment.merge(Named { key: flag.key, value: flag.value, by: flag.name });
    }
    let mut config: Config = figment.extract().context("the configuration can't be used")?;
    if let Some(dir) = &global.data_dir {
        // To the byte: a folder's name need not be UTF-8.
        config.data_dir.clone_from(dir);
    }
    config.make_absolute()?;
    config.check()?;
    let loaded = Loaded { config, figment, secret_files };
    Ok(loaded)
}

/// TOML's own errors show the line that they are about, and it may hold a password.
fn check_syntax(file: &Path) -> Result<()> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("the configuration file {shown}"))?;
    let Err(error) = toml::from_str::<toml::Table>(&text) else { return Ok(()) };
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    // Without what stands there.
    let problem = error.message().split(['`', '"']).next().unwrap_or_default().trim_end();
    bail!("the configuration file {shown} is no TOML in line {line}: {problem}")
}

fn config_file(global: &Global) -> Result<Option<PathBuf>> {
    match &global.config {
        Some(file) if !file.is_file() => bail!("the configuration file {} is not there", file.display()),
        Some(file) => Ok(Some(file.clone())),
        None => Ok(Some(Path::new("isochrone.toml")).filter(|file| file.is_file()).map(Path::to_path_buf)),
    }
}

/// One value from one place with a name.
struct Named {
    key: &'static str,
    value: figment::value::Value,
    by: &'static str,
}

impl figment::Provider for Named {
    fn metadata(&self) -> figment::Metadata {
        figment::Metadata::named(self.by)
    }

    fn data(
        &self,
    ) -> std::result::Result<figment::value::Map<figment::Profile, figment::value::Dict>, figment::Error>
    {
        let mut value = self.value.clone();
        let mut keys = self.key.rsplit('.');
        let last = keys.next().expect("a key has a part");
        let mut dict = figment::value::Dict::from([(last.to_owned(), value)]);
        for key in keys {
            value = dict.into();
            dict = figment::value::Dict::from([(key.to_owned(), value)]);
        }
        Ok(figment::value::Map::from([(figment::Profile::default(), dict)]))
    }
}

impl Loaded {
    /// Files that hold secrets and that others on this machine may read, each with who may.
    pub(crate) fn readable_by_others(&self) -> Vec<String> {
        let of_notebooks = self.config.notebook.secrets.values().flat_map(BTreeMap::values);
        let of_notebooks = of_notebooks.filter_map(|secret| match secret {
            NotebookSecret::File(file) => Some(file),
            _ => None,
        });
        let files: BTreeSet<&PathBuf> =
            self.secret_files.iter().chain(&self.config.secrets.key_file).chain(of_notebooks).collect();
        let problem = |file: &PathBuf| match file_rights::of(file) {
            Ok(Some(rights)) => Some(format!("{}: {rights}", file.display())),
            // What can't be looked at was read a moment ago.
            Ok(None) | Err(_) => None,
        };
        files.into_iter().filter_map(problem).collect()
    }

    /// Whether nobody has set this key.
    pub(crate) fn is_default(&self, key: &str) -> bool {
        self.origin(key) == "default"
    }

    fn origin(&self, key: &str) -> String {
        match self.figment.find_metadata(key) {
            Some(metadata) => match &metadata.source {
                Some(Source::File(path)) => path.display().to_string(),
                _ if metadata.name.contains("environment variable") => {
                    format!("ISOCHRONE__{}", key.to_uppercase().replace('.', "__"))
                }
                Some(Source::Code(_)) => "default".to_owned(),
                _ => metadata.name.to_string(),
            },
            None => "default".to_owned(),
        }
    }
}
