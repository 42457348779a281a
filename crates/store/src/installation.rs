//! Whose store this is.

use async_trait::async_trait;
use isochrone_domain::InstallationId;

use crate::Result;

/// Whose store this is.
#[async_trait]
pub trait InstallationStore: Send + Sync {
    /// The id of the store's installation. It is made when somebody first asks, and is the same for all who ask, ever
    /// after; a restored backup has it, too.
    async fn installation(&self) -> Result<InstallationId>;
}
