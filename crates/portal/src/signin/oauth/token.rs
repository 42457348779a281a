//! `POST oauth2/token`: a code, a refresh token or an API key for an access token.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use isochrone_domain::{UnknownFields, User};
use isochrone_store::{Grant, TokenBinding, TokenHash};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::Challenge;
use super::redirect::Redirect;
use crate::answer::{Answer, Document, Failure};
use crate::keys;
use crate::request::Call;
use crate::serve::Served;
use crate::signin::generate_token::{LONGEST, keep_new, random_token};
use crate::signin::{Refused, hash};

/// The usual life of an access token that can be renewed, in minutes.
const ACCESS_LIVES: i64 = 30;

const REFRESH_LIVES: Duration = Duration::from_hours(14 * 24);

/// Who may turn a code in, and how.
#[derive(Serialize, Deserialize)]
pub(super) struct CodeTerms {
    pub(super) client: String,
    pub(super) redirect: Redirect,
    pub(super) challenge: Option<Challenge>,
    pub(super) stamp: String,
}

/// Who may turn a refresh token in.
#[derive(Serialize, Deserialize)]
struct RefreshTerms {
    refresh: String,
    stamp: String,
}

/// What the program gets.
#[derive(Serialize)]
struct Tokens {
    access_token: String,
    expires_in: i64,
    username: String,
    ssl: bool,
    token_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token_expires_in: Option<u64>,
}

impl CodeTerms {
    pub(super) fn to_text(&self) -> String {
        serde_json::to_string(self).expect("its keys are text")
    }
}

/// `POST oauth2/token`
pub(crate) async fn token(portal: &Served, call: &Call) -> Result<Answer, Failure> {
    call.must_post()?;
    let secrets = ["code", "refresh_token", "code_verifier", "client_secret"];
    if let Some(name) = secrets.into_iter().find(|name| call.in_query.iter().any(|q| q == name)) {
        return Err(Failure::parameter(name, "must be in the body: addresses end up in logs"));
    }
    let parameters = &call.parameters;
    let client = parameters.required("client_id")?;
    let (user, renews) = match parameters.required("grant_type")? {
        "authorization_code" => (by_code(portal, call, client).await?, true),
        "refresh_token" => (by_refresh_token(portal, call, client, false).await?, false),
        "exchange_refresh_token" => (by_refresh_token(portal, call, client, true).await?, true),
        "client_credentials" => (by_key(portal, call, client).await?, false),
        _ => {
            let known = "authorization_code, refresh_token, exchange_refresh_token or client_credentials";
            return Err(Failure::parameter("grant_type", format!("is unknown; expected {known}")));
        }
    };
    let minutes = super::minutes(parameters)?.unwrap_or(ACCESS_LIVES).min(LONGEST);
    let given = keep_new(&*portal.store, call, &user, TokenBinding::None, minutes.unsigned_abs()).await?;
    let refresh = if renews { Some(new_refresh_token(portal, client, &user).await?) } else { None };
    let tokens = Tokens {
        access_token: given.token,
        expires_in: minutes * 60,
        username: user.name,
        ssl: true,
        token_type: "bearer",
        refresh_token_expires_in: refresh.as_ref().map(|_| REFRESH_LIVES.as_secs()),
        refresh_token: refresh,
    };
    Ok(Document::new("Token", tokens).into())
}

/// A code is good for one try, whatever comes of it.
async fn by_code(portal: &Served, call: &Call, client: &str) -> Result<User, Failure> {
    let code = call.parameters.required("code")?;
    let refused = || Failure::parameter("code", "is not valid here, was turned in before or has expired");
    let grant = portal.store.take_grant(hash(code)).await?.ok_or_else(refused)?;
    let terms: CodeTerms = serde_json::from_str(&grant.terms).map_err(|_| refused())?;
    let redirect = call.parameters.required("redirect_uri")?;
    if terms.client != client || !terms.redirect.is(redirect) {
        return Err(refused());
    }
    let verifier = call.parameters.given("code_verifier");
    let proven = match (&terms.challenge, verifier) {
        (None, None) => true,
        (Some(challenge), Some(verifier)) => challenge.is_met(verifier),
        // A verifier alone: somebody took the challenge out of the request on its way (RFC 9700, section 4.8.2).
        (None, Some(_)) | (Some(_), None) => false,
    };
    if !proven {
        return Err(Failure::parameter("code_verifier", "does not fit the code's challenge"));
    }
    still_theirs(portal, &grant, &terms.stamp).await?.ok_or_else(refused)
}

async fn by_refresh_token(portal: &Served, call: &Call, client: &str, last: bool) -> Result<User, Failure> {
    let key = hash(call.parameters.required("refresh_token")?);
    let refused = || Failure::parameter("refresh_token", "is not valid here or has expired");
    let grant = portal.store.grant(key).await?.ok_or_else(refused)?;
    let terms: RefreshTerms = serde_json::from_str(&grant.terms).map_err(|_| refused())?;
    if terms.refresh != client {
        return Err(refused());
    }
    let user = still_theirs(portal, &grant, &terms.stamp).await?.ok_or_else(refused)?;
    if last && portal.store.take_grant(key).await?.is_none() {
        return Err(refused());
    }
    Ok(user)
}

/// A program's own login: the id of an API key, and the key. Wrong ones count as wrong passwords do.
async fn by_key(portal: &Served, call: &Call, client: &str) -> Result<User, Failure> {
    let secret = hash(call.parameters.required("client_secret")?);
    let refused =
        || Failure::parameter("client_secret", "is no API key, or not the one with this 'client_id'");
    let guess = portal.sign_in.guess(client, call.ip).await.ok_or_else(refused)?;
    match user_of_key(portal, secret, client).await {
        Ok(Some(user)) => {
            guess.was_right();
            Ok(user)
        }
        Ok(None) => {
            portal.sign_in.refused(client, call.ip, Refused::Wrong).await;
            Err(refused())
        }
        Err(failure) => {
            guess.was_not_tried();
            Err(failure)
        }
    }
}

/// Whose key it is, as long as it is good.
async fn user_of_key(portal: &Served, secret: TokenHash, client: &str) -> Result<Option<User>, Failure> {
    let Some(known) = portal.store.token(secret).await? else { return Ok(None) };
    if keys::title(&known).is_none()
        || keys::id(secret) != client
        || known.expires <= portal.store.now().await?
    {
        return Ok(None);
    }
    Ok(portal.store.user(&known.user).await?.filter(|user| user.disabled.is_none()))
}

/// The grant's user, if it has not expired and the password is the same.
async fn still_theirs(portal: &Served, grant: &Grant, stamped: &str) -> Result<Option<User>, Failure> {
    if grant.expires <= portal.store.now().await? {
        return Ok(None);
    }
    Ok(portal
        .store
        .user(&grant.user)
        .await?
        .filter(|user| user.disabled.is_none() && user.stamp() == stamped))
}

async fn new_refresh_token(portal: &Served, client: &str, user: &User) -> Result<String, Failure> {
    let token = random_token();
    let terms = RefreshTerms { refresh: client.to_owned(), stamp: user.stamp() };
    let terms = serde_json::to_string(&terms).expect("its keys are text");
    let expires = portal.store.now().await? + REFRESH_LIVES;
    let grant = Grant { user: user.name.clone(), expires, terms, unknown: UnknownFields::NONE };
    portal.store.put_grant(hash(&token), &grant).await?;
    Ok(token)
}

impl Challenge {
    fn is_met(&self, verifier: &str) -> bool {
        let digest = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
        self.0.as_bytes().ct_eq(digest.as_bytes()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_met_by_its_verifier_alone() {
        // RFC 7636, appendix B.
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let challenge = Challenge::read("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM").expect("a digest");
        assert!(challenge.is_met(verifier));
        assert!(!challenge.is_met("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"));
        assert_eq!(Challenge::read(verifier.trim_end_matches('k')), None, "no digest");
    }
}
