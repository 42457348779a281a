//! What only one at a time may have.

use std::time::Duration;

use async_trait::async_trait;
use isochrone_domain::EpochMillis;
use serde::{Deserialize, Serialize};

use super::RedisStore;
use super::batch::Batch;
use super::commit::Commit;
use super::keys::Shard;
use super::records::{from_json, json};
use crate::{HoldStore, Result, Tries};

const HOME: Shard = Shard::COMMON;

#[derive(Serialize, Deserialize)]
struct Hold {
    holder: String,
    until: EpochMillis,
}

#[async_trait]
impl HoldStore for RedisStore {
    async fn hold(&self, what: &str, holder: &str, length: Duration) -> Result<bool> {
        let mut tries = Tries::default();
        loop {
            let (found, now) = self.find_hold(what).await?;
            let until = now + length;
            let other = found.as_deref().map(from_json::<Hold>).transpose()?;
            // One that ends later than it would, given now, was given before the clock was set back.
            if other.is_some_and(|hold| hold.holder != holder && hold.until > now && hold.until <= until) {
                return Ok(false);
            }
            let mut commit = Commit::new(HOME);
            commit.check_same(&self.holds_key(), what, found.as_deref());
            let hold = Hold { holder: holder.to_owned(), until };
            commit.set(&self.holds_key(), &[(what, &json(&hold))]);
            if self.commit(commit).await? {
                return Ok(true);
            }
            tries.again().await?;
        }
    }

    async fn let_go(&self, what: &str, holder: &str) -> Result<()> {
        let mut tries = Tries::default();
        loop {
            let (found, _) = self.find_hold(what).await?;
            let hold = found.as_deref().map(from_json::<Hold>).transpose()?;
            if hold.is_none_or(|hold| hold.holder != holder) {
                return Ok(());
            }
            let mut commit = Commit::new(HOME);
            commit.check_same(&self.holds_key(), what, found.as_deref());
            commit.unset(&self.holds_key(), &[what]);
            if self.commit(commit).await? {
                return Ok(());
            }
            tries.again().await?;
        }
    }
}

impl RedisStore {
    fn holds_key(&self) -> String {
        self.keys.named(HOME, "holds")
    }

    /// As it is stored, and the time.
    async fn find_hold(&self, what: &str) -> Result<(Option<Vec<u8>>, EpochMillis)> {
        let mut batch = Batch::default();
        batch.add(HOME, ["HGET", &self.holds_key(), what]);
        batch.add_time(HOME);
        let mut answers = self.ask(batch).await?;
        let found = answers.bytes()?;
        Ok((found, answers.now(self)?))
    }
}
