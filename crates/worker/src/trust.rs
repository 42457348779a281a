//! For how long a worker trusts the leases of its attempts without news of the store.
//!
//! It is measured by the clock that goes on while the machine sleeps (`CLOCK_BOOTTIME`), and from before the store was
//! asked. Work whose lease is not trusted any more is suspended: another worker may have its run soon. It goes on when
//! the store says that the run is still its own.

use std::ops::Add;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::watch;
use tokio::time::sleep;

/// A moment of `CLOCK_BOOTTIME`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BootTime(Duration);

/// Timers do not count the time that a machine sleeps: no wait is longer than this before the clock is looked at again.
const LOOK: Duration = Duration::from_secs(1);

impl BootTime {
    /// Later than every moment.
    pub(crate) const NEVER: BootTime = BootTime(Duration::MAX);

    /// What the clock shows.
    pub fn now() -> BootTime {
        #[cfg(feature = "simulation")]
        if let Some(ms) = isochrone_store::simulation::machine_ms() {
            return BootTime(Duration::from_millis(u64::try_from(ms).unwrap_or(0)));
        }
        let now = clock_gettime(ClockId::Boottime);
        let (seconds, nanos) = (u64::try_from(now.tv_sec), u32::try_from(now.tv_nsec));
        BootTime(Duration::new(seconds.unwrap_or(0), nanos.unwrap_or(0)))
    }

    /// Since the machine was started. None: it never comes.
    pub fn since_boot(self) -> Option<Duration> {
        (self != BootTime::NEVER).then_some(self.0)
    }

    /// The time from `earlier` to this; none, if that is later.
    pub fn since(self, earlier: BootTime) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// Waits for this moment.
    pub async fn reached(self) {
        loop {
            let left = self.since(BootTime::now());
            if left.is_zero() {
                return;
            }
            sleep(left.min(LOOK)).await;
        }
    }
}

impl Add<Duration> for BootTime {
    type Output = BootTime;

    fn add(self, length: Duration) -> BootTime {
        BootTime(self.0.saturating_add(length))
    }
}

/// An attempt's trust in its lease, as it is renewed.
#[derive(Clone, Debug)]
pub struct Trust {
    until: watch::Receiver<BootTime>,
    longest_suspension: Duration,
}

impl Trust {
    /// Until the moment that `until` says. Work is not suspended for longer than `longest_suspension`.
    pub fn new(until: watch::Receiver<BootTime>, longest_suspension: Duration) -> Trust {
        Trust { until, longest_suspension }
    }

    /// Of an attempt that has no lease.
    pub(crate) fn for_ever() -> Trust {
        Trust { until: watch::channel(BootTime::NEVER).1, longest_suspension: Duration::MAX }
    }

    /// Until when the lease is trusted, as far as is known.
    pub fn until(&self) -> BootTime {
        *self.until.borrow()
    }

    /// How long work may be suspended before it is killed.
    pub fn longest_suspension(&self) -> Duration {
        self.longest_suspension
    }

    /// Whether it has run out.
    pub fn is_over(&self) -> bool {
        self.until() <= BootTime::now()
    }

    /// Waits until it has run out.
    pub async fn over(&self) {
        loop {
            let until = self.until();
            until.reached().await;
            if self.until() <= until {
                return;
            }
        }
    }

    /// Waits until there is trust.
    pub async fn there(&self) {
        let mut until = self.until.clone();
        while *until.borrow_and_update() <= BootTime::now() {
            if until.changed().await.is_err() {
                // The attempt is over: whoever waits is dropped soon.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits until it is renewed, and gives until when it is then. None: it is never renewed again.
    pub async fn renewed(&mut self) -> Option<BootTime> {
        self.until.changed().await.ok()?;
        Some(*self.until.borrow_and_update())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_renewed_is_not_over() {
        let (sender, until) = watch::channel(BootTime::now() + Duration::from_millis(20));
        let trust = Trust::new(until, Duration::MAX);
        assert!(!trust.is_over());
        let over = trust.clone();
        let mut over = std::pin::pin!(over.over());
        let soon = tokio::time::timeout(Duration::from_millis(5), &mut over).await;
        assert!(soon.is_err());
        let renewed = BootTime::now() + Duration::from_millis(60);
        sender.send_replace(renewed);
        over.await;
        assert!(trust.is_over() && BootTime::now() >= renewed);
        sender.send_replace(BootTime::now() + Duration::from_mins(1));
        trust.there().await;
        assert!(!trust.is_over());
        assert!(Trust::for_ever().until().since_boot().is_none() && !Trust::for_ever().is_over());
    }
}
