//! What browsers are told about the way to the portal.
//!
//! `Strict-Transport-Security` (RFC 6797): browsers come by HTTPS only from then on. It binds a host for a year, so it is
//! said only where the operator means it: see [`suits`]. Nothing is said of subdomains, nor for browsers' built-in lists.
//!
//! `Referrer-Policy`: the address of a page of ours, which may have a token in it, is no other server's to read.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{self, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;

use crate::OverTls;
use crate::request::origin::host_of;
use crate::serve::Served;

const A_YEAR: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// With `no-referrer`, browsers would hide the `Origin` of their own forms, too.
const SAME_ORIGIN: HeaderValue = HeaderValue::from_static("same-origin");

/// Whether HTTPS may be promised for a portal at this URL: on the standard port, by a name that is not this machine's
/// to itself. The certificate must be the operator's, too.
pub fn suits(public_url: &str) -> bool {
    host_on_standard_port(public_url).is_some_and(|host| {
        let name = host.trim_end_matches('.').to_ascii_lowercase();
        let local = !name.contains('.') || name == "localhost" || name.ends_with(".localhost");
        !local && name.parse::<IpAddr>().is_err()
    })
}

fn host_on_standard_port(public_url: &str) -> Option<&str> {
    let rest = public_url.strip_prefix("https://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let standard = authority.strip_suffix(":443").unwrap_or(authority);
    host_of(standard).filter(|host| host.len() == standard.len())
}

/// Adds both: the first to answers that went over TLS, to that host; the second to all that have none of their own, as
/// those of the portal behind this one may.
pub(crate) async fn add_headers(State(served): State<Arc<Served>>, request: Request, next: Next) -> Response {
    let config = &served.config;
    let told = config.strict_transport && request.extensions().get::<OverTls>().is_some() && {
        let host = request.headers().get(header::HOST).and_then(|host| host_of(host.to_str().ok()?));
        let own = config.public_url.as_deref().and_then(host_on_standard_port);
        host.zip(own).is_some_and(|(host, own)| host.eq_ignore_ascii_case(own))
    };
    let mut response = next.run(request).await;
    if told {
        response.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, A_YEAR);
    }
    response.headers_mut().entry(header::REFERRER_POLICY).or_insert(SAME_ORIGIN);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_name_on_the_standard_port_can_be_bound() {
        for good in [
            "https://gis.example.com",
            "https://gis.example.com:443/portal",
            "https://gis.example.com/portal",
        ] {
            assert!(suits(good), "{good}");
        }
        for bad in [
            "http://gis.example.com",
            "https://gis.example.com:7443",
            "https://localhost",
            "https://LOCALHOST:443/portal",
            "https://a.localhost/portal",
            "https://localhost./",
            "https://127.0.0.1/portal",
            "https://10.1.2.3",
            "https://[2001:db8::1]/portal",
            "https://[2001:db8::1]:443",
            "https://gis/portal",
            "https://user@gis.example.com/",
            "https:///portal",
        ] {
            assert!(!suits(bad), "{bad}");
        }
    }
}
