//! Sign-in with user name and password for a token, and what a token is worth.

mod generate_token;
pub(crate) mod oauth;
mod referer;
mod refusals;
mod throttle;

use std::net::IpAddr;
use std::sync::Arc;

use isochrone_domain::User;
use isochrone_scheduler::Caller;
use isochrone_store::{Store, Token, TokenBinding, TokenHash};
use isochrone_telemetry::{AuthFailure, Metrics};
use sha2::{Digest, Sha256};

pub(crate) use generate_token::{Given, generate_token, random_token};
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use oauth::read_state;

use crate::answer::Failure;
use crate::client_address::TrustedProxies;
use crate::front::Front;
use crate::passwords::{Busy, Hasher};
use crate::request::Call;
use refusals::Refusals;
pub(crate) use refusals::Refused;
pub(crate) use throttle::Guess;
use throttle::Throttle;

/// Who signs in, and who has signed in.
pub(crate) struct SignIn {
    store: Arc<dyn Store>,
    throttle: Throttle,
    refusals: Refusals,
    proxies: TrustedProxies,
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
        proxies: TrustedProxies,
    ) -> SignIn {
        let refusals = Refusals::new(Arc::clone(&store));
        SignIn { store, throttle: Throttle::default(), refusals, proxies, passwords, front, metrics }
    }

    /// The user with this name and password, signing in from `ip`. None: there is none, the user is disabled, or too
    /// many guesses were wrong lately.
    pub(crate) async fn check(
        &self,
        name: &str,
        password: String,
        ip: Option<IpAddr>,
    ) -> Result<Option<User>, Failure> {
        if !User::valid_name(name) {
            self.refused(name, ip, Refused::Wrong).await;
            return Ok(None);
        }
        let Some(guess) = self.guess(name, ip).await else { return Ok(None) };
        let found = self.verified(name, password).await;
        match found {
            Ok((user, true)) if user.as_ref().is_some_and(|user| user.disabled.is_some()) => {
                guess.was_not_tried();
                self.refused(name, ip, Refused::Disabled).await;
                Ok(None)
            }
            Ok((user, true)) => {
                guess.was_right();
                Ok(user)
            }
            Ok((_, false)) => {
                self.refused(name, ip, Refused::Wrong).await;
                Ok(None)
            }
            Err(failure) => {
                guess.was_not_tried();
                Err(failure)
            }
        }
    }

    /// Whether the password is that of the user with this name.
    async fn verified(&self, name: &str, password: String) -> Result<(Option<User>, bool), Failure> {
        let user = self.store.user(name).await?;
        let hash = user.as_ref().map(|user| user.password_hash.clone());
        let turn = self.passwords.turn().await;
        let turn = turn.map_err(|Busy| Failure::busy("Too many sign-ins at once. Try again."))?;
        let right = turn.verify(password, hash).await;
        Ok((user, right))
    }

    /// Lets a secret be tried for a name. None: too many were wrong lately, which is noted.
    pub(crate) async fn guess(&self, name: &str, ip: Option<IpAddr>) -> Option<Guess<'_>> {
        // A proxy that speaks for itself speaks for everybody.
        let own = ip.filter(|ip| !self.proxies.contains(*ip));
        let guess = self.throttle.admit(name, own);
        if guess.is_none() {
            self.refused(name, ip, Refused::Throttled).await;
        }
        guess
    }

    /// Notes that somebody was refused.
    pub(crate) async fn refused(&self, name: &str, ip: Option<IpAddr>, why: Refused) {
        self.metrics.auth_failed(match why {
            Refused::Wrong => AuthFailure::Password,
            Refused::Throttled | Refused::Disabled => AuthFailure::Locked,
        });
        self.refusals.note(name, ip, why).await;
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
        let held = known.filter(|(known, user)| {
            known.expires > now && user.disabled.is_none() && fits(known, ip, referer)
        });
        let (_, user) = held.ok_or_else(|| Failure::new(498, "Invalid token."))?;
        Ok(user)
    }
}

/// What the store knows a token by.
pub(crate) fn hash(token: &str) -> TokenHash {
    TokenHash(Sha256::digest(token.as_bytes()).into())
}

/// Whether the request has what the token is bound to.
fn fits(token: &Token, ip: Option<IpAddr>, referer: Option<&str>) -> bool {
    match &token.binding {
        TokenBinding::None => true,
        TokenBinding::Ip(bound) => ip.is_some_and(|from| from.to_string() == *bound),
        TokenBinding::Referer(bound) => referer.is_some_and(|sent| referer::is_of(sent, bound)),
    }
}
