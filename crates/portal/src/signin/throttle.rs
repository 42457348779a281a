//! Slows down the guessing of passwords.
//!
//! Only what was wrong counts, in three measures: by name and address together, by address, and by name. Each measure
//! takes so many wrong ones and gets one back after a while; where one is full, sign-ins are refused as with a
//! wrong password, right or not, and unknown names are treated alike. Who signed in rightly from an address before
//! is held to the first measure alone: neither strangers elsewhere nor strangers behind the same address lock
//! somebody out where that person usually comes from.
//!
//! It is kept in memory, so that a restart forgets it, and is bounded: what is forgotten first counts least.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Names, addresses and pairs that are remembered at most, of each so many.
const REMEMBERED: usize = 10_000;

/// How long a right sign-in speaks for its address.
const TRUSTED: Duration = Duration::from_hours(30 * 24);

/// So many wrong ones are taken at once, and one more after each `again`.
#[derive(Clone, Copy, Debug)]
struct Measure {
    most: u32,
    again: Duration,
}

/// Five in a quarter of an hour.
const PAIR: Measure = Measure { most: 5, again: Duration::from_mins(3) };
/// An address is a household or an office: twenty in a quarter of an hour.
const ADDRESS: Measure = Measure { most: 20, again: Duration::from_secs(45) };
/// A name that is guessed at from everywhere: its user must get in soon after that ends.
const NAME: Measure = Measure { most: 50, again: Duration::from_secs(10) };

/// Who comes from where.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Pair {
    /// In lower case, no longer than a name can be.
    name: String,
    address: Option<IpAddr>,
}

impl Pair {
    fn new(name: &str, address: Option<IpAddr>) -> Pair {
        let name = name[..name.floor_char_boundary(128)].to_ascii_lowercase();
        Pair { name, address: address.map(network) }
    }
}

/// What one subscriber has: an IPv4 address, or an IPv6 network of 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let kept = u128::from(address) & (u128::MAX << 64);
            Ipv6Addr::from(kept).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

/// The wrong passwords of late.
#[derive(Default)]
pub(crate) struct Throttle(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    pairs: Wrong<Pair>,
    addresses: Wrong<IpAddr>,
    names: Wrong<String>,
    /// Where somebody signed in rightly, and when last.
    trusted: HashMap<Pair, Instant>,
}

/// A sign-in that is tried: it counts as wrong until it is known to be right, so that many at once are no more than
/// one after the other, and whoever goes away before the answer has guessed as well.
#[must_use]
pub(crate) struct Guess<'a> {
    throttle: &'a Throttle,
    pair: Pair,
    /// Whether it counts by name and address together alone.
    trusted: bool,
    at: Instant,
}

impl Throttle {
    /// Lets a sign-in be tried, from an address that belongs to somebody. None: too many were wrong.
    pub(crate) fn admit(&self, name: &str, address: Option<IpAddr>) -> Option<Guess<'_>> {
        self.admit_at(name, address, Instant::now())
    }

    fn admit_at(&self, name: &str, address: Option<IpAddr>, at: Instant) -> Option<Guess<'_>> {
        let pair = Pair::new(name, address);
        let mut counts = self.counts();
        let trusted = counts.trusts(&pair, at);
        let address = pair.address.filter(|_| !trusted);
        let name = Some(&pair.name).filter(|_| !trusted).cloned();
        let full = counts.pairs.full(&pair, PAIR, at)
            || address.is_some_and(|address| counts.addresses.full(&address, ADDRESS, at))
            || name.as_ref().is_some_and(|name| counts.names.full(name, NAME, at));
        if full {
            return None;
        }
        counts.pairs.add(pair.clone(), PAIR, at);
        if let Some(address) = address {
            counts.addresses.add(address, ADDRESS, at);
        }
        if let Some(name) = name {
            counts.names.add(name, NAME, at);
        }
        drop(counts);
        Some(Guess { throttle: self, pair, trusted, at })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guess<'_> {
    /// It was right: this name's wrong ones from here are forgotten.
    pub(crate) fn was_right(self) {
        let mut counts = self.throttle.counts();
        counts.take_back(&self);
        counts.pairs.0.remove(&self.pair);
        if counts.trusted.len() >= REMEMBERED && !counts.trusted.contains_key(&self.pair) {
            make_room(&mut counts.trusted, |since| (0, *since));
        }
        counts.trusted.insert(self.pair, self.at);
    }

    /// Nobody knows: it was not looked at.
    pub(crate) fn was_not_tried(self) {
        self.throttle.counts().take_back(&self);
    }
}

impl Counts {
    fn trusts(&self, pair: &Pair, now: Instant) -> bool {
        self.trusted.get(pair).is_some_and(|at| now.saturating_duration_since(*at) < TRUSTED)
    }

    fn take_back(&mut self, Guess { pair, trusted, .. }: &Guess<'_>) {
        self.pairs.take_back(pair);
        if *trusted {
            return;
        }
        if let Some(address) = &pair.address {
            self.addresses.take_back(address);
        }
        self.names.take_back(&pair.name);
    }
}

/// What counts: how many wrong ones, as of a moment.
#[derive(Clone, Copy)]
struct Level {
    count: u32,
    as_of: Instant,
}

/// Wrong ones by what they are counted by.
struct Wrong<K>(HashMap<K, Level>);

impl<K> Default for Wrong<K> {
    fn default() -> Self {
        Wrong(HashMap::new())
    }
}

impl<K: Eq + Hash + Clone> Wrong<K> {
    /// What is left of the wrong ones by now.
    fn level(&self, key: &K, measure: Measure, now: Instant) -> Level {
        let Some(level) = self.0.get(key) else { return Level { count: 0, as_of: now } };
        let forgiven = now.saturating_duration_since(level.as_of).as_nanos() / measure.again.as_nanos();
        match u32::try_from(forgiven) {
            Ok(forgiven) if forgiven < level.count => {
                Level { count: level.count - forgiven, as_of: level.as_of + measure.again * forgiven }
            }
            _ => Level { count: 0, as_of: now },
        }
    }

    fn full(&self, key: &K, measure: Measure, now: Instant) -> bool {
        self.level(key, measure, now).count >= measure.most
    }

    fn add(&mut self, key: K, measure: Measure, now: Instant) {
        let level = self.level(&key, measure, now);
        if self.0.len() >= REMEMBERED && !self.0.contains_key(&key) {
            make_room(&mut self.0, |level| (level.count, level.as_of));
        }
        self.0.insert(key, Level { count: level.count + 1, ..level });
    }

    fn take_back(&mut self, key: &K) {
        if let Some(level) = self.0.get_mut(key) {
            level.count = level.count.saturating_sub(1);
            if level.count == 0 {
                self.0.remove(key);
            }
        }
    }
}

/// Forgets an eighth of what is remembered: what counts least, and is oldest.
fn make_room<K: Eq + Hash + Clone, V>(map: &mut HashMap<K, V>, counts: impl Fn(&V) -> (u32, Instant)) {
    let mut least: Vec<(K, (u32, Instant))> =
        map.iter().map(|(key, value)| (key.clone(), counts(value))).collect();
    least.sort_by_key(|(_, counts)| *counts);
    for (key, _) in least.into_iter().take(REMEMBERED / 8) {
        map.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)));

    fn there(number: u8) -> IpAddr {
        IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, number))
    }

    /// Guesses wrongly; false: it was refused.
    fn wrong(throttle: &Throttle, name: &str, address: Option<IpAddr>, at: Instant) -> bool {
        throttle.admit_at(name, address, at).is_some()
    }

    fn right(throttle: &Throttle, name: &str, address: Option<IpAddr>, at: Instant) -> bool {
        let guess = throttle.admit_at(name, address, at);
        guess.map(Guess::was_right).is_some()
    }

    #[test]
    fn the_sixth_guess_of_a_name_from_an_address_waits() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        for _ in 0..5 {
            assert!(wrong(&throttle, "Alice", HERE, start));
        }
        assert!(!right(&throttle, "alice", HERE, start));
        assert!(right(&throttle, "bob", HERE, start));
        assert!(right(&throttle, "alice", Some(there(1)), start), "she comes from elsewhere");
        assert!(right(&throttle, "alice", HERE, start + PAIR.again));
        for _ in 0..5 {
            assert!(
                wrong(&throttle, "alice", HERE, start + PAIR.again),
                "a right one forgets the wrong ones"
            );
        }
    }

    #[test]
    fn an_address_that_tries_many_names_is_stopped_and_who_is_known_there_is_not() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        assert!(right(&throttle, "bob", HERE, start));
        let tried = (0..40).filter(|number| wrong(&throttle, &format!("user{number}"), HERE, start)).count();
        assert_eq!(tried, 20);
        assert!(!right(&throttle, "alice", HERE, start), "nobody knows her here");
        assert!(right(&throttle, "bob", HERE, start));
        assert!(right(&throttle, "alice", Some(there(1)), start));
        assert!(right(&throttle, "alice", HERE, start + ADDRESS.again));
    }

    #[test]
    fn a_name_that_is_guessed_at_from_everywhere_is_stopped_and_its_user_is_not() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        assert!(right(&throttle, "alice", HERE, start));
        let guesses = (0..40_u8).flat_map(|number| [Some(there(number)); 4]);
        let tried = guesses.filter(|from| wrong(&throttle, "alice", *from, start)).count();
        assert_eq!(tried, 50);
        assert!(right(&throttle, "alice", HERE, start), "she always comes from there");
        assert!(!right(&throttle, "alice", Some(there(99)), start));
        assert!(right(&throttle, "alice", Some(there(99)), start + NAME.again), "not for long");
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let from = |host: u16| Some(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, host)));
        let tried = (0..40).filter(|host| wrong(&throttle, "alice", from(*host), start)).count();
        assert_eq!(tried, 5);
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().expect("an address");
        assert_eq!(Pair::new("a", Some(mapped)), Pair::new("A", HERE));
    }

    #[test]
    fn what_was_not_tried_counts_nothing_and_what_is_left_alone_counts() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        for _ in 0..100 {
            throttle.admit_at("alice", HERE, start).expect("nothing was wrong").was_not_tried();
        }
        let at_once: Vec<_> = (0..8).map(|_| throttle.admit_at("alice", HERE, start)).collect();
        assert_eq!(at_once.iter().filter(|guess| guess.is_some()).count(), 5, "guesses that come at once");
        drop(at_once);
        assert!(!wrong(&throttle, "alice", HERE, start), "whoever goes away has guessed");
    }

    #[test]
    fn names_that_nobody_has_do_not_fill_the_memory_nor_wash_away_who_is_guessed_at() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        for _ in 0..5 {
            assert!(wrong(&throttle, "alice", HERE, start));
        }
        for number in 0..(REMEMBERED as u32 * 2) {
            let from = Some(IpAddr::V4((0x0a00_0000 + number).into()));
            let at = start + Duration::from_nanos(number.into());
            assert!(right(&throttle, &format!("r{number}"), from, at));
            assert!(wrong(&throttle, &format!("w{number}"), from, at));
        }
        let counts = throttle.counts();
        let sizes =
            [counts.pairs.0.len(), counts.addresses.0.len(), counts.names.0.len(), counts.trusted.len()];
        assert!(sizes.iter().all(|size| *size <= REMEMBERED), "{sizes:?}");
        drop(counts);
        assert!(!wrong(&throttle, "alice", HERE, start));
    }

    #[test]
    fn a_name_of_any_length_costs_no_more_than_a_name() {
        let pair = Pair::new(&"ä".repeat(100_000), None);
        assert!(pair.name.len() <= 128);
    }
}
