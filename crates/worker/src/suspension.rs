//! The time for which an attempt is suspended, since its lease is not trusted.

use std::time::Duration;

use isochrone_domain::{AttemptEnd, Reason};

use crate::{BootTime, Trust};

/// Work that fails so soon after it was resumed may have failed because it stood still: of connections that were closed
/// meanwhile, for example.
const BLAMED_FOR: Duration = Duration::from_mins(1);

/// Whether an attempt is suspended, and when it was.
#[derive(Debug, Default)]
pub(crate) struct Suspension {
    began: Option<BootTime>,
    resumed: Option<BootTime>,
}

impl Suspension {
    pub(crate) fn is_on(&self) -> bool {
        self.began.is_some()
    }

    /// The lease was trusted until then.
    pub(crate) fn begin(&mut self, trusted_until: BootTime) {
        self.began = Some(trusted_until);
        tracing::warn!("attempt suspended: the store does not renew its lease");
    }

    /// The lease is trusted again. Gives for how long it was not.
    pub(crate) fn end(&mut self) -> Duration {
        let now = BootTime::now();
        let lasted = self.began.take().map_or(Duration::ZERO, |began| now.since(began));
        self.resumed = Some(now);
        tracing::info!(seconds = lasted.as_secs_f64(), "attempt resumed");
        lasted
    }

    /// Waits until it has lasted too long; for ever, if it is not on.
    pub(crate) async fn too_long(&self, trust: &Trust) {
        match self.began {
            Some(began) => (began + trust.longest_suspension()).reached().await,
            None => std::future::pending().await,
        }
    }

    /// The end of work that was not told to stop: whether it may have failed because it was suspended.
    pub(crate) fn blamed(&self, end: AttemptEnd) -> AttemptEnd {
        let lately = self.resumed.is_some_and(|resumed| BootTime::now().since(resumed) < BLAMED_FOR);
        match end {
            // Whether a server has begun a job is no less unknown.
            AttemptEnd::Failed { reason, result }
                if (self.is_on() || lately) && reason != Reason::SubmissionUnknown =>
            {
                AttemptEnd::Suspended { reason, result }
            }
            end => end,
        }
    }
}
