//! Which keys a process must have, and when it begins to seal with a new one.
//!
//! A key is in use from the moment that somebody seals with it; a process without it could read nothing of
//! that, so it refuses to start. A new key is put to use once every process that is there has it.

use super::{KeyId, SealedStore};
use crate::{Result, StoreError};

/// What a process seals with, and what keeps it from its first key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admitted {
    /// The key that seals now.
    pub sealing: Option<KeyId>,
    /// Processes that do not have this one's first key yet.
    pub waiting_for: Vec<String>,
}

impl SealedStore {
    /// Refuses to go on without a key that is in use; the error names it.
    pub async fn check_keys(&self) -> Result<()> {
        let in_use = self.store.keys_in_use().await?;
        let missing: Vec<String> =
            in_use.iter().filter(|id| self.ring.get(**id).is_none()).map(ToString::to_string).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let own: Vec<String> = self.ring.ids().map(|id| id.to_string()).collect();
        let own =
            if own.is_empty() { "it has no key".to_owned() } else { format!("it has {}", own.join(", ")) };
        Err(StoreError::Config(format!(
            "secrets are sealed with the key {}, which this process does not have: {own} (secrets.key_file, \
             ISOCHRONE_SECRETS_KEY; older keys stand below the first one)",
            missing.join(", ")
        )))
    }

    /// Begins to seal with the first key, if every process that is there has it. Until then an older key that
    /// is in use seals, or none.
    pub async fn admit(&self) -> Result<Admitted> {
        self.check_keys().await?;
        let Some(first) = self.ring.ids().next() else {
            return Ok(Admitted::default());
        };
        let in_use = self.store.keys_in_use().await?;
        let mut waiting_for = Vec::new();
        if !in_use.contains(&first) {
            let present = self.store.members().await?;
            let lacking = present.into_iter().filter(|present| !present.member.keys.contains(&first));
            waiting_for.extend(lacking.map(|present| present.member.name));
            if waiting_for.is_empty() {
                self.store.use_key(first).await?;
            }
        }
        let sealing = match waiting_for.as_slice() {
            [] => Some(first),
            _ => self.ring.ids().find(|id| in_use.contains(id)),
        };
        self.seal_with(sealing);
        Ok(Admitted { sealing, waiting_for })
    }
}
