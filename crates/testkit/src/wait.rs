//! Waiting for a condition, with a deadline.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Looks until the condition holds; fails after 30 s, saying what was waited for.
pub async fn eventually<T, F>(what: &str, look: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<Option<T>>>,
{
    eventually_within(Duration::from_secs(30), what, look).await
}

/// Looks until the condition holds; fails after `deadline`, saying what was waited for.
pub async fn eventually_within<T, F>(deadline: Duration, what: &str, mut look: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<Option<T>>>,
{
    let end = Instant::now() + deadline;
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if Instant::now() > end {
            bail!("waited {deadline:?} in vain for: {what}");
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}
