//! The ends of all chains at a moment, as one text for a log: `0-17.64-3:DIGEST`. Noted elsewhere, it tells of
//! entries that were cut off since.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use super::{AuditChain, ChainEnd, Digest};

/// The ends of all chains at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Chains with entries, and how many there had been.
    numbers: Vec<(usize, u64)>,
    digest: Digest,
}

/// What a noted head says of the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// It is no head.
    #[error("a head looks like 0-17:4f3a..., as the log has it")]
    Malformed,
    /// Entries are gone.
    #[error(
        "chain {chain} had {noted} entries when the head was noted and ends before that: its end was cut off"
    )]
    Cut {
        /// Which chain.
        chain: usize,
        /// How many entries there were.
        noted: u64,
    },
    /// The log is another one.
    #[error("the entries up to the head are not those that were there when it was noted")]
    Other,
    /// The entries of that time are forgotten.
    #[error("the head is older than what is kept: it can't be compared any more")]
    Forgotten,
}

impl Head {
    /// The head of chains that end there, in their order.
    pub fn of(ends: &[ChainEnd]) -> Head {
        let ends: Vec<(usize, ChainEnd)> =
            ends.iter().copied().enumerate().filter(|(_, end)| end.number > 0).collect();
        let numbers = ends.iter().map(|(chain, end)| (*chain, end.number)).collect();
        Head { numbers, digest: digest(ends.into_iter()) }
    }

    /// How many entries there had been in all.
    pub fn entries(&self) -> u64 {
        self.numbers.iter().map(|(_, number)| number).sum()
    }

    /// The digest's first 48 bits, which a metric holds without loss.
    pub fn bits(&self) -> u64 {
        self.digest.0[..6].iter().fold(0, |bits, byte| bits << 8 | u64::from(*byte))
    }

    /// Whether the chains go on from this head.
    pub fn check(&self, chains: &[AuditChain]) -> Result<(), HeadError> {
        let mut ends = Vec::with_capacity(self.numbers.len());
        for &(chain, number) in &self.numbers {
            let cut = HeadError::Cut { chain, noted: number };
            let Some(kept) = chains.iter().find(|kept| kept.index == chain) else { return Err(cut) };
            let forgotten = kept.checkpoint.is_some_and(|checkpoint| checkpoint.end.number > number);
            let digest = match kept.digest_at(number) {
                Some(digest) => digest,
                None if forgotten => return Err(HeadError::Forgotten),
                None => return Err(cut),
            };
            ends.push((chain, ChainEnd { number, digest }));
        }
        if digest(ends.into_iter()) == self.digest { Ok(()) } else { Err(HeadError::Other) }
    }
}

fn digest(ends: impl Iterator<Item = (usize, ChainEnd)>) -> Digest {
    let mut digest = Sha256::new();
    for (chain, end) in ends {
        digest.update((chain as u64).to_be_bytes());
        digest.update(end.number.to_be_bytes());
        digest.update(end.digest.0);
    }
    Digest(digest.finalize().into())
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<String> =
            self.numbers.iter().map(|(chain, number)| format!("{chain}-{number}")).collect();
        write!(f, "{}:{}", numbers.join("."), self.digest)
    }
}

impl FromStr for Head {
    type Err = HeadError;
    fn from_str(text: &str) -> Result<Head, HeadError> {
        let read = || {
            let (numbers, digest) = text.trim().split_once(':')?;
            let numbers = numbers.split('.').filter(|part| !part.is_empty()).map(|part| {
                let (chain, number) = part.split_once('-')?;
                Some((chain.parse().ok()?, number.parse().ok()?))
            });
            let digest = Digest::try_from(digest.to_owned()).ok()?;
            Some(Head { numbers: numbers.collect::<Option<_>>()?, digest })
        };
        read().ok_or(HeadError::Malformed)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // Tests.
mod tests {
    use super::super::{AuditKey, StoredEntry};
    use super::*;

    fn chain(index: usize, entries: u64, word: &str) -> AuditChain {
        let (key, mut head, mut kept) = (AuditKey::default(), ChainEnd::EMPTY, Vec::new());
        for number in 1..=entries {
            let text = format!("{word} {number}");
            let link = key.link(index, head, &text);
            head = ChainEnd { number: link.number, digest: link.digest };
            kept.push(StoredEntry { link: Some(link), text });
        }
        AuditChain { index, checkpoint: None, entries: kept, head }
    }

    #[test]
    fn a_noted_head_tells_of_a_cut_end_and_of_another_log() {
        let chains = [chain(0, 3, "a"), chain(1, 0, "b"), chain(2, 5, "c")];
        let noted = Head::of(&chains.each_ref().map(|chain| chain.head));
        assert_eq!(noted.entries(), 8);
        let read: Head = noted.to_string().parse().unwrap();
        assert_eq!(read, noted);
        assert_eq!(read.check(&[chain(0, 4, "a"), chain(1, 1, "b"), chain(2, 5, "c")]), Ok(()));
        let cut = [chain(0, 3, "a"), chain(1, 0, "b"), chain(2, 4, "c")];
        assert_eq!(read.check(&cut), Err(HeadError::Cut { chain: 2, noted: 5 }));
        let other = [chain(0, 3, "x"), chain(1, 0, "b"), chain(2, 5, "c")];
        assert_eq!(read.check(&other), Err(HeadError::Other));
        assert_eq!("hello".parse::<Head>(), Err(HeadError::Malformed));
        assert_eq!(Head::of(&[ChainEnd::EMPTY]).to_string().parse(), Ok(Head::of(&[])));
    }
}
