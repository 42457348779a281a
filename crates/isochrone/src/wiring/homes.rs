//! Where `GIS("home")` leads in notebooks.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use isochrone_arcgis::SignedIn;
use isochrone_domain::{EpochMillis, RunId};
use isochrone_executors::notebook::{Home, Homes};
use isochrone_portal::run_token;
use isochrone_store::Store;

/// What a token lives longer than its run may take.
const SPARE: Duration = Duration::from_mins(5);
/// The longest life of a token, whatever a run may take.
const LONGEST: Duration = Duration::from_hours(15 * 24);

/// Home is this house's own portal: each run has a token of its task's owner.
pub(super) struct OwnHome {
    pub(super) store: Arc<dyn Store>,
    /// Unknown in a worker alone whose operator has not configured it.
    pub(super) url: Arc<OnceLock<String>>,
}

#[async_trait]
impl Homes for OwnHome {
    async fn open(&self, owner: &str, run: RunId, length: Duration) -> Result<Option<Home>, String> {
        let Some(portal_url) = self.url.get().cloned() else { return Ok(None) };
        let life = (length + SPARE).min(LONGEST);
        let issued = run_token::issue(&*self.store, owner, run, life).await;
        let (token, expires) = issued
            .map_err(|error| error.to_string())?
            .ok_or_else(|| format!("user {owner} is gone or disabled"))?;
        Ok(Some(Home { portal_url, token, expires }))
    }

    async fn close(&self, owner: &str, home: &Home) {
        if let Err(error) = run_token::revoke(&*self.store, owner, &home.token).await {
            tracing::warn!(%error, "a run's token could not be revoked; it ends by itself");
        }
    }
}

/// Home is the portal that this house stands in front of. It gives tokens to whoever has a password: to the user
/// that the operator configured, whose own runs alone have one.
pub(super) struct PortalHome(pub(super) SignedIn);

#[async_trait]
impl Homes for PortalHome {
    async fn open(&self, owner: &str, _: RunId, length: Duration) -> Result<Option<Home>, String> {
        let minutes = u32::try_from((length + SPARE).min(LONGEST).as_secs() / 60).unwrap_or(u32::MAX);
        let issued = self.0.issue_for(owner, minutes).await.map_err(|error| error.to_string())?;
        let portal_url = self.0.portal().url().to_owned();
        Ok(issued.map(|issued| Home {
            portal_url,
            token: issued.token,
            expires: EpochMillis(issued.expires),
        }))
    }

    // A portal takes no token back.
    async fn close(&self, _: &str, _: &Home) {}
}
