//! An entry's place in its chain.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::seal::{Key, KeyId, Keyring};

/// A digest; as text, in hex.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// What stands before the first entry.
    pub const NONE: Digest = Digest([0; 32]);
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.to_string()
    }
}

impl TryFrom<String> for Digest {
    type Error = hex::FromHexError;
    fn try_from(text: String) -> Result<Digest, hex::FromHexError> {
        let mut digest = [0; 32];
        hex::decode_to_slice(text, &mut digest)?;
        Ok(Digest(digest))
    }
}

/// The last entry of a chain, or one within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainEnd {
    /// How many entries there were up to it: its number, from 1.
    pub number: u64,
    /// Its digest.
    pub digest: Digest,
}

impl ChainEnd {
    /// Of a chain without entries.
    pub const EMPTY: ChainEnd = ChainEnd { number: 0, digest: Digest::NONE };
}

/// An entry's place in its chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its number, from 1.
    pub number: u64,
    /// The key of its digest; none: a plain one.
    pub key: Option<KeyId>,
    /// Of itself, its number, its chain and the digest before it.
    pub digest: Digest,
}

/// The entry up to which a chain was forgotten: the rest goes on from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The last entry that was forgotten.
    pub end: ChainEnd,
    /// The key of `seal`; none: a plain digest.
    pub key: Option<KeyId>,
    /// A digest that tells that the checkpoint was made by somebody with the key.
    pub seal: Digest,
}

/// With what digests are made: HMAC under a key, or plain.
#[derive(Default)]
pub struct AuditKey(Option<(KeyId, Zeroizing<[u8; 32]>)>);

impl fmt::Debug for AuditKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AuditKey").field(&self.id()).finish()
    }
}

impl From<&Key> for AuditKey {
    fn from(key: &Key) -> AuditKey {
        AuditKey(Some((key.id(), key.derive("isochrone audit log"))))
    }
}

impl AuditKey {
    /// The key that new entries get: the ring's first one, if there is one.
    pub fn of(ring: &Keyring) -> AuditKey {
        ring.first().map_or_else(AuditKey::default, AuditKey::from)
    }

    /// None: digests are plain.
    pub fn id(&self) -> Option<KeyId> {
        self.0.as_ref().map(|(id, _)| *id)
    }

    /// The place behind `before` of an entry with this text, in the chain of this number.
    pub fn link(&self, chain: usize, before: ChainEnd, text: &str) -> Link {
        let number = before.number + 1;
        Link { number, key: self.id(), digest: self.entry(chain, number, before.digest, text) }
    }

    /// The digest of an entry.
    pub fn entry(&self, chain: usize, number: u64, before: Digest, text: &str) -> Digest {
        let (chain, number) = ((chain as u64).to_be_bytes(), number.to_be_bytes());
        self.digest(&[b"isochrone audit entry\0", &chain, &number, &before.0, text.as_bytes()])
    }

    /// The checkpoint that stands for all entries up to this one.
    pub fn checkpoint(&self, chain: usize, end: ChainEnd) -> Checkpoint {
        let (index, number) = ((chain as u64).to_be_bytes(), end.number.to_be_bytes());
        let seal = self.digest(&[b"isochrone audit checkpoint\0", &index, &number, &end.digest.0]);
        Checkpoint { end, key: self.id(), seal }
    }

    fn digest(&self, parts: &[&[u8]]) -> Digest {
        if let Some((_, key)) = &self.0 {
            let mut mac =
                Hmac::<Sha256>::new_from_slice(key.as_ref()).expect("HMAC takes keys of any length");
            for part in parts {
                mac.update(part);
            }
            Digest(mac.finalize().into_bytes().into())
        } else {
            let mut digest = Sha256::new();
            for part in parts {
                digest.update(part);
            }
            Digest(digest.finalize().into())
        }
    }
}
