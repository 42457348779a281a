//! What sealing needs of a store: the keys in use, and sealed values written anew.

use std::collections::BTreeSet;

use async_trait::async_trait;
use isochrone_domain::{RunId, Task};

use crate::seal::KeyId;
use crate::{Grant, Result, TokenHash};

/// The keys in use, and sealed values as they are kept. [`crate::seal::SealedStore`] is their only caller.
#[async_trait]
pub trait SecretStore: Send + Sync {
    /// The keys that something here may be sealed with.
    async fn keys_in_use(&self) -> Result<BTreeSet<KeyId>>;

    /// Notes that values are sealed with this key from now on.
    async fn use_key(&self, key: KeyId) -> Result<()>;

    /// Notes that nothing is sealed with this key any more.
    async fn retire_key(&self, key: KeyId) -> Result<()>;

    /// Replaces a task's secrets by those of `task`, as its next version. False: the stored one has another
    /// version than `task`, or is gone.
    async fn reseal_task(&self, task: &Task) -> Result<bool>;

    /// Replaces a run's handle. False: the stored one is not `old`, or is gone.
    async fn reseal_handle(&self, run: RunId, old: &str, new: &str) -> Result<bool>;

    /// Every grant.
    async fn grants(&self) -> Result<Vec<(TokenHash, Grant)>>;

    /// Replaces a grant. False: the stored one is not `old`, or is gone.
    async fn reseal_grant(&self, hash: TokenHash, old: &Grant, new: &Grant) -> Result<bool>;
}
