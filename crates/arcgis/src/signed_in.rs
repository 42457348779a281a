//! A portal, asked by somebody who can sign in there.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::tokens::{self, Shared, Tokens};
use crate::{Bearer, Issued, Portal, Result};

/// The life that is asked for our tokens; a portal may give less.
pub(crate) const MINUTES: u32 = 60;
/// A token is renewed so long before its end, or after half of its life, if that is later.
const EARLY: Duration = Duration::from_mins(5);

/// Of a token that can't be renewed.
const FOR_GOOD: Duration = Duration::from_hours(24);

/// With what somebody signs in.
#[derive(Clone)]
pub enum Credentials {
    /// Tokens are made as they are needed.
    Password {
        /// The user.
        username: String,
        /// The password.
        password: String,
    },
    /// OAuth's client credentials: tokens are made as they are needed. An app is no user, and has no items.
    Application {
        /// The app.
        client_id: String,
        /// Its secret.
        client_secret: String,
    },
    /// An API key, or a token that was made elsewhere; when it ends, that is the end.
    Token(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Credentials::Password { username, .. } => f.debug_tuple("Password").field(username).finish(),
            Credentials::Application { client_id, .. } => {
                f.debug_tuple("Application").field(client_id).finish()
            }
            Credentials::Token(_) => f.write_str("Token"),
        }
    }
}

/// A portal, asked as one of its users or apps. A clone is the same sign-in.
#[derive(Clone, Debug)]
pub struct SignedIn {
    portal: Portal,
    credentials: Credentials,
    held: Arc<Shared<Bearer>>,
}

impl SignedIn {
    /// The user signs in with the first request.
    pub fn new(portal: Portal, credentials: Credentials) -> SignedIn {
        SignedIn { portal, credentials, held: Arc::default() }
    }

    /// The portal.
    pub fn portal(&self) -> &Portal {
        &self.portal
    }

    /// A token of its own for this user, good from here for about so many minutes, where that is who signs in.
    pub async fn issue_for(&self, user: &str, minutes: u32) -> Result<Option<Issued>> {
        match &self.credentials {
            Credentials::Password { username, password } if username.eq_ignore_ascii_case(user) => {
                let minutes = minutes.to_string();
                // Notebooks send no `Referer`.
                let form = [
                    ("username", username.as_str()),
                    ("password", password),
                    ("client", "requestip"),
                    ("expiration", &minutes),
                ];
                self.portal.generate_token_for(&form).await.map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Asks the portal something. A token that is refused is renewed once.
    pub async fn ask<T, F>(&self, request: impl Fn(Portal, Bearer) -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        tokens::ask(self, |bearer: &Bearer| request(self.portal.clone(), bearer.clone())).await
    }

    async fn sign_in(&self) -> Result<(Bearer, Duration)> {
        let issued = match &self.credentials {
            Credentials::Password { username, password } => {
                self.portal.generate_token(username, password, MINUTES).await?
            }
            Credentials::Application { client_id, client_secret } => {
                self.portal.client_credentials(client_id, client_secret, MINUTES).await?
            }
            Credentials::Token(token) => {
                return Ok((Bearer { token: token.clone(), referer: None }, FOR_GOOD));
            }
        };
        Ok((issued.bearer(), good_for(&issued)))
    }
}

impl Tokens for SignedIn {
    type Token = Bearer;

    async fn token(&self, refused: Option<&Bearer>) -> Result<Bearer> {
        self.held.get(|held| refused != Some(held), self.sign_in()).await
    }
}

/// How long a token is used.
pub(crate) fn good_for(issued: &Issued) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let expires = Duration::from_millis(issued.expires.max(0) as u64);
    // What a clock that is off makes of it does no harm: a token that is refused is renewed.
    let life = expires.saturating_sub(now).min(Duration::from_hours(24));
    life.saturating_sub(EARLY).max(life / 2)
}
