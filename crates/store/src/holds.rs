//! What only one at a time may have, anywhere in the fleet.

use std::time::Duration;

use async_trait::async_trait;

use crate::Result;

/// Who has what. A hold ends by itself: whoever has one asks again in time.
#[async_trait]
pub trait HoldStore: Send + Sync {
    /// Asks for `what`, or to go on having it, for `length` on the store's clock. False: another holder has it.
    async fn hold(&self, what: &str, holder: &str, length: Duration) -> Result<bool>;

    /// Gives it back at once, if this holder has it.
    async fn let_go(&self, what: &str, holder: &str) -> Result<()>;
}
