//! Puts the parts together: which store, which queue, which executors.

pub(crate) mod artifacts;
mod declared;
mod executors;
mod homes;
mod line;
mod measured;
mod notebooks;
mod reach;
mod records;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result, bail};
use isochrone_arcgis::SignedIn;
use isochrone_domain::{Action, ArtifactsId, AuditEntry, EpochMillis, Role, UnknownFields, User};
use isochrone_executors::WayOut;
use isochrone_executors::notebook::PythonEnvironment;
use isochrone_portal::passwords::Hasher;
use isochrone_scheduler::{Caller, Submissions, Wake};
use isochrone_store::chain::AuditKey;
use isochrone_store::clocks::ClockGuard;
use isochrone_store::redis::{Options, RedisStore};
use isochrone_store::seal::SealedStore;
use isochrone_store::sqlite::SqliteStore;
use isochrone_store::{ItemSource, Store, StoredItems};
use isochrone_telemetry::Metrics;
use object_store::ObjectStore;

use crate::config::Config;

pub(crate) use executors::executors;
pub(crate) use line::Line;
use measured::Measured;
use notebooks::PortalNotebooks;

/// The store and what stands on it: all that a command needs.
pub(crate) struct House {
    pub(crate) data_dir: PathBuf,
    pub(crate) store: Arc<dyn Store>,
    /// The same for what decides by time: it refuses that while the clocks disagree.
    pub(crate) clocks: Arc<ClockGuard>,
    /// The same, as what seals its secrets.
    pub(crate) sealed: Arc<SealedStore>,
    pub(crate) artifacts: Arc<dyn ObjectStore>,
    /// Which folder that is.
    pub(crate) artifacts_id: ArtifactsId,
    /// The portal that this process stands in front of. One sign-in for all that ask it.
    pub(crate) portal: Option<SignedIn>,
    /// How other servers are reached for tasks. One for all, so that tokens are exchanged once.
    pub(crate) way_out: WayOut,
    /// Where the items are that tasks run.
    pub(crate) items: Arc<dyn ItemSource>,
    pub(crate) submissions: Arc<Submissions>,
    pub(crate) wake: Wake,
    /// Where notebooks run.
    pub(crate) python: PythonEnvironment,
    /// How notebooks reach the portal, once that is known.
    pub(crate) portal_url: Arc<OnceLock<String>>,
    /// What hashes passwords in this process.
    pub(crate) passwords: Arc<Hasher>,
    /// What this process counts.
    pub(crate) metrics: Metrics,
}

impl House {
    /// Opens the data directory; makes it where it is missing.
    pub(crate) async fn open(config: &Config) -> Result<House> {
        let data_dir = config.data_dir.clone();
        make_private_dir(&data_dir)?;
        let metrics = Metrics::new();
        let sealed = open_sealed(config, &data_dir).await?;
        let admitted = sealed.admit().await.context("secrets")?;
        if !admitted.waiting_for.is_empty() {
            let waiting_for = admitted.waiting_for.join(", ");
            tracing::warn!(waiting_for, "the new key seals nothing before these processes have it, too");
        }
        let store: Arc<dyn Store> =
            Arc::new(Measured { store: Arc::clone(&sealed) as Arc<dyn Store>, metrics: metrics.clone() });
        let clocks = Arc::new(ClockGuard::new(store));
        let store: Arc<dyn Store> = Arc::new(clocks.going_on());
        let artifacts_dir = config.artifacts.dir.clone().unwrap_or_else(|| data_dir.join("artifacts"));
        let own = store.installation().await.context(match &config.redis.url {
            Some(_) => "redis.url",
            None => "data_dir",
        })?;
        let (artifacts, artifacts_id) = artifacts::open(&artifacts_dir, &*store, own).await?;
        let wake = Wake::new();
        let submissions = Submissions::new(
            Arc::clone(&clocks) as Arc<dyn Store>,
            config.domain_limits(),
            config.quotas(),
            wake.clone(),
        );
        let submissions = match reach::EgressRule::new(config)? {
            Some(rule) => submissions.with_reach(Arc::new(rule)),
            None => submissions,
        };
        let portal = config.arcgis()?;
        let way_out = executors::way_out(&store, config, portal.clone())?;
        let items: Arc<dyn ItemSource> = match &portal {
            Some(portal) => Arc::new(PortalNotebooks(portal.clone())),
            None => Arc::new(StoredItems(Arc::clone(&store))),
        };
        let declared = declared::Declared::new(&store, config, portal.as_ref(), &way_out);
        let submissions = submissions.with_items(Arc::clone(&items)).with_parameters(Arc::new(declared));
        let submissions = Arc::new(submissions.with_metrics(metrics.clone()));
        let python = PythonEnvironment::new(data_dir.join("python"), &config.notebook);
        let portal_url = Arc::new(config.http.public_url.clone().map_or_else(OnceLock::new, OnceLock::from));
        Ok(House {
            data_dir,
            store,
            clocks,
            sealed,
            artifacts,
            artifacts_id,
            portal,
            way_out,
            items,
            submissions,
            wake,
            python,
            portal_url,
            passwords: Arc::default(),
            metrics,
        })
    }

    /// Opens a store that is there.
    pub(crate) async fn open_existing(config: &Config) -> Result<House> {
        if config.redis.url.is_none() && !config.data_dir.is_dir() {
            bail!(
                "there is no data directory at {}; start `isochrone up` first, or name it with --data-dir",
                config.data_dir.display()
            );
        }
        House::open(config).await
    }

    /// Whoever may open the data directory may do everything in it.
    pub(crate) fn operator() -> Caller {
        let user = User {
            name: "admin".to_owned(),
            role: Role::Admin,
            password_hash: String::new(),
            created: EpochMillis(0),
            last_login: None,
            disabled: None,
            epoch: 0,
            unknown: UnknownFields::NONE,
        };
        Caller { user, ip: None }
    }
}

/// The store in which what is secret is sealed. Nothing seals before the store was asked which keys are in use.
pub(crate) async fn open_sealed(config: &Config, data_dir: &std::path::Path) -> Result<Arc<SealedStore>> {
    let ring = Arc::new(config.secrets.keyring()?);
    let store = open_store(config, data_dir, Arc::new(AuditKey::of(&ring))).await?;
    Ok(Arc::new(SealedStore::new(store, ring)))
}

/// The fleet's store where its URL is configured, else the embedded one.
async fn open_store(
    config: &Config,
    data_dir: &std::path::Path,
    audit_key: Arc<AuditKey>,
) -> Result<Arc<dyn Store>> {
    let clock = config.store_clock();
    let Some(url) = &config.redis.url else {
        let store = SqliteStore::open_with(data_dir, clock, audit_key);
        return Ok(Arc::new(store.with_context(|| format!("data_dir ({})", data_dir.display()))?));
    };
    let options = Options {
        clock,
        prefix: config.redis.prefix.clone(),
        ca_file: config.redis.ca_file.clone(),
        allow_weak_durability: config.redis.allow_weak_durability,
        audit_key,
    };
    let store = RedisStore::open(url.reveal(), options)
        .await
        .context("redis.url (ISOCHRONE_REDIS_URL, --redis-url)")?;
    Ok(Arc::new(store))
}

/// Makes a directory that only its owner can enter: it holds password hashes and other people's data.
pub(crate) fn make_private_dir(dir: &std::path::Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| format!("the folder {} can't be made", dir.display()))
}

/// What the command line does, is done by the operator.
pub(crate) fn audit(action: Action, at: EpochMillis, title: &str, owner: &str) -> AuditEntry {
    AuditEntry::new(at, "admin", action, owner, title)
}
