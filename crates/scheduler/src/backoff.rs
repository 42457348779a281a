//! Waits that grow while something keeps failing.

use std::time::Duration;

/// Waits that double from a shortest to a longest one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    shortest: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(shortest: Duration, longest: Duration) -> Backoff {
        Backoff { shortest, longest, next: shortest }
    }

    /// The wait after one more failure.
    pub(crate) fn failed(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(self.longest);
        wait
    }

    /// It works again: the next failure waits shortly.
    pub(crate) fn worked(&mut self) {
        self.next = self.shortest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_to_its_bound_and_starts_again() {
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new(ms(10), ms(35));
        assert_eq!([(); 4].map(|()| backoff.failed()), [ms(10), ms(20), ms(35), ms(35)]);
        backoff.worked();
        assert_eq!(backoff.failed(), ms(10));
    }
}
