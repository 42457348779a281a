//! Requests of others, passed on to a portal as they are.

use std::time::Duration;

use reqwest::header::{self, HeaderMap, HeaderName};
use reqwest::redirect::Policy;
use reqwest::{Body, Client, Method, Response, Url};

use crate::{Connection, Error, Result, http, observed, path};

/// Between two pieces of an answer.
const SILENT_AT_MOST: Duration = Duration::from_mins(2);

/// What a portal answers to. TRACE would show the request's secrets, CONNECT is a proxy's.
const METHODS: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

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

    /// Where a path of the portal's API is, such as `/sharing/rest/search?q=x`. None: it leads out of the API, or
    /// could for some reader between here and there.
    pub fn address(&self, path_and_query: &str) -> Option<String> {
        path::read(path_and_query.split(['?', '#']).next()?).ok()?;
        let url = Url::parse(&format!("{}{path_and_query}", self.base)).ok()?;
        let below = url.as_str().strip_prefix(&self.base)?;
        let path = below.split(['?', '#']).next()?;
        let within =
            |root: &str| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        (within("/sharing") || within("/portaladmin")).then(|| url.into())
    }

    /// Whether requests of this method are passed on.
    pub fn takes(method: &Method) -> bool {
        METHODS.contains(method)
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
        if response.status().is_informational() {
            return Err(Error::Unreadable("it wants to speak another protocol".to_owned()));
        }
        *response.headers_mut() = picked(response.headers(), &OF_ANSWERS);
        Ok(response)
    }
}

fn picked(headers: &HeaderMap, names: &[HeaderName]) -> HeaderMap {
    // What `Connection` names concerns one connection only (RFC 9110, section 7.6.1).
    let listed = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let hops: Vec<&str> = listed.flat_map(|names| names.split(',').map(str::trim)).collect();
    let of_hop = |name: &HeaderName| hops.iter().any(|hop| hop.eq_ignore_ascii_case(name.as_str()));
    let named = headers.iter().filter(|(name, _)| names.contains(name) && !of_hop(name));
    named.map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Trust;

    #[test]
    fn only_what_concerns_the_whole_way_is_passed_on() {
        let sent = [
            ("connection", "close, X-Esri-Authorization"),
            ("x-esri-authorization", "Bearer 1"),
            ("authorization", "Bearer 2"),
            ("upgrade", "websocket"),
            ("x-http-method-override", "DELETE"),
            ("x-forwarded-host", "evil.example.com"),
            ("cookie", "a=b"),
            ("te", "trailers"),
        ];
        let sent = sent.map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("a value")));
        let passed = picked(&HeaderMap::from_iter(sent), &OF_REQUESTS);
        assert_eq!(passed.keys().collect::<Vec<_>>(), [&header::AUTHORIZATION]);
        for refused in ["TRACE", "CONNECT", "TRACK", "DEBUG", "PROPFIND", "get", "X"] {
            assert!(!Relay::takes(&refused.parse().expect("a method")), "{refused}");
        }
    }

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
            "/sharing/rest/..;/..;/admin",
            "/sharing/..;x=1/admin",
            "/sharing/..%2f..%2fadmin",
            "/sharing/..%5cadmin",
            "/sharing/%252e%252e/admin",
            "/sharing/rest/content;jsessionid=1/x",
            "/sharing/rest/%u002e%u002e/x",
            "/sharing/rest/x/../search",
            "/sharing/rest/./search",
            "/sharing/rest/\u{ff0e}\u{ff0e}/x",
            "/sharing/rest/%c0%ae%c0%ae/x",
            "/sharing/rest/a%00b",
        ] {
            assert_eq!(relay.address(outside), None, "{outside}");
        }
    }
}
