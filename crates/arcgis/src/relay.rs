//! Requests of others, passed on to a portal as they are.

use std::time::Duration;

use reqwest::header::{self, HeaderMap, HeaderName};
use reqwest::redirect::Policy;
use reqwest::{Body, Client, Method, Response, Url};

use crate::{Connection, Result, http, observed};

/// Between two pieces of an answer.
const SILENT_AT_MOST: Duration = Duration::from_mins(2);

/// What a portal needs of a request: no cookie of this site, and nothing that concerns one connection.
const OF_REQUESTS: [HeaderName; 14] = [
    header::ACCEPT,
    header::ACCEPT_LANGUAGE,
    header::AUTHORIZATION,
    header::CONTENT_DISPOSITION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::IF_MODIFIED_SINCE,
    header::IF_NONE_MATCH,
    header::IF_RANGE,
    header::ORIGIN,
    header::RANGE,
    header::REFERER,
    header::USER_AGENT,
    HeaderName::from_static("x-esri-authorization"),
];

/// What a client needs of an answer.
const OF_ANSWERS: [HeaderName; 18] = [
    header::ACCEPT_RANGES,
    header::CACHE_CONTROL,
    header::CONTENT_DISPOSITION,
    header::CONTENT_LANGUAGE,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::CONTENT_SECURITY_POLICY,
    header::CONTENT_TYPE,
    header::ETAG,
    header::EXPIRES,
    header::LAST_MODIFIED,
    header::LOCATION,
    header::REFERRER_POLICY,
    header::RETRY_AFTER,
    header::VARY,
    header::WWW_AUTHENTICATE,
    header::X_CONTENT_TYPE_OPTIONS,
    header::X_FRAME_OPTIONS,
];

/// Passes requests on to one portal. A clone is the same one.
#[derive(Clone, Debug)]
pub struct Relay {
    client: Client,
    /// Without a slash at its end.
    base: String,
}

impl Relay {
    /// To the portal there. It is not asked yet.
    pub fn new(connection: &Connection) -> Result<Relay> {
        let client = Client::builder().read_timeout(SILENT_AT_MOST).redirect(Policy::none());
        Ok(Relay { client: http::build(client, &connection.trust)?, base: http::base(&connection.url)? })
    }

    /// Where a path of the portal's API is, such as `/sharing/rest/search?q=x`. None: it leads out of the API.
    pub fn address(&self, path_and_query: &str) -> Option<String> {
        let url = Url::parse(&format!("{}{path_and_query}", self.base)).ok()?;
        // Dots that climb have been taken out by now, however they were written.
        let below = url.as_str().strip_prefix(&self.base)?;
        let path = below.split(['?', '#']).next()?;
        let within =
            |root: &str| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        (within("/sharing") || within("/portaladmin")).then(|| url.into())
    }

    /// Passes a request on to an [`address`](Self::address) and gives the answer, a redirect too, as soon as
    /// it begins.
    pub async fn pass(
        &self,
        method: Method,
        address: &str,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Response> {
        let request = self.client.request(method, address).headers(picked(headers, &OF_REQUESTS)).body(body);
        let mut response = observed::sent(request).await.map_err(http::unavailable)?;
        *response.headers_mut() = picked(response.headers(), &OF_ANSWERS);
        Ok(response)
    }
}

fn picked(headers: &HeaderMap, names: &[HeaderName]) -> HeaderMap {
    let named = headers.iter().filter(|(name, _)| names.contains(name));
    named.map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Trust;

    #[test]
    fn no_path_leads_out_of_the_api() {
        let url = "https://gis.example.com/portal".to_owned();
        let relay =
            Relay::new(&Connection { url, trust: Trust::System, timeout: None }).expect("it can be made");
        for inside in ["/sharing/rest/search?q=a/../..", "/sharing", "/portaladmin", "/sharing/rest/a%2Fb"] {
            assert_eq!(relay.address(inside), Some(format!("https://gis.example.com/portal{inside}")));
        }
        for outside in [
            "/sharing/rest/../../admin",
            "/sharing/rest/%2e%2e/%2E./admin",
            "/sharing/..\\..\\..\\server",
            "/sharinga",
            "/home",
            "",
            "@elsewhere.example.com/sharing/rest",
            ":8443/sharing/rest",
        ] {
            assert_eq!(relay.address(outside), None, "{outside}");
        }
    }
}
