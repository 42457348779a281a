//! How runs reach other servers, and whose runs carry a token there.

use std::sync::Arc;

use async_trait::async_trait;
use isochrone_arcgis::Outbound;
use isochrone_domain::{AttemptEnd, Reason};

/// Says whose tasks act with the token that the operator configured: it may do more than a task's owner may.
#[async_trait]
pub trait Trust: Send + Sync {
    /// Whether this owner's tasks do. The error is for people.
    async fn trusts(&self, owner: &str) -> Result<bool, String>;
}

/// The way to other servers. A clone is the same one.
#[derive(Clone)]
pub struct WayOut {
    outbound: Outbound,
    trust: Arc<dyn Trust>,
}

impl WayOut {
    /// With requests that go out through `outbound`; with its token for those whom `trust` names.
    pub fn new(outbound: Outbound, trust: Arc<dyn Trust>) -> WayOut {
        WayOut { outbound, trust }
    }

    /// As this owner's tasks have it.
    pub(crate) async fn of(&self, owner: &str) -> Result<Outbound, AttemptEnd> {
        match self.trust.trusts(owner).await {
            Ok(true) => Ok(self.outbound.clone()),
            Ok(false) => Ok(self.outbound.anonymous()),
            Err(result) => Err(AttemptEnd::Failed { reason: Reason::Internal, result }),
        }
    }
}
