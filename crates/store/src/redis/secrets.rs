//! The keys in use, and sealed values written anew.

use std::collections::BTreeSet;

use async_trait::async_trait;
use isochrone_domain::{Run, RunId, Task};
use redis::Value;

use super::RedisStore;
use super::batch::{Batch, parse};
use super::commit::Commit;
use super::keys::Shard;
use super::records::{from_record, id_of, record_json, unreadable};
use crate::seal::KeyId;
use crate::{Grant, Result, SecretStore, TokenHash};

const HOME: Shard = Shard::COMMON;

/// Keys that Redis looks at in one step of a search.
const LOOKED_AT: &str = "1000";

#[async_trait]
impl SecretStore for RedisStore {
    async fn keys_in_use(&self) -> Result<BTreeSet<KeyId>> {
        let mut batch = Batch::default();
        batch.add(HOME, ["HKEYS", &self.seal_keys_key()]);
        self.ask(batch).await?.members()?.iter().map(|id| id_of(id)).collect()
    }

    async fn use_key(&self, key: KeyId) -> Result<()> {
        // Before anything is sealed.
        self.note_sealed_layout().await?;
        let mut commit = Commit::new(HOME);
        commit.set(&self.seal_keys_key(), &[(&key.to_string(), b"1")]);
        self.commit(commit).await.map(drop)
    }

    async fn retire_key(&self, key: KeyId) -> Result<()> {
        // What was found sealed with another key, by a rotation that was cut short, stays so: the key may be thrown away.
        for shard in Shard::of_tasks() {
            self.confirm_shard(shard).await?;
        }
        let mut commit = Commit::new(HOME);
        commit.unset(&self.seal_keys_key(), &[&key.to_string()]);
        self.commit(commit).await.map(drop)
    }

    async fn reseal_task(&self, task: &Task) -> Result<bool> {
        let stored = self.find_task(task.id).await?;
        let Some(stored) = stored.filter(|stored| stored.task.version == task.version) else {
            return Ok(false);
        };
        let mut commit = Commit::new(Shard::of_task(task.id));
        self.update_task(&mut commit, &stored, task);
        self.commit(commit).await
    }

    async fn reseal_handle(&self, run: RunId, old: &str, new: &str) -> Result<bool> {
        let stored = self.find_run(run).await?;
        let Some(stored) = stored.filter(|stored| stored.run.handle.as_deref() == Some(old)) else {
            return Ok(false);
        };
        let resealed = Run { handle: Some(new.to_owned()), ..stored.run.clone() };
        let mut commit = Commit::new(Shard::of_run(run));
        self.check_run(&mut commit, &stored);
        // Not as a change of the run: where it is on its way stays as it is.
        let version = (stored.version + 1).to_string();
        let fields: [(&str, &[u8]); 2] = [("v", version.as_bytes()), ("b", &record_json(&resealed))];
        commit.set(&self.keys.run(run), &fields);
        self.commit(commit).await
    }

    async fn grants(&self) -> Result<Vec<(TokenHash, Grant)>> {
        let mut hashes = BTreeSet::new();
        let begin = self.keys.named(HOME, "grant:");
        let mut cursor = "0".to_owned();
        loop {
            let mut batch = Batch::default();
            batch.add(HOME, ["SCAN", &cursor, "MATCH", &format!("{begin}*"), "COUNT", LOOKED_AT]);
            let [next, names] =
                <[Value; 2]>::try_from(self.ask(batch).await?.list()?).map_err(|_| unreadable::<Grant>())?;
            for name in redis::from_redis_value::<Vec<String>>(names).map_err(|_| unreadable::<Grant>())? {
                let mut hash = [0; 32];
                let found = name.strip_prefix(&begin).map(|hex| hex::decode_to_slice(hex, &mut hash));
                if matches!(found, Some(Ok(()))) {
                    hashes.insert(hash);
                }
            }
            cursor = redis::from_redis_value(next).map_err(|_| unreadable::<Grant>())?;
            if parse::<u64>(cursor.as_bytes()) == Some(0) {
                break;
            }
        }
        let mut grants = Vec::new();
        for hash in hashes.into_iter().map(TokenHash) {
            // Else it has expired, or was taken.
            if let Some(body) = self.grant_body(hash).await? {
                grants.push((hash, from_record(&body)?));
            }
        }
        Ok(grants)
    }

    async fn reseal_grant(&self, hash: TokenHash, old: &Grant, new: &Grant) -> Result<bool> {
        let Some(body) = self.grant_body(hash).await? else { return Ok(false) };
        if from_record::<Grant>(&body)? != *old {
            return Ok(false);
        }
        let key = self.grant_key(hash);
        let mut commit = Commit::new(HOME);
        commit.check_same(&key, "b", Some(&body));
        // It expires when it would have.
        commit.set(&key, &[("b", &record_json(new))]);
        self.commit(commit).await
    }
}

impl RedisStore {
    fn seal_keys_key(&self) -> String {
        self.keys.named(HOME, "seal-keys")
    }
}
