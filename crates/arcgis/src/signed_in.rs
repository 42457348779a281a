//! A portal, asked as a user whose password is known.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::Mutex;

use crate::{Bearer, Error, Issued, Portal, Result};

/// The life that is asked for our tokens; a portal may give less.
const MINUTES: u32 = 60;
/// A token is renewed so long before its end, or after half of its life, if that is later.
const EARLY: Duration = Duration::from_mins(5);

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
    /// A token that was made elsewhere; when it ends, that is the end.
    Token(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Credentials::Password { username, .. } => f.debug_tuple("Password").field(username).finish(),
            Credentials::Token(_) => f.write_str("Token"),
        }
    }
}

/// A portal, asked as one of its users. A clone is the same sign-in.
#[derive(Clone, Debug)]
pub struct SignedIn {
    portal: Portal,
    credentials: Credentials,
    /// Locked while a token is fetched: one request for all who wait.
    held: Arc<Mutex<Option<Held>>>,
}

#[derive(Clone, Debug)]
struct Held {
    issued: Issued,
    until: Instant,
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
        let (username, password) = match &self.credentials {
            Credentials::Token(token) => {
                let bearer = Bearer { token: token.clone(), referer: None };
                return request(self.portal.clone(), bearer).await;
            }
            Credentials::Password { username, password } => (username, password),
        };
        let first = self.token(username, password, None).await?;
        match request(self.portal.clone(), first.bearer()).await {
            Err(Error::Token(refusal)) => {
                tracing::info!(%refusal, "the portal took a token back; a new one is fetched");
                let second = self.token(username, password, Some(&first)).await?;
                request(self.portal.clone(), second.bearer()).await
            }
            answered => answered,
        }
    }

    /// A token that is good still; another one than `refused`.
    async fn token(&self, username: &str, password: &str, refused: Option<&Issued>) -> Result<Issued> {
        let mut held = self.held.lock().await;
        if let Some(Held { issued, until }) = &*held
            && *until > Instant::now()
            && refused.is_none_or(|refused| refused.token != issued.token)
        {
            return Ok(issued.clone());
        }
        let asked = Instant::now();
        let issued = self.portal.generate_token(username, password, MINUTES).await?;
        *held = Some(Held { until: asked + good_for(&issued), issued: issued.clone() });
        Ok(issued)
    }
}

/// How long a token is used.
fn good_for(issued: &Issued) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let expires = Duration::from_millis(issued.expires.max(0) as u64);
    // What a clock that is off makes of it does no harm: a token that is refused is renewed.
    let life = expires.saturating_sub(now).min(Duration::from_hours(24));
    life.saturating_sub(EARLY).max(life / 2)
}
