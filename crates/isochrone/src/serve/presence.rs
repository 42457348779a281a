//! Tells the fleet that this process is there.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use isochrone_store::{Member, Role, StoreError};
use isochrone_worker::Worker;

use super::stop::Stop;
use crate::wiring::{House, artifacts};

/// Between two announcements.
const EVERY: Duration = Duration::from_secs(3);

/// A member that was not heard of for so long is gone.
const REMEMBERED: Duration = Duration::from_secs(15);

/// Announces the process, and then again and again until it is stopped. It begins to stop by itself where secrets
/// are sealed with a key that it lacks.
pub(super) async fn announce(
    house: &House,
    roles: &[Role],
    name: &str,
    worker: Option<Arc<Worker>>,
    stop: &Stop,
) -> Result<impl Future<Output = ()> + use<>> {
    let store = Arc::clone(&house.store);
    let (draining, stopped) = (stop.draining.clone(), stop.stopped.clone());
    let mut member = Member {
        name: name.to_owned(),
        roles: roles.to_vec(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        host: host(),
        pid: std::process::id(),
        since: store.now().await?,
        slots: worker.as_ref().map_or_else(BTreeMap::new, |worker| worker.slots()),
        runs: Vec::new(),
        heartbeat: None,
        keys: house.sealed.ring().ids().collect(),
        seals_with: house.sealed.seals_with(),
        artifacts: Some(house.artifacts_id),
    };
    let remembered = store.clock().of_real(REMEMBERED);
    store.announce(&member, remembered).await?;
    let present = store.members().await?;
    let mut folders = artifacts::folders_of(&present);
    folders.remove(&house.artifacts_id);
    if !folders.is_empty() {
        let others = folders.into_values().flatten().collect::<Vec<_>>().join(", ");
        tracing::warn!(
            others,
            "these processes keep artifacts in another folder than this one (artifacts.dir): neither finds what the other \
             keeps"
        );
    }
    let sealed = Arc::clone(&house.sealed);
    // Once more: whoever began to seal with another key meanwhile did not know of this process.
    sealed.check_keys().await?;
    Ok(async move {
        loop {
            tokio::select! {
                () = stopped.cancelled() => break,
                () = tokio::time::sleep(EVERY) => {}
            }
            member.runs = worker.as_ref().map_or_else(Vec::new, |worker| worker.carries());
            match sealed.admit().await {
                Ok(admitted) => member.seals_with = admitted.sealing,
                Err(error @ StoreError::Config(_)) => {
                    tracing::error!(%error, "this process can read no secrets; it ends");
                    draining.cancel();
                }
                // The announcement tells of it.
                Err(_) => {}
            }
            member.heartbeat = worker.as_ref().and_then(|worker| worker.heartbeat());
            if let Err(error) = store.announce(&member, remembered).await {
                tracing::warn!(%error, "the fleet could not be told that this process is there");
            }
        }
        if let Err(error) = store.depart(&member.name).await {
            tracing::warn!(%error, "the fleet could not be told that this process is gone");
        }
    })
}

/// The machine's name.
pub(crate) fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
