//! `POST generateToken`: user name and password for a token.

use std::net::IpAddr;
use std::time::Duration;

use isochrone_domain::{Action, AuditEntry, User};
use isochrone_store::{Store, Token, TokenBinding, TokenPurpose};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Refused, hash};
use crate::answer::{Answer, Document, Failure, Format};
use crate::front::{Front, Unissued};
use crate::request::Call;
use crate::serve::Served;

/// The longest life of a token in minutes: 15 days, as ArcGIS has it.
pub(super) const LONGEST: i64 = 15 * 24 * 60;

/// A token as its user sees it, once.
#[derive(Serialize, ToSchema)]
pub(crate) struct Given {
    pub(super) token: String,
    pub(super) expires: i64,
    ssl: bool,
}

/// Gives a token for a user name and a password in the body.
pub(crate) async fn generate_token(portal: &Served, call: &Call) -> Result<Answer, Failure> {
    let secret = ["username", "password"].into_iter().find(|name| call.in_query.iter().any(|q| q == name));
    if !call.post && secret.is_none() && Format::of(&call.parameters)? == Format::Html {
        return Ok(Document::new("Sign in", serde_json::json!({})).with_sign_in().into());
    }
    call.must_post()?;
    if let Some(name) = secret {
        return Err(Failure::parameter(name, "must be in the body: addresses end up in logs"));
    }
    let name = call.parameters.required("username")?;
    let password = call.parameters.required("password")?.to_owned();
    if let Some(front) = &portal.front {
        return from_behind(portal, front, call, name).await;
    }
    let binding = binding(call)?;
    let minutes = expiration(call)?;
    let Some(user) = portal.sign_in.check(name, password, call.ip).await? else { return Err(refused()) };
    Ok(page(keep_new(&*portal.store, call, &user, binding, minutes).await?))
}

fn refused() -> Failure {
    Failure::new(400, "Unable to generate token.").with_detail("Invalid username or password.")
}

/// The token is the real portal's, as its own parameters ask for it. What it refuses counts here, too: it sees one
/// address for all of us.
async fn from_behind(portal: &Served, front: &Front, call: &Call, user: &str) -> Result<Answer, Failure> {
    let Some(guess) = portal.sign_in.guess(user, call.ip).await else { return Err(refused()) };
    let names = ["username", "password", "client", "referer", "ip", "expiration"];
    let given = names.into_iter().filter_map(|name| Some((name, call.parameters.given(name)?)));
    let issued = match front.generate_token(&given.collect::<Vec<_>>()).await {
        Ok(issued) => {
            guess.was_right();
            issued
        }
        Err(Unissued::Refused(failure)) => {
            portal.sign_in.refused(user, call.ip, Refused::Wrong).await;
            return Err(failure);
        }
        Err(Unissued::Unavailable(failure)) => {
            guess.was_not_tried();
            return Err(failure);
        }
    };
    Ok(page(Given { token: issued.token, expires: issued.expires, ssl: true }))
}

fn page(given: Given) -> Answer {
    let on = format!("?token={}&f=html", given.token);
    Document::new("Token", given).link("Continue", on).into()
}

/// Makes a token and keeps what it means.
pub(super) async fn keep_new(
    store: &dyn Store,
    call: &Call,
    user: &User,
    binding: TokenBinding,
    minutes: u64,
) -> Result<Given, Failure> {
    let token = random_token();
    let now = store.now().await?;
    let kept = Token {
        user: user.name.clone(),
        expires: now + Duration::from_mins(minutes),
        binding,
        purpose: TokenPurpose::SignIn,
    };
    let audit = AuditEntry::new(now, &user.name, Action::SignIn, &user.name, &user.name);
    let audit = AuditEntry { ip: call.ip.map(|ip| ip.to_string()), ..audit };
    if !store.put_token(hash(&token), &kept, user, audit).await? {
        // Disabled, deleted or with another password since it was checked.
        return Err(refused());
    }
    Ok(Given { token, expires: kept.expires.0, ssl: true })
}

/// 256 bits that nobody can guess.
pub(crate) fn random_token() -> String {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    hex::encode(bytes)
}

/// What the token is bound to: as `client` says; the referer if only that is given, else the caller's address.
fn binding(call: &Call) -> Result<TokenBinding, Failure> {
    let referer = call.parameters.given("referer");
    let client =
        call.parameters.given("client").unwrap_or(if referer.is_some() { "referer" } else { "requestip" });
    match client {
        "referer" => Ok(TokenBinding::Referer(call.parameters.required("referer")?.to_owned())),
        "ip" => match call.parameters.required("ip")?.parse::<IpAddr>() {
            Ok(ip) => Ok(TokenBinding::Ip(ip.to_canonical().to_string())),
            Err(_) => Err(Failure::parameter("ip", "is no IP address")),
        },
        "requestip" => Ok(call.ip.map_or(TokenBinding::None, |ip| TokenBinding::Ip(ip.to_string()))),
        _ => Err(Failure::parameter("client", "is unknown; expected referer, ip or requestip")),
    }
}

/// The token's life in minutes. Longer wishes than the longest life get that, as in ArcGIS.
fn expiration(call: &Call) -> Result<u64, Failure> {
    let minutes = call.parameters.whole("expiration", 1..=i64::from(i32::MAX))?.unwrap_or(60);
    Ok(minutes.min(LONGEST) as u64)
}
