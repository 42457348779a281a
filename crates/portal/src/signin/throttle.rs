//! Slows down the guessing of passwords.
//!
//! Five wrong passwords for a name within 15 minutes lock it for 15 minutes: its sign-ins fail then as with a
//! wrong password, right or not, and unknown names are treated alike. A right one forgets the wrong ones. It
//! is kept in memory, so that a restart unlocks everybody, and covers 10,000 names at most. The price is that
//! somebody can keep a name locked out on purpose; tokens that were given before stay good.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const GUESSES: u32 = 5;
const WINDOW: Duration = Duration::from_mins(15);
const NAMES: usize = 10_000;

#[derive(Clone, Copy)]
struct Wrong {
    count: u32,
    last: Instant,
}

/// The wrong passwords of late, by name.
#[derive(Default)]
pub(crate) struct Throttle(Mutex<HashMap<String, Wrong>>);

impl Throttle {
    /// Whether the name may be tried now.
    pub(crate) fn admits(&self, name: &str) -> bool {
        self.admits_at(name, Instant::now())
    }

    /// Notes a try.
    pub(crate) fn note(&self, name: &str, right: bool) {
        self.note_at(name, right, Instant::now());
    }

    fn admits_at(&self, name: &str, now: Instant) -> bool {
        let names = self.names();
        let wrong = names.get(&name.to_ascii_lowercase());
        wrong.is_none_or(|wrong| wrong.count < GUESSES || now - wrong.last >= WINDOW)
    }

    fn note_at(&self, name: &str, right: bool, now: Instant) {
        let mut names = self.names();
        let name = name.to_ascii_lowercase();
        if right {
            names.remove(&name);
            return;
        }
        if names.len() >= NAMES && !names.contains_key(&name) {
            make_room(&mut names, now);
        }
        let wrong = names.entry(name).or_insert(Wrong { count: 0, last: now });
        let stale = now - wrong.last >= WINDOW;
        *wrong = Wrong { count: if stale { 1 } else { wrong.count + 1 }, last: now };
    }

    fn names(&self) -> MutexGuard<'_, HashMap<String, Wrong>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets what is over, or else the name that was tried longest ago.
fn make_room(names: &mut HashMap<String, Wrong>, now: Instant) {
    names.retain(|_, wrong| now - wrong.last < WINDOW);
    if names.len() >= NAMES {
        let oldest = names.iter().min_by_key(|(_, wrong)| wrong.last).map(|(name, _)| name.clone());
        oldest.map(|name| names.remove(&name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sixth_guess_waits_a_quarter_of_an_hour() {
        let throttle = Throttle::default();
        let start = Instant::now();
        for _ in 0..5 {
            assert!(throttle.admits_at("Alice", start));
            throttle.note_at("Alice", false, start);
        }
        assert!(!throttle.admits_at("alice", start));
        assert!(throttle.admits_at("bob", start));
        assert!(throttle.admits_at("alice", start + WINDOW));
        throttle.note_at("alice", true, start + WINDOW);
        assert!(throttle.admits_at("alice", start + WINDOW));
    }

    #[test]
    fn names_that_nobody_has_do_not_fill_the_memory() {
        let throttle = Throttle::default();
        let start = Instant::now();
        for number in 0..NAMES + 50 {
            throttle.note_at(&number.to_string(), false, start + Duration::from_nanos(number as u64));
        }
        assert_eq!(throttle.names().len(), NAMES);
        assert!(throttle.names().contains_key(&(NAMES + 49).to_string()));
    }
}
