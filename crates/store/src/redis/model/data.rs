//! Keys and what they hold.

use std::cmp::Ordering;
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use redis::Value;

/// Hashes without a random key, so that the order is always the same.
type Steady = BuildHasherDefault<DefaultHasher>;

/// A hash's fields.
type Fields = BTreeMap<Vec<u8>, Vec<u8>>;

/// All keys.
#[derive(Clone, Default)]
pub(super) struct Keyspace {
    entries: HashMap<Vec<u8>, Entry, Steady>,
}

#[derive(Clone)]
struct Entry {
    kept: Arc<Kept>,
    /// When the key is forgotten.
    until_us: Option<i64>,
}

/// What a key holds.
#[derive(Clone, Debug)]
pub(super) enum Kept {
    Text(Vec<u8>),
    Hash(Fields),
    Sorted(SortedSet),
}

/// The key holds something of another type.
pub(super) struct WrongType;

impl Keyspace {
    pub(super) fn get(&mut self, key: &[u8], now_us: i64) -> Option<&Kept> {
        if self.entries.get(key)?.until_us.is_some_and(|until| until <= now_us) {
            self.entries.remove(key);
        }
        self.entries.get(key).map(|entry| &*entry.kept)
    }

    pub(super) fn hash(&mut self, key: &[u8], now_us: i64) -> Result<Option<&Fields>, WrongType> {
        match self.get(key, now_us) {
            None => Ok(None),
            Some(Kept::Hash(fields)) => Ok(Some(fields)),
            Some(_) => Err(WrongType),
        }
    }

    pub(super) fn sorted(&mut self, key: &[u8], now_us: i64) -> Result<Option<&SortedSet>, WrongType> {
        match self.get(key, now_us) {
            None => Ok(None),
            Some(Kept::Sorted(set)) => Ok(Some(set)),
            Some(_) => Err(WrongType),
        }
    }

    /// Changes what a key holds, or an empty value where there is none; what is empty then is forgotten.
    fn change<T>(
        &mut self,
        key: &[u8],
        now_us: i64,
        empty: fn() -> Kept,
        change: impl FnOnce(&mut Kept) -> Result<T, WrongType>,
    ) -> Result<T, WrongType> {
        if self.get(key, now_us).is_none() {
            self.entries.insert(key.to_vec(), Entry { kept: Arc::new(empty()), until_us: None });
        }
        let entry = self.entries.get_mut(key).ok_or(WrongType)?;
        let kept = Arc::make_mut(&mut entry.kept);
        let answer = change(kept);
        let is_empty = match kept {
            Kept::Text(_) => false,
            Kept::Hash(fields) => fields.is_empty(),
            Kept::Sorted(set) => set.len() == 0,
        };
        if is_empty {
            self.entries.remove(key);
        }
        answer
    }

    pub(super) fn change_hash<T>(
        &mut self,
        key: &[u8],
        now_us: i64,
        change: impl FnOnce(&mut Fields) -> T,
    ) -> Result<T, WrongType> {
        self.change(
            key,
            now_us,
            || Kept::Hash(Fields::new()),
            |kept| match kept {
                Kept::Hash(fields) => Ok(change(fields)),
                _ => Err(WrongType),
            },
        )
    }

    pub(super) fn change_sorted<T>(
        &mut self,
        key: &[u8],
        now_us: i64,
        change: impl FnOnce(&mut SortedSet) -> T,
    ) -> Result<T, WrongType> {
        self.change(
            key,
            now_us,
            || Kept::Sorted(SortedSet::default()),
            |kept| match kept {
                Kept::Sorted(set) => Ok(change(set)),
                _ => Err(WrongType),
            },
        )
    }

    pub(super) fn set(&mut self, key: &[u8], value: &[u8], until_us: Option<i64>) {
        let kept = Arc::new(Kept::Text(value.to_vec()));
        self.entries.insert(key.to_vec(), Entry { kept, until_us });
    }

    pub(super) fn expire(&mut self, key: &[u8], now_us: i64, until_us: i64) -> bool {
        self.get(key, now_us);
        self.entries.get_mut(key).map(|entry| entry.until_us = Some(until_us)).is_some()
    }

    pub(super) fn remove(&mut self, key: &[u8], now_us: i64) -> bool {
        self.get(key, now_us).is_some() && self.entries.remove(key).is_some()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.entries.keys().map(Vec::as_slice)
    }

    pub(super) fn damage(&mut self, key: &[u8], field: &[u8]) -> bool {
        let Some(entry) = self.entries.get_mut(key) else { return false };
        match Arc::make_mut(&mut entry.kept) {
            Kept::Hash(fields) => {
                fields.get_mut(field).map(|value| *value = b"{\"damaged\":".to_vec()).is_some()
            }
            _ => false,
        }
    }
}

/// A score in the order of numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Score(pub(super) f64);

impl Eq for Score {}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Score) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Score {
    fn cmp(&self, other: &Score) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// Members in the order of their scores.
#[derive(Clone, Debug, Default)]
pub(super) struct SortedSet {
    scores: HashMap<Vec<u8>, Score, Steady>,
    order: BTreeSet<(Score, Vec<u8>)>,
}

impl SortedSet {
    pub(super) fn len(&self) -> usize {
        self.scores.len()
    }

    pub(super) fn contains(&self, member: &[u8]) -> bool {
        self.scores.contains_key(member)
    }

    pub(super) fn score(&self, member: &[u8]) -> Option<Score> {
        self.scores.get(member).copied()
    }

    /// Whether the member is new.
    pub(super) fn put(&mut self, score: Score, member: &[u8]) -> bool {
        let before = self.scores.insert(member.to_vec(), score);
        if let Some(before) = before {
            self.order.remove(&(before, member.to_vec()));
        }
        self.order.insert((score, member.to_vec()));
        before.is_none()
    }

    pub(super) fn take(&mut self, member: &[u8]) -> bool {
        let Some(score) = self.scores.remove(member) else { return false };
        self.order.remove(&(score, member.to_vec()))
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (Score, &[u8])> {
        self.order.iter().map(|(score, member)| (*score, member.as_slice()))
    }

    /// Those with a score from `least` to `most`.
    pub(super) fn between(
        &self,
        least: Score,
        most: Score,
    ) -> impl DoubleEndedIterator<Item = (Score, &[u8])> {
        // Members are texts, and behind every text.
        let end = (most, vec![0xff]);
        let span =
            if least <= most { (least, Vec::new())..end } else { (most, Vec::new())..(most, Vec::new()) };
        self.order.range(span).map(|(score, member)| (*score, member.as_slice()))
    }
}

/// An error of the server.
pub(super) fn error(code: &str, detail: &str) -> Value {
    let line = format!("-{code} {detail}\r\n");
    redis::parse_redis_value(line.as_bytes()).expect("that is an error as Redis writes it")
}
