//! Whose store this is.

use async_trait::async_trait;
use isochrone_domain::InstallationId;

use super::RedisStore;
use super::batch::Batch;
use super::commit::Commit;
use super::keys::Shard;
use super::records::id_of;
use crate::{InstallationStore, Result, StoreError};

const HOME: Shard = Shard::COMMON;
const FIELD: &str = "id";

#[async_trait]
impl InstallationStore for RedisStore {
    async fn installation(&self) -> Result<InstallationId> {
        if let Some(id) = self.find_installation().await? {
            self.confirm_shard(HOME).await?;
            return Ok(id);
        }
        let mut commit = Commit::new(HOME);
        commit.set_new(&self.installation_key(), FIELD, InstallationId::random().to_string().as_bytes());
        self.commit(commit).await?;
        let id = self.find_installation().await?;
        id.ok_or_else(|| StoreError::Corrupt("it has no installation's id".to_owned()))
    }
}

impl RedisStore {
    fn installation_key(&self) -> String {
        self.keys.named(HOME, "installation")
    }

    async fn find_installation(&self) -> Result<Option<InstallationId>> {
        let mut batch = Batch::default();
        batch.add(HOME, ["HGET", &self.installation_key(), FIELD]);
        self.ask(batch).await?.bytes()?.map(|id| id_of(&id)).transpose()
    }
}
