//! API keys: tokens for programs that act for a user without signing in.
//!
//! A key lives as long as its maker says; a new password of its user voids it, as it voids every token.

use isochrone_store::{Token, TokenHash, TokenPurpose};

use crate::signin::{hash, random_token};

/// What keys begin with, so that people and scanners for secrets know one when they see it.
const MARK: &str = "isokey-";

/// A new key. It is shown once; the store is given its hash.
pub fn draw() -> (String, TokenHash) {
    let key = format!("{MARK}{}", random_token());
    let known_by = hash(&key);
    (key, known_by)
}

/// What a key is called in lists: it says nothing of the key itself.
pub fn id(hash: TokenHash) -> String {
    hex::encode(&hash.0[..8])
}

/// The token's title, if it is a key.
pub fn title(token: &Token) -> Option<&str> {
    match &token.purpose {
        TokenPurpose::Key { title, .. } => Some(title),
        TokenPurpose::SignIn => None,
    }
}
