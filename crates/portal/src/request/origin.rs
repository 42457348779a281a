//! By which address a client has reached this portal, as far as its word can be taken.

use std::net::IpAddr;

use axum::http::{HeaderMap, header};

use crate::{Config, OverTls};

/// `scheme://host[:port]` as the request says, if that is an address of this portal: `Host` is the client's word, and
/// whoever makes up another must not find it in links and redirects. None: it is none of ours.
pub(crate) fn of_request(headers: &HeaderMap, over_tls: Option<&OverTls>, config: &Config) -> Option<String> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next()?.to_str().ok()?;
    let own = hosts.next().is_none() && is_own(host_of(host)?, &config.names);
    let scheme = if over_tls.is_some() { "https" } else { "http" };
    own.then(|| format!("{scheme}://{host}"))
}

/// The name or address in `host[:port]`, without brackets.
pub(crate) fn host_of(authority: &str) -> Option<&str> {
    let (host, rest) = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let port = rest.strip_prefix(':').unwrap_or(rest);
    let good = !host.is_empty()
        && host.bytes().all(|letter| letter.is_ascii_alphanumeric() || b"-.:_".contains(&letter))
        && (rest.is_empty() || rest.starts_with(':'))
        && port.bytes().all(|digit| digit.is_ascii_digit());
    good.then_some(host)
}

/// Whether the host is this machine to itself, or one of these names; `*.example.com` stands for one label.
fn is_own(host: &str, names: &[String]) -> bool {
    if host.eq_ignore_ascii_case("localhost") {
        return true;
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        let named = |name: &String| name.parse::<IpAddr>().is_ok_and(|named| named == address);
        return address.to_canonical().is_loopback() || names.iter().any(named);
    }
    names.iter().any(|name| match name.strip_prefix("*.") {
        Some(parent) => host
            .split_once('.')
            .is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(parent)),
        None => name.eq_ignore_ascii_case(host),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(hosts: &[&str]) -> Option<String> {
        let headers = hosts.iter().map(|host| (header::HOST, host.parse().expect("a value")));
        let names = ["gis.example.com", "*.apps.example.com", "10.1.2.3"].map(str::to_owned).to_vec();
        of_request(&headers.collect(), None, &Config { names, ..Config::default() })
    }

    #[test]
    fn what_the_certificate_names_and_this_machine_are_own() {
        for own in [
            "localhost:7080",
            "127.0.0.1",
            "127.8.9.1:80",
            "[::1]:7443",
            "gis.example.com",
            "GIS.example.com:8443",
            "a.apps.example.com",
            "10.1.2.3:7080",
        ] {
            assert_eq!(origin(&[own]), Some(format!("http://{own}")));
        }
    }

    #[test]
    fn nothing_else_is() {
        for foreign in [
            "evil.example.com",
            "gis.example.com.evil.example.net",
            "a.b.apps.example.com",
            "apps.example.com",
            ".apps.example.com",
            "10.1.2.4",
            "localhost.evil.example.com",
            "127.0.0.1.evil.example.com",
            "localhost@evil.example.com",
            "localhost:80@evil.example.com",
            "localhost:80/x",
            "localhost#",
            "localhost\\evil.example.com",
            "[::1",
            "[::1]x",
            "[::2]",
            "2130706433",
            "",
            ":80",
        ] {
            assert_eq!(origin(&[foreign]), None, "{foreign}");
        }
        assert_eq!(origin(&[]), None);
        assert_eq!(origin(&["localhost", "evil.example.com"]), None, "two are none");
    }
}
