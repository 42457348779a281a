//! Users and their tokens.

use std::fmt;

use async_trait::async_trait;
use isochrone_domain::{AuditEntry, EpochMillis, Record, UnknownFields, User, UserChange};
use serde::{Deserialize, Serialize};

use crate::Result;

/// The SHA-256 of a token: the token itself is never stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TokenHash(pub [u8; 32]);

/// What a request must have beside the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind", content = "value")]
pub enum TokenBinding {
    /// Nothing.
    None,
    /// This `Referer`.
    Referer(String),
    /// This address.
    Ip(String),
}

/// What a token was made for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum TokenPurpose {
    /// Somebody signed in.
    #[default]
    SignIn,
    /// A program acts for its user without signing in: an API key.
    Key {
        /// For people.
        title: String,
        /// When it was made.
        created: EpochMillis,
    },
}

/// A token's meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Whose it is.
    pub user: String,
    /// It is void from this moment on.
    pub expires: EpochMillis,
    /// What a request must have beside it.
    pub binding: TokenBinding,
    /// What it was made for.
    pub purpose: TokenPurpose,
}

/// What a program may turn into tokens in a user's name: an authorization code, a refresh token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Whose tokens.
    pub user: String,
    /// It is void from this moment on.
    pub expires: EpochMillis,
    /// Who may turn it in, and how: the portal's JSON.
    pub terms: String,
    /// What a newer version stored with it.
    #[serde(skip)]
    pub unknown: UnknownFields,
}

impl Record for Grant {
    fn unknown(&self) -> &UnknownFields {
        &self.unknown
    }

    fn unknown_mut(&mut self) -> &mut UnknownFields {
        &mut self.unknown
    }
}

/// Without its terms.
impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant")
            .field("user", &self.user)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// Whether the user, as stored, is still the one with this stamp, who may have tokens.
pub(crate) fn may_get_tokens(user: &User, stamp: &str) -> bool {
    user.disabled.is_none() && user.stamp() == stamp
}

/// What came of a change of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum UserChanged {
    /// It is done; the user as it is now, or was before it was deleted.
    Done(User),
    /// There is no such user.
    Missing,
    /// Nobody would be left who may do everything: nothing was done.
    LastAdministrator,
}

/// Users and their tokens.
#[async_trait]
pub trait AccountStore: Send + Sync {
    /// The user of this name, without regard to ASCII case.
    async fn user(&self, name: &str) -> Result<Option<User>>;

    /// Every user, by name.
    async fn users(&self) -> Result<Vec<User>>;

    /// Adds a user, unless there is one of this name. False: there is.
    async fn add_user(&self, user: &User, audit: AuditEntry) -> Result<bool>;

    /// Changes the user of this name, without regard to ASCII case. With another password, or disabled, the user's
    /// tokens are forgotten.
    async fn change_user(&self, name: &str, change: &UserChange, audit: AuditEntry) -> Result<UserChanged>;

    /// Forgets the user of this name and the user's tokens. Tasks and items of that name are not looked at.
    async fn delete_user(&self, name: &str, audit: AuditEntry) -> Result<UserChanged>;

    /// Keeps a token of `user`, as the user was when asking for it, notes the sign-in if it is one, and forgets tokens
    /// that have expired. False, and nothing is done: the user is gone or disabled, or has another password.
    async fn put_token(&self, hash: TokenHash, token: &Token, user: &User, audit: AuditEntry)
    -> Result<bool>;

    /// The token with this hash, expired or not, as long as it is remembered.
    async fn token(&self, hash: TokenHash) -> Result<Option<Token>>;

    /// The token with this hash and whose it is, as each request asks.
    async fn bearer(&self, hash: TokenHash) -> Result<Option<(Token, User)>> {
        let Some(token) = self.token(hash).await? else { return Ok(None) };
        Ok(self.user(&token.user).await?.map(|user| (token, user)))
    }

    /// A user's tokens that are remembered, those that expire first before the others.
    async fn tokens_of(&self, user: &str) -> Result<Vec<(TokenHash, Token)>>;

    /// Forgets a token. False: it was not there, and nothing was done.
    async fn forget_token(&self, hash: TokenHash, audit: AuditEntry) -> Result<bool>;

    /// Keeps a grant, and forgets grants that have expired.
    async fn put_grant(&self, hash: TokenHash, grant: &Grant) -> Result<()>;

    /// The grant with this hash, expired or not, as long as it is remembered.
    async fn grant(&self, hash: TokenHash) -> Result<Option<Grant>>;

    /// The same, for the last time: it is forgotten, and of several callers one gets it.
    async fn take_grant(&self, hash: TokenHash) -> Result<Option<Grant>>;
}
