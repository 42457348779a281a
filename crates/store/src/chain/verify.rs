//! Whether a chain is as it was written.

use std::collections::BTreeMap;

use super::{AuditKey, ChainEnd, Checkpoint, Digest, Link};
use crate::seal::{KeyId, Keyring};

/// An entry as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEntry {
    /// Its place; none: it has none.
    pub link: Option<Link>,
    /// The entry as it is written, JSON.
    pub text: String,
}

/// A chain as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditChain {
    /// Which one of the store's chains.
    pub index: usize,
    /// Up to where it was forgotten; none: it is all there.
    pub checkpoint: Option<Checkpoint>,
    /// Its entries, in any order.
    pub entries: Vec<StoredEntry>,
    /// Where it ends, as the store has it.
    pub head: ChainEnd,
}

/// What is known of a chain that is whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Entries whose digests are right.
    pub entries: u64,
    /// Entries without a key: whoever could write to the store could have made them anew.
    pub plain: u64,
    /// Entries that can't be checked, because their key is not here.
    pub unchecked: BTreeMap<KeyId, u64>,
}

/// What is wrong with a chain, at its first entry that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// An entry without a place.
    #[error("an entry was put in that has no place in the chain: {0}")]
    WithoutPlace(String),
    /// Two entries in one place.
    #[error("entry {0} stands there twice: one was put in")]
    Doubled(u64),
    /// Entries are missing within the chain.
    #[error("entries {0} to {1} are missing: they were removed")]
    Missing(u64, u64),
    /// Entries are missing at its end.
    #[error("the chain ends at entry {0} and went up to {1}: its end was cut off")]
    Cut(u64, u64),
    /// An entry was changed.
    #[error("entry {0} is not as it was written: {1}")]
    Edited(u64, String),
    /// An entry stands in another's place.
    #[error("entry {0} was written as entry {1}: it was moved")]
    Moved(u64, u64),
    /// An entry that anybody could have made.
    #[error("entry {0} is without a key, and those before it have one: it was put in or changed")]
    WithoutKey(u64),
    /// The checkpoint was not made by this store.
    #[error("the checkpoint at entry {0}, up to which the log was forgotten, is not as it was written")]
    Checkpoint(u64),
    /// There are more entries than the store has counted, or its end was changed.
    #[error("the end of the chain is kept as entry {0} and is another one")]
    Head(u64),
}

/// Checks a chain from its checkpoint to its head.
pub fn verify(chain: &AuditChain, ring: &Keyring) -> Result<Verified, Broken> {
    let mut links: Vec<(Link, &str)> = Vec::with_capacity(chain.entries.len());
    for entry in &chain.entries {
        match entry.link {
            Some(link) => links.push((link, &entry.text)),
            None => return Err(Broken::WithoutPlace(entry.text.clone())),
        }
    }
    links.sort_by_key(|(link, _)| link.number);
    let keys = Keys::of(ring);
    let mut end = begin(chain, &keys)?;
    let mut verified = Verified::default();
    let mut keyed = chain.checkpoint.is_some_and(|checkpoint| checkpoint.key.is_some());
    for (link, text) in &links {
        let expected = end.number + 1;
        if link.number < expected {
            return Err(Broken::Doubled(link.number));
        }
        if link.number > expected {
            return Err(Broken::Missing(expected, link.number - 1));
        }
        if link.key.is_none() && keyed {
            return Err(Broken::WithoutKey(link.number));
        }
        keyed |= link.key.is_some();
        match keys.get(link.key) {
            None => *verified.unchecked.entry(link.key.expect("plain digests need no key")).or_default() += 1,
            Some(key) if key.entry(chain.index, link.number, end.digest, text) == link.digest => {
                verified.entries += 1;
                verified.plain += u64::from(link.key.is_none());
            }
            Some(_) => return Err(changed(chain.index, &links, *link, text, &keys)),
        }
        end = ChainEnd { number: link.number, digest: link.digest };
    }
    match chain.head {
        head if head == end => Ok(verified),
        head if head.number > end.number => Err(Broken::Cut(end.number, head.number)),
        head => Err(Broken::Head(head.number)),
    }
}

/// Where the entries that are there begin.
fn begin(chain: &AuditChain, keys: &Keys) -> Result<ChainEnd, Broken> {
    let Some(checkpoint) = chain.checkpoint else { return Ok(ChainEnd::EMPTY) };
    match keys.get(checkpoint.key) {
        Some(key) if key.checkpoint(chain.index, checkpoint.end) != checkpoint => {
            Err(Broken::Checkpoint(checkpoint.end.number))
        }
        _ => Ok(checkpoint.end),
    }
}

/// An entry's digest is wrong: it is another's, if it is right in that one's place.
fn changed(chain: usize, links: &[(Link, &str)], link: Link, text: &str, keys: &Keys) -> Broken {
    if let Some(key) = keys.get(link.key) {
        let before = links.iter().map(|(other, _)| ChainEnd { number: other.number, digest: other.digest });
        for before in before.chain([ChainEnd::EMPTY]) {
            for number in [before.number + 1, before.number, before.number + 2] {
                if number != link.number && key.entry(chain, number, before.digest, text) == link.digest {
                    return Broken::Moved(link.number, number);
                }
            }
        }
    }
    Broken::Edited(link.number, text.to_owned())
}

/// The keys for digests that are here.
struct Keys {
    plain: AuditKey,
    keyed: BTreeMap<KeyId, AuditKey>,
}

impl Keys {
    fn of(ring: &Keyring) -> Keys {
        let keyed = ring.ids().filter_map(|id| Some((id, AuditKey::from(ring.get(id)?))));
        Keys { plain: AuditKey::default(), keyed: keyed.collect() }
    }

    fn get(&self, id: Option<KeyId>) -> Option<&AuditKey> {
        id.map_or(Some(&self.plain), |id| self.keyed.get(&id))
    }
}

impl AuditChain {
    /// The digest of an entry that is there, or up to which it was forgotten.
    pub(super) fn digest_at(&self, number: u64) -> Option<Digest> {
        let checkpoint = self.checkpoint.filter(|checkpoint| checkpoint.end.number == number);
        let mut links = self.entries.iter().filter_map(|entry| entry.link);
        let link = links.find(|link| link.number == number);
        checkpoint.map(|checkpoint| checkpoint.end.digest).or(link.map(|link| link.digest))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // Tests.
mod tests {
    use super::*;

    const KEY: &str = "5eed000000000000000000000000000000000000000000000000000000000001";

    fn ring(keyed: bool) -> Keyring {
        if keyed { Keyring::parse(KEY).unwrap() } else { Keyring::default() }
    }

    fn chain(entries: u64, key: &AuditKey) -> AuditChain {
        let mut chain = AuditChain { index: 3, checkpoint: None, entries: Vec::new(), head: ChainEnd::EMPTY };
        for number in 1..=entries {
            append(&mut chain, key, format!("entry {number}"));
        }
        chain
    }

    fn append(chain: &mut AuditChain, key: &AuditKey, text: String) {
        let link = key.link(chain.index, chain.head, &text);
        chain.head = ChainEnd { number: link.number, digest: link.digest };
        chain.entries.push(StoredEntry { link: Some(link), text });
    }

    #[test]
    fn what_was_done_to_a_chain_is_found_and_named() {
        for keyed in [true, false] {
            let ring = ring(keyed);
            let key = AuditKey::of(&ring);
            let whole = chain(6, &key);
            assert_eq!(verify(&whole, &ring).unwrap().entries, 6);
            let spoiled = |spoil: &dyn Fn(&mut AuditChain)| {
                let mut chain = whole.clone();
                spoil(&mut chain);
                verify(&chain, &ring).unwrap_err()
            };
            let edited = spoiled(&|chain| chain.entries[2].text = "another".to_owned());
            assert_eq!(edited, Broken::Edited(3, "another".to_owned()));
            assert_eq!(spoiled(&|chain| drop(chain.entries.drain(1..3))), Broken::Missing(2, 3));
            assert_eq!(spoiled(&|chain| drop(chain.entries.drain(..1))), Broken::Missing(1, 1));
            assert_eq!(spoiled(&|chain| drop(chain.entries.drain(4..))), Broken::Cut(4, 6));
            let doubled = spoiled(&|chain| chain.entries.push(chain.entries[1].clone()));
            assert_eq!(doubled, Broken::Doubled(2));
            let swapped = spoiled(&|chain| {
                let (one, other) = (chain.entries[2].link.unwrap(), chain.entries[3].link.unwrap());
                chain.entries[2].link = Some(Link { number: other.number, ..one });
                chain.entries[3].link = Some(Link { number: one.number, ..other });
            });
            assert_eq!(swapped, Broken::Moved(3, 4));
            let inserted = spoiled(&|chain| {
                chain.entries.push(StoredEntry { link: None, text: "new".to_owned() });
            });
            assert_eq!(inserted, Broken::WithoutPlace("new".to_owned()));
            // The last one away, and the head with it: only a head that was noted tells.
            let mut cut = whole.clone();
            cut.entries.pop();
            let last = cut.entries[4].link.unwrap();
            cut.head = ChainEnd { number: last.number, digest: last.digest };
            assert_eq!(verify(&cut, &ring).unwrap().entries, 5);
        }
    }

    #[test]
    fn without_the_key_nothing_can_be_added_or_made_anew() {
        let (ring, plain) = (ring(true), AuditKey::default());
        let mut added = chain(3, &AuditKey::of(&ring));
        append(&mut added, &plain, "forged".to_owned());
        assert_eq!(verify(&added, &ring).unwrap_err(), Broken::WithoutKey(4));
        let other = Keyring::parse(&KEY.replace('1', "2")).unwrap();
        let unchecked = verify(&chain(3, &AuditKey::of(&ring)), &other).unwrap();
        assert_eq!((unchecked.entries, unchecked.unchecked.values().sum::<u64>()), (0, 3));
        assert_eq!(verify(&chain(3, &plain), &ring).unwrap().plain, 3);
    }

    #[test]
    fn a_forgotten_beginning_leaves_a_checkpoint_that_nobody_else_can_move() {
        let ring = ring(true);
        let key = AuditKey::of(&ring);
        let mut chain = chain(6, &key);
        let ends: Vec<ChainEnd> = chain
            .entries
            .iter()
            .map(|entry| entry.link.unwrap())
            .map(|link| ChainEnd { number: link.number, digest: link.digest })
            .collect();
        chain.entries.drain(..2);
        chain.checkpoint = Some(key.checkpoint(chain.index, ends[1]));
        assert_eq!(verify(&chain, &ring).unwrap().entries, 4);
        chain.entries.remove(0);
        assert_eq!(verify(&chain, &ring).unwrap_err(), Broken::Missing(3, 3));
        let seal = chain.checkpoint.unwrap();
        chain.checkpoint = Some(Checkpoint { end: ends[2], ..seal });
        assert_eq!(verify(&chain, &ring).unwrap_err(), Broken::Checkpoint(3));
    }
}
