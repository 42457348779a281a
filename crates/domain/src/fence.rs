//! What tells an attempt from every other one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::IdError;

/// 64 random bits that a claim draws. A store that comes back without its last writes gives the same attempt's number
/// out again; the nonce then still tells the two attempts apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Nonce(u64);

impl Nonce {
    /// The one that no claim has: no attempt has begun.
    pub const NONE: Nonce = Nonce(0);

    /// A new one.
    pub fn random() -> Nonce {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
        Nonce(u64::from_ne_bytes(bytes).max(1))
    }

    /// Whether no claim has drawn it.
    pub fn is_none(&self) -> bool {
        *self == Nonce::NONE
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Nonce {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Nonce, IdError> {
        u64::from_str_radix(text, 16).map(Nonce).map_err(|_| IdError)
    }
}

impl TryFrom<String> for Nonce {
    type Error = IdError;

    fn try_from(text: String) -> Result<Nonce, IdError> {
        text.parse()
    }
}

impl From<Nonce> for String {
    fn from(nonce: Nonce) -> String {
        nonce.to_string()
    }
}

/// The fencing token of an attempt: every write of the attempt names it, and counts only while the run has it. The
/// number is for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fence {
    /// The attempt's number, from 1.
    pub attempt: u32,
    /// What its claim drew.
    pub nonce: Nonce,
}

/// As it is written in paths and keys.
impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.attempt, self.nonce)
    }
}
