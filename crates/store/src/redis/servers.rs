//! Looks at the servers: are they new enough, and do they keep what they acknowledge? At the start and all the time,
//! since replicas come and go and settings are changed.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::future::join_all;
use redis::{Client, Cmd, ConnectionAddr, ConnectionInfo, TlsCertificates, Value, cmd};
use tokio::time::timeout;
use tracing::{error, info, warn};

use super::address::uses_tls;
use super::batch::{Answers, Batch, parse};
use super::durability::{Durability, Wait};
use super::keys::Shard;
use super::link::Link;
use super::replication::{self, Own, Replica, field};
use crate::{Result, StoreError};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(10);

/// How long a replica may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The oldest version that is known to do.
const OLDEST: (u32, u32) = (6, 2);

/// The settings without which Redis may lose what it acknowledged, and their names in `INFO`.
const DURABLE: [(&str, &str, &str); 4] = [
    ("appendonly", "yes", "aof_enabled:1"),
    ("appendfsync", "always", ""),
    ("no-appendfsync-on-rewrite", "no", ""),
    ("maxmemory-policy", "noeviction", "maxmemory_policy:noeviction"),
];

const SECTIONS: [&str; 4] = ["server", "persistence", "memory", "replication"];

const MIN_REPLICAS: &str = "min-replicas-to-write";

/// The way to the servers, and to their replicas.
pub(super) struct Servers {
    /// The one on which commits travel: what may be done there is tried.
    pub(super) link: Arc<Link>,
    /// With which login the replicas are asked; none: there are none.
    pub(super) login: Option<(ConnectionInfo, Option<TlsCertificates>)>,
}

/// What was seen.
pub(super) struct Seen {
    waits: Vec<(Shard, Wait)>,
    /// What is weaker than it must be, and how it is changed.
    pub(super) weak: Vec<String>,
}

/// One server as it tells of itself.
struct Master {
    info: String,
    /// In the order of [`DURABLE`]. None: it does not tell.
    settings: Vec<Option<String>>,
    min_replicas: Option<u32>,
    /// Whether this login may wait for replicas.
    waits: Result<()>,
    /// The same for their disks.
    waits_for_disks: bool,
}

impl Seen {
    /// Commits wait from now on as it says.
    pub(super) fn apply(&self, durability: &Durability) {
        for (shard, wait) in &self.waits {
            durability.set_wait(*shard, *wait);
        }
    }
}

impl Servers {
    /// Looks at each master that has a shard, and at its replicas.
    pub(super) async fn look(&self) -> Result<Seen> {
        let one = self.link.is_one_server();
        let shards: Vec<Shard> = if one { vec![Shard::COMMON] } else { Shard::all().collect() };
        let mut batch = Batch::default();
        for shard in &shards {
            ask_master(&mut batch, *shard);
        }
        let mut answers = Answers::new(self.link.values(batch).await?, 0, 0);
        let mut known: HashMap<String, Wait> = HashMap::new();
        let mut seen = Seen { waits: Vec::new(), weak: Vec::new() };
        for shard in shards {
            let master = take_master(&mut answers)?;
            check_version(&master.info)?;
            let id = field(&master.info, "run_id").unwrap_or_default().to_owned();
            let wait = if let Some(wait) = known.get(&id).filter(|_| !id.is_empty()) {
                *wait
            } else {
                let (wait, weak) = self.judge(&master).await;
                seen.weak.extend(weak);
                known.insert(id, wait);
                wait
            };
            seen.waits.push((shard, wait));
        }
        if one && let Some((_, wait)) = seen.waits.first().copied() {
            seen.waits = Shard::all().map(|shard| (shard, wait)).collect();
        }
        seen.weak.sort();
        seen.weak.dedup();
        Ok(seen)
    }

    async fn judge(&self, master: &Master) -> (Wait, Vec<String>) {
        let mut weak = weak_settings(master);
        let replicas = self.asked(replication::replicas(&master.info)).await;
        let min_replicas = master.min_replicas.unwrap_or_else(|| {
            // Redis tells of good ones only where it demands some.
            u32::from(field(&master.info, "min_slaves_good_slaves").is_some())
        });
        weak.extend(replication::weaknesses(&replicas, min_replicas, !self.link.is_one_server()));
        let wait = replication::wait(&master.info, &replicas, min_replicas);
        match &master.waits {
            Err(error) if wait != Wait::Nothing => {
                weak.push(format!(
                    "its replicas can't be waited for ({error}): let the user of redis.url use the command `WAIT` (ACL \
                     SETUSER name +wait +waitaof)"
                ));
                (Wait::Nothing, weak)
            }
            _ => match wait {
                Wait::Disk(replicas) if !master.waits_for_disks => (Wait::Memory(replicas), weak),
                wait => (wait, weak),
            },
        }
    }

    /// The replicas with what they say of themselves.
    async fn asked(&self, replicas: Vec<Replica>) -> Vec<Replica> {
        let Some((login, certificates)) = &self.login else { return replicas };
        join_all(replicas.into_iter().map(async |replica| {
            let own =
                timeout(PATIENCE, ask_replica(&replica, login, certificates.clone())).await.ok().flatten();
            if own.is_none() {
                let Replica { host, port, .. } = &replica;
                info!(%host, port, "a replica of Redis can't be asked for its settings");
            }
            Replica { own, ..replica }
        }))
        .await
    }

    /// Looks again and again, as long as somebody uses what is known.
    pub(super) async fn watch(self, known: Weak<Durability>, allow_weak: bool) {
        loop {
            tokio::time::sleep(EVERY).await;
            let seen = self.look().await;
            let Some(durability) = known.upgrade() else { return };
            let Ok(seen) = seen else {
                // Whoever needs the store says that it is away.
                continue;
            };
            seen.apply(&durability);
            let weak = (!seen.weak.is_empty()).then(|| problem(&seen.weak));
            let before = durability.set_weak(weak.clone());
            match weak {
                Some(weak) if before.as_ref() != Some(&weak) && allow_weak => warn!("{weak}"),
                Some(weak) if before.as_ref() != Some(&weak) => error!("{weak}"),
                None if before.is_some() => info!("Redis keeps what it acknowledges again"),
                _ => {}
            }
        }
    }
}

/// What is weaker than it must be, in one sentence.
pub(super) fn problem(weak: &[String]) -> String {
    format!("Redis may lose what it acknowledged: {}", weak.join("; "))
}

fn config_get(name: &str) -> Cmd {
    let mut command = cmd("CONFIG");
    command.arg("GET").arg(name);
    command
}

fn ask_master(batch: &mut Batch, shard: Shard) {
    for section in SECTIONS {
        batch.add(shard, ["INFO", section]);
    }
    for (name, _, _) in DURABLE {
        batch.push(shard, config_get(name));
    }
    batch.push(shard, config_get(MIN_REPLICAS));
    // Answered at once; an error where it is forbidden, or not known.
    batch.add(shard, ["WAIT", "0", "1"]);
    batch.add(shard, ["WAITAOF", "0", "0", "1"]);
}

fn take_master(answers: &mut Answers) -> Result<Master> {
    let mut info = String::new();
    for _ in SECTIONS {
        info += &text(answers.value()?);
        info.push('\n');
    }
    let mut setting = || {
        // Hosted servers forbid it.
        let fields = answers.members().ok()?;
        fields.get(1).map(|value| String::from_utf8_lossy(value).into_owned())
    };
    let settings = DURABLE.iter().map(|_| setting()).collect();
    let min_replicas = setting().and_then(|value| parse(value.as_bytes()));
    let waits = answers.value().map(drop);
    Ok(Master { info, settings, min_replicas, waits, waits_for_disks: answers.value().is_ok() })
}

/// What is wrong with each setting, and how it is changed.
fn weak_settings(master: &Master) -> Vec<String> {
    let mut weak = Vec::new();
    for ((name, wanted, in_info), value) in DURABLE.into_iter().zip(&master.settings) {
        match value {
            Some(value) if value == wanted => {}
            Some(value) => weak.push(format!(
                "`{name}` is `{value}` and must be `{wanted}` (redis.conf, or CONFIG SET {name} {wanted})"
            )),
            None if in_info.is_empty() => {
                tracing::debug!("Redis does not tell its `{name}`: make sure that it is `{wanted}`");
            }
            None if master.info.lines().any(|line| line.trim_end() == in_info) => {}
            None => weak.push(format!("`{name}` must be `{wanted}`")),
        }
    }
    weak
}

/// None: it does not answer, or not to this login.
async fn ask_replica(
    replica: &Replica,
    login: &ConnectionInfo,
    certificates: Option<TlsCertificates>,
) -> Option<Own> {
    let (host, port) = (replica.host.clone(), replica.port);
    let address = if uses_tls(login) {
        ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
    } else {
        ConnectionAddr::Tcp(host, port)
    };
    let place = login.clone().set_addr(address);
    let client = match certificates {
        Some(certificates) if uses_tls(login) => Client::build_with_tls(place, certificates).ok()?,
        _ => Client::open(place).ok()?,
    };
    let mut connection = client.get_multiplexed_async_connection().await.ok()?;
    let info: String = cmd("INFO").arg("replication").query_async(&mut connection).await.ok()?;
    let mut setting = async |name: &str| {
        let fields: Vec<String> = config_get(name).query_async(&mut connection).await.unwrap_or_default();
        fields.into_iter().nth(1)
    };
    Some(Own {
        priority: field(&info, "slave_priority")?.parse().ok()?,
        never_takes_over: setting("cluster-replica-no-failover").await.as_deref() == Some("yes"),
        syncs_always: setting("appendonly").await.as_deref() == Some("yes")
            && setting("appendfsync").await.as_deref() == Some("always")
            && setting("no-appendfsync-on-rewrite").await.as_deref() == Some("no"),
    })
}

fn check_version(info: &str) -> Result<()> {
    let Some(version) = field(info, "redis_version") else {
        return Err(StoreError::Config("the server does not say which Redis it is".to_owned()));
    };
    if replication::version(info) < OLDEST {
        let (major, minor) = OLDEST;
        return Err(StoreError::Config(format!(
            "Redis {version} is too old: {major}.{minor} or newer is needed"
        )));
    }
    Ok(())
}

fn text(value: Value) -> String {
    match value {
        Value::BulkString(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Value::VerbatimString { text, .. } => text,
        _ => String::new(),
    }
}
