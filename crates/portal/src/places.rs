//! A bounded number of places for what lasts, in all and for each client.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Places that are taken and given back.
#[derive(Debug)]
pub(crate) struct Places<K> {
    total: usize,
    each: usize,
    taken: Arc<Mutex<HashMap<K, usize>>>,
}

/// A place, until this is dropped.
#[derive(Debug)]
pub(crate) struct TakenPlace<K: Hash + Eq> {
    key: K,
    taken: Arc<Mutex<HashMap<K, usize>>>,
}

impl<K: Hash + Eq + Clone> Places<K> {
    /// So many in all, of which each client has so many at most.
    pub(crate) fn new(total: usize, each: usize) -> Places<K> {
        Places { total, each, taken: Arc::default() }
    }

    /// Takes one. None: there is none for this client.
    pub(crate) fn take(&self, key: K) -> Option<TakenPlace<K>> {
        let mut taken = locked(&self.taken);
        let (all, own) = (taken.values().sum::<usize>(), taken.get(&key).copied().unwrap_or(0));
        if all >= self.total || own >= self.each {
            return None;
        }
        taken.insert(key.clone(), own + 1);
        drop(taken);
        Some(TakenPlace { key, taken: Arc::clone(&self.taken) })
    }
}

fn locked<K>(taken: &Mutex<HashMap<K, usize>>) -> MutexGuard<'_, HashMap<K, usize>> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<K: Hash + Eq> Drop for TakenPlace<K> {
    fn drop(&mut self) {
        let mut taken = locked(&self.taken);
        match taken.get_mut(&self.key) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(taken.remove(&self.key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_does_not_take_all_places() {
        let places = Places::new(3, 2);
        let first = places.take("ann").expect("a place");
        let _second = places.take("ann").expect("a place");
        assert!(places.take("ann").is_none());
        let other = places.take("bob").expect("a place");
        assert!(places.take("carol").is_none(), "all are taken");
        drop(first);
        assert!(places.take("ann").is_some());
        drop(other);
        assert_eq!(locked(&places.taken).len(), 1, "who has none is forgotten");
    }
}
