//! What is looked at before the store is used: that Redis is new enough, and keeps what it acknowledges.

use tracing::warn;

use super::RedisStore;
use super::batch::{Batch, parse};
use super::keys::Shard;
use super::servers::{Servers, problem};
use crate::{Result, StoreError};

/// The layout of keys and records.
const LAYOUT: u32 = 1;
/// The same with sealed values in it: a program that knows nothing of them would take them for parameters, and write them
/// in the clear again.
const SEALED: u32 = 2;

impl RedisStore {
    /// Refuses a Redis that can't be relied on.
    pub(super) async fn check(&self, servers: &Servers, allow_weak_durability: bool) -> Result<()> {
        let seen = servers.look().await?;
        if !seen.weak.is_empty() {
            let problem = problem(&seen.weak);
            if !allow_weak_durability {
                return Err(StoreError::Config(format!(
                    "{problem} (or set redis.allow_weak_durability, if losing runs is acceptable)"
                )));
            }
            warn!("{problem}");
            self.durability.set_weak(Some(problem));
        }
        seen.apply(&self.durability);
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
        self.ask(batch).await?.value()?;
        // It travelled on another connection than what is waited for.
        self.confirm_shard(Shard::COMMON).await
    }
}
