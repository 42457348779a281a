//! When a lease that has lapsed may be expired: a store that was away took the workers' renewals with it, and their
//! silence then says nothing about them.

use std::time::Duration;

use tokio::time::Instant;

/// Longer between two answered looks at the store, and it was away.
const GAP: Duration = Duration::from_secs(5);

/// How long a leader has looked at the store, and had answers.
#[derive(Debug)]
pub(crate) struct AnsweredLooks {
    /// A lease's length: so long workers have had to renew.
    needed: Duration,
    /// Answered since the lead began or the store was last away for long.
    answered: Duration,
    /// The first answer after the last gap.
    unbroken_since: Instant,
    last: Instant,
}

impl AnsweredLooks {
    /// At the first answered look.
    pub(crate) fn begin(lease: Duration, now: Instant) -> AnsweredLooks {
        AnsweredLooks { needed: lease, answered: Duration::ZERO, unbroken_since: now, last: now }
    }

    /// Notes an answer of the store. A gap during the wait postpones its end, and does not begin it anew: else a store
    /// that is away again and again would keep dead workers' runs for ever.
    pub(crate) fn answered(&mut self, now: Instant) {
        let pause = now.duration_since(self.last);
        if pause > GAP {
            if self.may_expire() {
                self.answered = Duration::ZERO;
            }
            self.unbroken_since = now;
        } else {
            self.answered = (self.answered + pause).min(self.needed);
        }
        self.last = now;
    }

    /// Whether a worker that has not renewed its leases is dead.
    pub(crate) fn may_expire(&self) -> bool {
        let unbroken = self.last.duration_since(self.unbroken_since);
        self.answered >= self.needed && unbroken >= GAP.min(self.needed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(15);

    /// The seconds of the answered looks, and the first one after which leases are expired.
    fn first_expiry(looks: impl IntoIterator<Item = u64>) -> Option<u64> {
        let start = Instant::now();
        let mut looked = AnsweredLooks::begin(LEASE, start);
        looks.into_iter().find(|second| {
            looked.answered(start + Duration::from_secs(*second));
            looked.may_expire()
        })
    }

    #[test]
    fn a_new_leader_waits_for_a_lease() {
        assert_eq!(first_expiry(0..60), Some(15));
    }

    #[test]
    fn after_a_silent_store_workers_have_a_lease_to_renew() {
        let start = Instant::now();
        let mut looked = AnsweredLooks::begin(LEASE, start);
        let mut may_expire = |second| {
            looked.answered(start + Duration::from_secs(second));
            looked.may_expire()
        };
        assert!((0..=20).map(&mut may_expire).last().expect("some"));
        let after: Vec<u64> = (50..90).filter(|second| may_expire(*second)).collect();
        assert_eq!(after.first(), Some(&65));
    }

    #[test]
    fn short_gaps_do_not_count() {
        assert_eq!(first_expiry((0..300).filter(|second| second % 15 >= 4)), Some(19));
    }

    #[test]
    fn a_store_that_goes_again_and_again_only_postpones() {
        // Ten seconds there, ten away.
        let looks = (0..200).filter(|second| second % 20 < 10);
        assert_eq!(first_expiry(looks), Some(26));
    }
}
