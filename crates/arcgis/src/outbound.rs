//! Requests to servers that tasks name: guarded by [`Egress`], with a token where one is due.

use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, RequestBuilder, Url};

use crate::{Bearer, Egress, Result, SignedIn, Trust, http};

/// Until an answer is there as a whole.
const ANSWER_WITHIN: Duration = Duration::from_mins(1);
/// Redirects that are followed, on the same server.
const REDIRECTS: usize = 3;

/// Sends requests to where [`Egress`] lets them go. A clone is the same one.
#[derive(Clone, Debug)]
pub struct Outbound {
    client: Client,
    egress: Egress,
    /// Whose tokens requests carry.
    signed_in: Option<SignedIn>,
}

impl Outbound {
    /// `signed_in`: whose tokens requests carry; none: they carry none.
    pub fn new(egress: Egress, trust: &Trust, signed_in: Option<SignedIn>) -> Result<Outbound> {
        let at_redirects = egress.clone();
        let client = Client::builder()
            // A proxy would look names up itself.
            .no_proxy()
            .timeout(ANSWER_WITHIN)
            .dns_resolver(Arc::new(egress.clone()))
            .redirect(Policy::custom(move |attempt| follow(&at_redirects, attempt)));
        Ok(Outbound { client: http::build(client, trust)?, egress, signed_in })
    }

    /// The same, without a token.
    pub fn anonymous(&self) -> Outbound {
        Outbound { signed_in: None, ..self.clone() }
    }

    /// The same for requests to this URL: the token is for servers that the operator lists, wherever else requests
    /// may go.
    pub(crate) fn toward(self, url: &Url) -> Outbound {
        if self.egress.lists(url) { self } else { Outbound { signed_in: None, ..self } }
    }

    /// The URL, if requests may go there.
    pub fn admit(&self, url: &str) -> Result<Url> {
        self.egress.admit(url)
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Sends what `request` makes, with a token if there is one; a token that is refused is renewed once.
    /// `read` makes of the request what is asked for.
    pub(crate) async fn send<T, F>(
        &self,
        request: impl Fn(&Client) -> RequestBuilder,
        read: impl Fn(RequestBuilder) -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        match &self.signed_in {
            Some(signed_in) => {
                signed_in.ask(|_, bearer: Bearer| read(bearer.carried_by(request(&self.client)))).await
            }
            None => read(request(&self.client)).await,
        }
    }

    /// The text of the document there.
    pub(crate) async fn document(&self, request: impl Fn(&Client) -> RequestBuilder) -> Result<String> {
        self.send(request, http::document).await
    }
}

/// The token goes along: to the same server only.
fn follow(egress: &Egress, attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let asked = attempt.previous().first().map(Url::origin);
    if attempt.previous().len() > REDIRECTS {
        attempt.error("too many redirects")
    } else if asked != Some(attempt.url().origin()) {
        attempt.error("it redirects to another server")
    } else if let Err(error) = egress.admits(attempt.url()) {
        attempt.error(error)
    } else {
        attempt.follow()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Connection, Credentials, Portal};

    #[test]
    fn a_server_that_is_not_listed_gets_no_token() {
        let portal = "https://gis.example.com/portal".to_owned();
        let portal =
            Portal::new(&Connection { url: portal, trust: Trust::System, timeout: None }).expect("a portal");
        let signed_in = SignedIn::new(portal, Credentials::Token("secret".to_owned()));
        let egress =
            Egress::new(&["https://gis.example.com/server".to_owned()], true).expect("it can be read");
        let outbound = Outbound::new(egress, &Trust::System, Some(signed_in)).expect("a client");
        for (url, expected) in [
            ("https://gis.example.com/server/rest/services/X/GPServer/X", true),
            ("https://tools.example.net/server/rest/services/X/GPServer/X", false),
        ] {
            let url = outbound.admit(url).expect("requests may go there");
            assert_eq!(outbound.clone().toward(&url).signed_in.is_some(), expected, "{url}");
        }
    }
}
