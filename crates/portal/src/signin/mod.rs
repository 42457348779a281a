//! Sign-in with user name and password for a token, and what a token is worth.

mod generate_token;
pub(crate) mod oauth;
mod throttle;

use std::net::IpAddr;
use std::sync::Arc;

use isochrone_domain::User;
use isochrone_scheduler::Caller;
use isochrone_store::{Store, Token, TokenBinding, TokenHash};
use isochrone_telemetry::{AuthFailure, Metrics};
use sha2::{Digest, Sha256};

pub(crate) use generate_token::{Given, generate_token, random_token};

use crate::answer::Failure;
use crate::front::Front;
use crate::passwords::{Busy, Hasher};
use crate::request::Call;
use throttle::Throttle;

/// Who signs in, and who has signed in.
pub(crate) struct SignIn {
    store: Arc<dyn Store>,
    throttle: Throttle,
    passwords: Arc<Hasher>,
    /// Whose word counts, where there is one.
    front: Option<Arc<Front>>,
    metrics: Metrics,
}

impl SignIn {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        front: Option<Arc<Front>>,
        metrics: Metrics,
        passwords: Arc<Hasher>,
    ) -> SignIn {
        SignIn { store, throttle: Throttle::default(), passwords, front, metrics }
    }

    /// The user with this name and password. None: there is none, or too many guesses were wrong lately.
    pub(crate) async fn check(&self, name: &str, password: String) -> Result<Option<User>, Failure> {
        if !User::valid_name(name) {
            self.metrics.auth_failed(AuthFailure::Password);
            return Ok(None);
        }
        if !self.throttle.admits(name) {
            self.metrics.auth_failed(AuthFailure::Locked);
            return Ok(None);
        }
        let user = self.store.user(name).await?;
        let hash = user.as_ref().map(|user| user.password_hash.clone());
        let turn = self.passwords.turn().await;
        let turn = turn.map_err(|Busy| Failure::busy("Too many sign-ins at once. Try again."))?;
        // Guesses that came all at once were all admitted; those that waited know better by now.
        if !self.throttle.admits(name) {
            self.metrics.auth_failed(AuthFailure::Locked);
            return Ok(None);
        }
        let right = turn.verify(password, hash).await;
        self.throttle.note(name, right);
        if !right {
            self.metrics.auth_failed(AuthFailure::Password);
        }
        Ok(user.filter(|_| right))
    }

    /// Who calls; a token must be there.
    pub(crate) async fn caller(&self, call: &Call) -> Result<Caller, Failure> {
        self.caller_if_any(call).await?.ok_or_else(|| Failure::new(499, "Token Required"))
    }

    /// Who calls, if a token is there; then it must be good.
    pub(crate) async fn caller_if_any(&self, call: &Call) -> Result<Option<Caller>, Failure> {
        let Some(token) = &call.token else { return Ok(None) };
        self.bearer(token, call.ip, call.referer.as_deref()).await.map(Some)
    }

    /// Who calls with this token, from this address and with this `Referer`.
    pub(crate) async fn bearer(
        &self,
        token: &str,
        ip: Option<IpAddr>,
        referer: Option<&str>,
    ) -> Result<Caller, Failure> {
        let user = self.owner(token, ip, referer).await.inspect_err(|failure| {
            if failure.asks_for_token() {
                self.metrics.auth_failed(AuthFailure::Token);
            }
        })?;
        Ok(Caller { user, ip: ip.map(|ip| ip.to_string()) })
    }

    async fn owner(&self, token: &str, ip: Option<IpAddr>, referer: Option<&str>) -> Result<User, Failure> {
        if let Some(front) = &self.front {
            return front.bearer(&*self.store, token, referer).await;
        }
        let known = self.store.bearer(hash(token)).await?;
        let now = self.store.now().await?;
        let held = known.filter(|(known, _)| known.expires > now && fits(known, ip, referer));
        let (_, user) = held.ok_or_else(|| Failure::new(498, "Invalid token."))?;
        Ok(user)
    }
}

/// What the store knows a token by.
pub(crate) fn hash(token: &str) -> TokenHash {
    TokenHash(Sha256::digest(token.as_bytes()).into())
}

/// Whether the request has what the token is bound to. A referer stands for its site: the pages below it
/// are it too.
fn fits(token: &Token, ip: Option<IpAddr>, referer: Option<&str>) -> bool {
    match &token.binding {
        TokenBinding::None => true,
        TokenBinding::Ip(bound) => ip.is_some_and(|from| from.to_string() == *bound),
        TokenBinding::Referer(bound) => referer.is_some_and(|referer| {
            let below = referer.strip_prefix(bound.trim_end_matches('/'));
            below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }),
    }
}
