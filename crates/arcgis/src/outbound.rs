//! Requests to servers that tasks name: guarded by [`Egress`], with a token where one is due.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, RequestBuilder, Url};

use crate::federated::{self, Federated, carried};
use crate::http::{self, ANSWER_WITHIN, LARGEST_DOCUMENT};
use crate::jobs::{Exchange, JobResponse, SubmitOutcome};
use crate::{Bearer, Egress, Result, SignedIn, Trust};

/// Redirects that are followed, on the same server.
const REDIRECTS: usize = 3;
/// Servers whose tokens are kept; beyond that, all are fetched again.
const SERVERS: usize = 1_000;

/// Sends requests to where [`Egress`] lets them go. A clone is the same one.
#[derive(Clone, Debug)]
pub struct Outbound {
    client: Client,
    /// Follows no redirect: what begins something goes to where it was sent, and nowhere else.
    unredirected: Client,
    egress: Egress,
    carries: Carries,
    /// Those that were asked, by their roots.
    servers: Arc<Mutex<BTreeMap<String, Federated>>>,
}

/// Which token requests carry.
#[derive(Clone, Debug)]
enum Carries {
    Nothing,
    Portals(SignedIn),
    Servers(Federated),
}

impl Outbound {
    /// `signed_in`: whose tokens requests carry; none: they carry none. `timeout`: how long one request may take;
    /// none: a minute.
    pub fn new(
        egress: Egress,
        trust: &Trust,
        signed_in: Option<SignedIn>,
        timeout: Option<Duration>,
    ) -> Result<Outbound> {
        let at_redirects = egress.clone();
        let client = |redirects: Policy| {
            let client = Client::builder()
                // A proxy would look names up itself.
                .no_proxy()
                .timeout(timeout.unwrap_or(ANSWER_WITHIN))
                .dns_resolver(Arc::new(egress.clone()))
                .redirect(redirects);
            http::build(client, trust)
        };
        let redirected = client(Policy::custom(move |attempt| follow(&at_redirects, attempt)))?;
        let unredirected = client(Policy::none())?;
        let carries = signed_in.map_or(Carries::Nothing, Carries::Portals);
        Ok(Outbound { client: redirected, unredirected, egress, carries, servers: Arc::default() })
    }

    /// The same, without a token.
    pub fn anonymous(&self) -> Outbound {
        Outbound { carries: Carries::Nothing, ..self.clone() }
    }

    /// The same for requests to this URL: a token is for servers that the operator lists, wherever else requests
    /// may go, and is the server's own where it is federated.
    pub(crate) fn toward(self, url: &Url) -> Outbound {
        let carries = match &self.carries {
            Carries::Portals(signed_in) if self.egress.lists(url) => match self.federated(signed_in, url) {
                Some(server) => Carries::Servers(server),
                None => Carries::Portals(signed_in.clone()),
            },
            _ => Carries::Nothing,
        };
        Outbound { carries, ..self }
    }

    /// The server that has this service, if it may be asked what it is.
    fn federated(&self, signed_in: &SignedIn, url: &Url) -> Option<Federated> {
        let root = federated::root(url)?;
        let info = Url::parse(&format!("{root}/rest/info")).ok()?;
        if !self.egress.lists(&info) {
            return None;
        }
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        if servers.len() >= SERVERS && !servers.contains_key(root) {
            servers.clear();
        }
        let new = || Federated::new(signed_in.clone(), self.client.clone(), root);
        Some(servers.entry(root.to_owned()).or_insert_with(new).clone())
    }

    /// The URL, if requests may go there.
    pub fn admit(&self, url: &str) -> Result<Url> {
        self.egress.admit(url)
    }

    /// Whether requests may go there.
    pub(crate) fn admits(&self, url: &Url) -> bool {
        self.egress.admits(url).is_ok()
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
        self.send_by(&self.client, request, read).await
    }

    /// The same without following redirects.
    pub(crate) async fn send_here<T, F>(
        &self,
        request: impl Fn(&Client) -> RequestBuilder,
        read: impl Fn(RequestBuilder) -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        self.send_by(&self.unredirected, request, read).await
    }

    async fn send_by<T, F>(
        &self,
        client: &Client,
        request: impl Fn(&Client) -> RequestBuilder,
        read: impl Fn(RequestBuilder) -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        // A server's answers are part of later URLs (a job's id, a result's name): each URL is looked at.
        let built = request(client).build().map_err(http::unavailable)?;
        self.egress.admits(built.url())?;
        let send = |bearer: Option<&Bearer>| read(carried(bearer, request(client)));
        match &self.carries {
            Carries::Nothing => send(None).await,
            Carries::Portals(signed_in) => signed_in.ask(|_, bearer| send(Some(&bearer))).await,
            Carries::Servers(server) => server.ask(send).await,
        }
    }

    /// Sends what begins something, once. `decide`: what it means that this became of it. A token that is refused is
    /// renewed once: nothing was begun with it.
    /// `most`: bytes of its response.
    pub(crate) async fn submit<H>(
        &self,
        request: impl Fn(&Client) -> RequestBuilder,
        most: usize,
        decide: impl Fn(Exchange) -> SubmitOutcome<H>,
    ) -> SubmitOutcome<H> {
        let sent = self.send_here(request, async |request| {
            http::token_refused(decide(http::exchanged(request, most).await))
        });
        match sent.await {
            Ok(outcome) => outcome,
            Err(error) => SubmitOutcome::NotBegun { retryable: error.may_pass(), error },
        }
    }

    /// The whole response to a request that changes nothing, `most` bytes at most, whatever it says.
    pub(crate) async fn response(
        &self,
        request: impl Fn(&Client) -> RequestBuilder,
        most: usize,
    ) -> Result<JobResponse> {
        self.send(request, async |request| {
            let response = http::response(request, most).await?;
            http::token_accepted(response)
        })
        .await
    }

    /// The same without following redirects.
    pub(crate) async fn response_here(
        &self,
        request: impl Fn(&Client) -> RequestBuilder,
    ) -> Result<JobResponse> {
        self.send_here(request, |request| http::response(request, LARGEST_DOCUMENT)).await
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
        let outbound = Outbound::new(egress, &Trust::System, Some(signed_in), None).expect("a client");
        for (url, expected) in [
            ("https://gis.example.com/server/rest/services/X/GPServer/X", true),
            ("https://tools.example.net/server/rest/services/X/GPServer/X", false),
        ] {
            let url = outbound.admit(url).expect("requests may go there");
            let carries = outbound.clone().toward(&url).carries;
            assert_eq!(!matches!(carries, Carries::Nothing), expected, "{url}");
        }
    }
}
