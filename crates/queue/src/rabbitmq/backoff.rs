//! Waits between tries to reach the broker: they grow, and no two processes wait alike.

use std::time::Duration;

const SHORTEST: Duration = Duration::from_millis(500);

/// Short enough that everybody is back soon after the broker is.
const LONGEST: Duration = Duration::from_secs(5);

/// What works for so long is well again.
const STEADY: Duration = Duration::from_secs(10);

/// Waits that double from half a second to five, 20 % more or less.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(super) fn new() -> Backoff {
        Backoff { next: SHORTEST }
    }

    /// The wait after one more failure.
    pub(super) fn failed(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(LONGEST);
        jittered(wait)
    }

    /// It worked for so long. If that was long enough, the next failure waits shortly: what comes and goes
    /// every second is not tried every second.
    pub(super) fn worked(&mut self, lasted: Duration) {
        if lasted >= STEADY {
            self.next = SHORTEST;
        }
    }
}

/// 20 % more or less.
pub(super) fn jittered(wait: Duration) -> Duration {
    // Without random bytes it is the plain wait.
    let share = getrandom::u32().map_or(0.5, |random| f64::from(random) / f64::from(u32::MAX));
    wait.mul_f64(0.8 + 0.4 * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_to_its_bound_with_jitter_and_starts_again() {
        let mut backoff = Backoff::new();
        for expected in [0.5, 1.0, 2.0, 4.0, 5.0, 5.0] {
            let wait = backoff.failed().as_secs_f64();
            assert!((expected * 0.8..=expected * 1.2).contains(&wait), "{wait} is not about {expected}");
        }
        backoff.worked(STEADY / 2);
        assert!(backoff.failed() >= LONGEST.mul_f64(0.8), "it works too shortly to be well");
        backoff.worked(STEADY);
        assert!(backoff.failed() <= SHORTEST.mul_f64(1.2));
    }

    #[test]
    fn two_do_not_wait_alike() {
        let waits: Vec<_> = (0..8).map(|_| Backoff::new().failed()).collect();
        assert!(waits.iter().any(|wait| *wait != waits[0]), "{waits:?}");
    }
}
