//! What is looked at before the store is used: that Redis is new enough, and keeps what it acknowledges.

use redis::{Cmd, Value};
use tracing::warn;

use super::RedisStore;
use super::batch::{Batch, parse};
use super::keys::Shard;
use crate::{Result, StoreError};

/// The oldest version that is known to do.
const OLDEST: (u32, u32) = (6, 2);

/// The layout of keys and records.
const LAYOUT: u32 = 1;
/// The same with sealed values in it: a program that knows nothing of them would take them for parameters, and write them
/// in the clear again.
const SEALED: u32 = 2;

/// The settings without which Redis may lose what it acknowledged, and their names in `INFO`.
const DURABLE: [(&str, &str, &str); 3] = [
    ("appendonly", "yes", "aof_enabled:1"),
    ("appendfsync", "always", ""),
    ("maxmemory-policy", "noeviction", "maxmemory_policy:noeviction"),
];

impl RedisStore {
    /// Refuses a Redis that can't be relied on.
    pub(super) async fn check(&self, allow_weak_durability: bool) -> Result<()> {
        // In a cluster, each of its servers: a shard or more is on it.
        for shard in Shard::of_tasks().chain([Shard::COMMON]) {
            let info = self.info(shard).await?;
            check_version(&info)?;
            let weak = self.weak_settings(shard, &info).await?;
            if !weak.is_empty() {
                let problem = format!("Redis may lose what it acknowledged: {}", weak.join("; "));
                if !allow_weak_durability {
                    return Err(StoreError::Config(format!(
                        "{problem} (or allow weak durability, if losing runs is acceptable)"
                    )));
                }
                warn!("{problem}");
            }
            if self.link.is_one_server() {
                break;
            }
        }
        self.check_layout().await?;
        // Compares the clocks, too.
        self.now_at(Shard::COMMON).await.map(drop)
    }

    /// Refuses what a newer program wrote; a new store gets this program's layout.
    async fn check_layout(&self) -> Result<()> {
        let key = self.keys.named(Shard::COMMON, "layout");
        let mut batch = Batch::default();
        batch.add(Shard::COMMON, ["SET", &key, &LAYOUT.to_string(), "NX"]);
        batch.add(Shard::COMMON, ["GET", &key]);
        let mut answers = self.ask(batch).await?;
        answers.value()?;
        let layout = answers.bytes()?.unwrap_or_default();
        if let Some(LAYOUT | SEALED) = parse(&layout) {
            return Ok(());
        }
        Err(StoreError::Corrupt(format!(
            "its layout is {}, this program knows {LAYOUT} and {SEALED}: start a newer isochrone",
            String::from_utf8_lossy(&layout)
        )))
    }

    /// From now on only programs that know sealed values may start on this store.
    pub(super) async fn note_sealed_layout(&self) -> Result<()> {
        let key = self.keys.named(Shard::COMMON, "layout");
        let mut batch = Batch::default();
        batch.add(Shard::COMMON, ["SET", &key, &SEALED.to_string()]);
        self.ask(batch).await?.value().map(drop)
    }

    async fn info(&self, shard: Shard) -> Result<String> {
        let mut batch = Batch::default();
        for section in ["server", "persistence", "memory"] {
            batch.add(shard, ["INFO", section]);
        }
        let mut answers = self.ask(batch).await?;
        let mut info = String::new();
        for _ in 0..3 {
            info += &text(answers.value()?);
            info.push('\n');
        }
        Ok(info)
    }

    /// What is wrong with each setting, and how it is changed.
    async fn weak_settings(&self, shard: Shard, info: &str) -> Result<Vec<String>> {
        let mut weak = Vec::new();
        for (name, wanted, in_info) in DURABLE {
            let mut command = Cmd::new();
            command.arg("CONFIG").arg("GET").arg(name);
            let mut batch = Batch::default();
            batch.push(shard, command);
            let value = match self.ask(batch).await?.members() {
                Ok(fields) => fields.get(1).map(|value| String::from_utf8_lossy(value).into_owned()),
                // Hosted servers forbid it.
                Err(_) => None,
            };
            match value {
                Some(value) if value == wanted => {}
                Some(value) => weak.push(format!(
                    "`{name}` is `{value}` and must be `{wanted}` (redis.conf, or CONFIG SET {name} {wanted})"
                )),
                None if in_info.is_empty() => {
                    warn!("Redis does not tell its `{name}`: make sure that it is `{wanted}`");
                }
                None if info.lines().any(|line| line.trim_end() == in_info) => {}
                None => weak.push(format!("`{name}` must be `{wanted}`")),
            }
        }
        Ok(weak)
    }
}

fn check_version(info: &str) -> Result<()> {
    let version = info.lines().find_map(|line| line.strip_prefix("redis_version:")).map(str::trim);
    let Some(version) = version else {
        return Err(StoreError::Config("the server does not say which Redis it is".to_owned()));
    };
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    if (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) < OLDEST {
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
