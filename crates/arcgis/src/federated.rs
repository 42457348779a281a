//! Tokens of servers that are federated with a portal: the portal's token is exchanged for one.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, RequestBuilder, Url};
use serde::Deserialize;

use crate::signed_in::{MINUTES, good_for};
use crate::tokens::{self, Shared, Tokens};
use crate::{Bearer, Error, Result, SignedIn, answer, http};

/// How long it is believed that a server has no tokens of its own.
const LOOK_AGAIN: Duration = Duration::from_mins(5);
/// Of an address that is shown to people.
const SHOWN: usize = 200;

/// A server that may be federated with the portal where somebody is signed in. A clone is the same one.
#[derive(Clone, Debug)]
pub(crate) struct Federated {
    signed_in: SignedIn,
    /// Reaches the server.
    client: Client,
    /// Without a slash at its end.
    root: String,
    held: Arc<Shared<Given>>,
}

/// What requests to a server carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Given {
    /// The portal's token that it comes from.
    portal: Bearer,
    pass: Pass,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pass {
    Token(Bearer),
    /// The server belongs to the portal there: no token of ours is for it.
    Foreign(String),
}

/// What a server or a portal says of itself.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Info {
    /// The portal that it belongs to.
    pub(crate) owning_system_url: Option<String>,
    pub(crate) auth_info: AuthInfo,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct AuthInfo {
    pub(crate) token_services_url: Option<String>,
}

/// The root of the server that has the service there: what stands before `/rest/services/`.
pub(crate) fn root(url: &Url) -> Option<&str> {
    let known = ["/rest/services/", "/rest/admin/services/"];
    known.iter().filter_map(|part| url.as_str().split_once(part)).map(|(root, _)| root).next()
}

impl Federated {
    pub(crate) fn new(signed_in: SignedIn, client: Client, root: &str) -> Federated {
        Federated { signed_in, client, root: root.to_owned(), held: Arc::default() }
    }

    /// Sends what `request` makes, with the token that is for this server.
    pub(crate) async fn ask<T, F>(&self, request: impl Fn(Option<&Bearer>) -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        tokens::ask(self, |given: &Given| {
            let (sent, foreign) = match &given.pass {
                Pass::Token(bearer) => (request(Some(bearer)), None),
                Pass::Foreign(portal) => (request(None), Some(portal.clone())),
            };
            async move { sent.await.map_err(|error| explained(error, foreign)) }
        })
        .await
    }

    /// What the server is to be sent by those who have this token of the portal.
    async fn exchange(&self, portal: Bearer) -> Result<(Given, Duration)> {
        let as_it_is = || (Given { pass: Pass::Token(portal.clone()), portal: portal.clone() }, LOOK_AGAIN);
        let Some(owner) = self.owner().await? else { return Ok(as_it_is()) };
        let ours = self.signed_in.portal();
        let said = ours.info().await?;
        // A portal may have one address inside and another one outside: its own word on that counts.
        let outside = said.owning_system_url.and_then(|url| http::base(&url).ok());
        if owner != ours.url() && Some(&owner) != outside.as_ref() {
            tracing::warn!(
                server = self.root,
                portal = owner,
                "the server is another portal's: it gets no token"
            );
            return Ok((Given { pass: Pass::Foreign(owner), portal }, LOOK_AGAIN));
        }
        let Some(service) = said.auth_info.token_services_url.and_then(|url| ours.own(&url)) else {
            tracing::warn!(
                server = self.root,
                "the portal's token service is not at portal.url: no exchange"
            );
            return Ok(as_it_is());
        };
        match ours.exchange(&portal, service, &self.root, MINUTES).await {
            Ok(issued) => {
                let life = good_for(&issued);
                Ok((Given { pass: Pass::Token(issued.bearer()), portal }, life))
            }
            // It takes no such token, or knows the server by another address.
            Err(error @ (Error::Refused(_) | Error::Forbidden(_))) => {
                tracing::warn!(server = self.root, %error, "the portal exchanges no token: its own one is sent");
                Ok(as_it_is())
            }
            Err(error) => Err(error),
        }
    }

    /// The portal that the server belongs to, if it tells of one.
    async fn owner(&self) -> Result<Option<String>> {
        let request = self.client.post(format!("{}/rest/info", self.root)).query(&[("f", "json")]);
        let info: Info = match http::document(request).await {
            Ok(text) => answer::parse(&text)?,
            Err(error @ (Error::Unavailable(_) | Error::Busy(_) | Error::Unreadable(_))) => {
                return Err(error);
            }
            // Not every server tells of itself.
            Err(_) => return Ok(None),
        };
        let Some(owner) = info.owning_system_url.filter(|url| !url.is_empty()) else { return Ok(None) };
        let read = http::base(&owner).unwrap_or_else(|_| "(an address that can't be read)".to_owned());
        Ok(Some(read))
    }
}

impl Tokens for Federated {
    type Token = Given;

    /// With a new token of the portal, if one is refused.
    async fn token(&self, refused: Option<&Given>) -> Result<Given> {
        if let Some(foreign @ Given { pass: Pass::Foreign(_), .. }) = refused {
            return Ok(foreign.clone());
        }
        let portal = self.signed_in.token(refused.map(|given| &given.portal)).await?;
        let suits = |held: &Given| held.portal == portal && refused != Some(held);
        self.held.get(suits, tokens::ask(&self.signed_in, |portal| self.exchange(portal.clone()))).await
    }
}

/// With what the server does not know.
fn explained(error: Error, foreign: Option<String>) -> Error {
    match (error, foreign) {
        (Error::Token(mut refusal), Some(portal)) => {
            let portal: String = portal.chars().take(SHOWN).collect();
            refusal
                .details
                .push(format!("The server belongs to {portal}, not to portal.url: no token was sent."));
            Error::Token(refusal)
        }
        (error, _) => error,
    }
}

/// Puts the token into the request, if there is one.
pub(crate) fn carried(bearer: Option<&Bearer>, request: RequestBuilder) -> RequestBuilder {
    match bearer {
        Some(bearer) => bearer.carried_by(request),
        None => request,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_what_stands_before_the_services() {
        for (url, expected) in [
            (
                "https://GIS.example.com/server/rest/services/A/GPServer/B",
                Some("https://gis.example.com/server"),
            ),
            (
                "https://gis.example.com:6443/arcgis/rest/admin/services/A.GPServer",
                Some("https://gis.example.com:6443/arcgis"),
            ),
            ("https://gis.example.com/workflow/0123", None),
        ] {
            let url = Url::parse(url).expect("a URL");
            assert_eq!(root(&url), expected);
        }
    }
}
