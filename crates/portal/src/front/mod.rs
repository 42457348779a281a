//! A real portal that this one stands in front of: users, tokens and items are the real one's, only tasks and
//! their runs are here.

mod known;
mod relay;

use std::net::IpAddr;
use std::time::Duration;

use isochrone_arcgis::{Bearer, Connection, Error, Portal, Relay, User as Told};
use isochrone_domain::User;
use isochrone_store::{Store, TokenHash};
use moka::future::Cache;
use tokio::sync::Semaphore;

pub use known::keep_user;

use crate::answer::Failure;
use crate::places::Places;
use crate::signin;

/// Tokens whose users are remembered at most.
const REMEMBERED: u64 = 10_000;

/// The real portal.
pub struct Front {
    portal: Portal,
    relay: Relay,
    /// By the token and where it was sent from.
    known: Cache<(TokenHash, Option<String>), Told>,
    /// For requests that are passed on, by their clients' addresses.
    relays: Places<Option<IpAddr>>,
    /// For questions of our own: anybody can make up tokens and passwords.
    questions: Semaphore,
}

/// Requests that are passed on at once, in all and of one client. Each has a connection of its own.
const RELAYS: usize = 256;
const RELAYS_OF_EACH: usize = 64;

/// Questions that the portal is asked at once, and how long one waits for its turn.
const QUESTIONS: usize = 32;
const PATIENCE: Duration = Duration::from_secs(10);

impl Front {
    /// The portal there. It is not asked yet. `believed`: how long its word on a token holds.
    pub fn new(connection: &Connection, believed: Duration) -> isochrone_arcgis::Result<Front> {
        let known = Cache::builder().max_capacity(REMEMBERED).time_to_live(believed).build();
        Ok(Front {
            portal: Portal::new(connection)?,
            relay: Relay::new(connection)?,
            known,
            relays: Places::new(RELAYS, RELAYS_OF_EACH),
            questions: Semaphore::new(QUESTIONS),
        })
    }

    /// Whose token it is, by the portal's word. Requests that come meanwhile share one question.
    pub(crate) async fn bearer(
        &self,
        store: &dyn Store,
        token: &str,
        referer: Option<&str>,
    ) -> Result<User, Failure> {
        let bearer = Bearer { token: token.to_owned(), referer: referer.map(str::to_owned) };
        let place = (signin::hash(token), bearer.referer.clone());
        let told = self.known.try_get_with(place, self.ask(self.portal.community_self(&bearer))).await;
        let told = told.map_err(|error| match &*error {
            Error::Token(_) | Error::Refused(_) => Failure::new(498, "Invalid token."),
            error => failure(error),
        })?;
        if told.disabled {
            return Err(Failure::new(498, "Invalid token."));
        }
        Ok(keep_user(store, &told).await?)
    }

    /// Asks the portal, a bounded number of questions at once.
    async fn ask<T>(
        &self,
        question: impl Future<Output = isochrone_arcgis::Result<T>>,
    ) -> isochrone_arcgis::Result<T> {
        match tokio::time::timeout(PATIENCE, self.questions.acquire()).await {
            Ok(Ok(_turn)) => question.await,
            _ => Err(Error::Busy(PATIENCE)),
        }
    }

    /// A user that the portal knows; asked with the caller's token. None: it knows nobody of this name.
    pub(crate) async fn user(
        &self,
        store: &dyn Store,
        bearer: &Bearer,
        name: &str,
    ) -> Result<Option<User>, Failure> {
        match self.ask(self.portal.user(bearer, name)).await {
            Ok(told) => Ok(Some(keep_user(store, &told).await?)),
            Err(Error::Refused(_)) => Ok(None),
            Err(error) => Err(failure(&error)),
        }
    }

    /// A token from the portal, for what generateToken was asked here.
    pub(crate) async fn generate_token(
        &self,
        form: &[(&str, &str)],
    ) -> Result<isochrone_arcgis::Issued, Unissued> {
        self.ask(self.portal.generate_token_for(form)).await.map_err(|error| match &error {
            Error::Token(_) | Error::Forbidden(_) | Error::Refused(_) => Unissued::Refused(failure(&error)),
            error => Unissued::Unavailable(failure(error)),
        })
    }
}

/// Why the portal gave no token.
pub(crate) enum Unissued {
    /// It says no.
    Refused(Failure),
    /// It does not say.
    Unavailable(Failure),
}

/// What our own client is told of the portal's failure.
fn failure(error: &Error) -> Failure {
    match error {
        Error::Token(refusal) | Error::Forbidden(refusal) | Error::Refused(refusal) => {
            let code = refusal.code.and_then(|code| u16::try_from(code).ok()).unwrap_or(400);
            let told = Failure::new(code, refusal.message.clone());
            refusal.details.iter().fold(told, |told, detail| told.with_detail(detail.clone()))
        }
        Error::Unavailable(_) | Error::Busy(_) | Error::Unreadable(_) | Error::Config(_) => {
            tracing::warn!(%error, "the portal behind this one does not answer as it should");
            Failure::new(503, "The portal behind this one does not answer. Try again.")
        }
    }
}
