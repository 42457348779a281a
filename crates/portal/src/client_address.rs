//! Whose request it is: the address of the client, behind any number of reverse proxies.
//!
//! A proxy that is trusted writes whom it speaks for into `X-Forwarded-For` or `Forwarded` (RFC 7239); it appends, so
//! that whatever a client wrote itself stands to the left. The chain is read from the right, and the first address that
//! is no trusted proxy's is the client's.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, header};
use axum::middleware::Next;
use axum::response::Response;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// A longer chain of proxies is no chain.
const LONGEST_CHAIN: usize = 32;

/// The client's address as a request extension. Missing where a request came without a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientAddress(pub IpAddr);

/// An address (`10.0.0.1`) or a network (`10.0.0.0/8`), but not the whole internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(IpNet);

/// A text that is no [`Network`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNetwork {
    /// Neither an address nor a network.
    #[error("expected an IP address or a network such as 10.0.0.0/8")]
    Syntax,
    /// `/0`
    #[error("that is every address: anybody could claim to be anybody")]
    Everything,
}

/// The header that the trusted proxies write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForwardedHeader {
    /// `X-Forwarded-For` where there is one, else `Forwarded`.
    Auto,
    /// `X-Forwarded-For` only.
    XForwardedFor,
    /// `Forwarded` only: for proxies that write it and pass on a client's `X-Forwarded-For` as it came.
    Forwarded,
}

/// The reverse proxies whose word on the client's address counts.
#[derive(Clone, Debug)]
pub struct TrustedProxies {
    networks: Vec<Network>,
    header: ForwardedHeader,
}

impl TrustedProxies {
    /// Those in `networks`, which write `header`.
    pub fn new(networks: Vec<Network>, header: ForwardedHeader) -> TrustedProxies {
        TrustedProxies { networks, header }
    }

    /// Nobody: the client is whoever connects.
    pub fn none() -> TrustedProxies {
        TrustedProxies::new(Vec::new(), ForwardedHeader::Auto)
    }

    /// Whether the address is a trusted proxy's.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.0.contains(&address))
    }

    /// The client of a request that came from `peer` with these headers.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> ClientAddress {
        let mut client = peer.to_canonical();
        if !self.contains(client) {
            return ClientAddress(client);
        }
        for hop in self.chain(headers).into_iter().rev().take(LONGEST_CHAIN) {
            // What can't be read was written by somebody whom the last known one let through.
            let Some(address) = hop else { break };
            client = address.to_canonical();
            if !self.contains(client) {
                break;
            }
        }
        ClientAddress(client)
    }

    /// The addresses from left to right; none for what is no address.
    fn chain(&self, headers: &HeaderMap) -> Vec<Option<IpAddr>> {
        let forwarded_for = matches!(self.header, ForwardedHeader::XForwardedFor)
            || (self.header == ForwardedHeader::Auto && headers.contains_key(X_FORWARDED_FOR));
        let (name, read): (_, fn(&str) -> Option<IpAddr>) =
            if forwarded_for { (X_FORWARDED_FOR, node) } else { (header::FORWARDED, forwarded_element) };
        // Each element by itself: what a client wrote must not make what a proxy has appended unreadable.
        let elements =
            headers.get_all(name).into_iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        elements.map(|element| read(std::str::from_utf8(element).ok()?.trim())).collect()
    }
}

/// `for=192.0.2.1;proto=https`. Split at commas before: an odd number of quotes says that a comma was within them,
/// and whatever follows it is a client's text.
fn forwarded_element(element: &str) -> Option<IpAddr> {
    if element.matches('"').count() % 2 == 1 {
        return None;
    }
    let mut fors = element.split(';').filter_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        name.eq_ignore_ascii_case("for").then_some(value)
    });
    let value = fors.next()?;
    if fors.next().is_some() {
        return None;
    }
    let unquoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    node(unquoted.unwrap_or(value))
}

/// An address, with a port or without.
fn node(text: &str) -> Option<IpAddr> {
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let with_port = || Some(text.parse::<SocketAddr>().ok()?.ip());
    text.parse().ok().or_else(with_port).or_else(bracketed)
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Network, InvalidNetwork> {
        let address = || Some(IpNet::from(text.parse::<IpAddr>().ok()?.to_canonical()));
        let network = text.parse::<IpNet>().ok().or_else(address).ok_or(InvalidNetwork::Syntax)?;
        if network.prefix_len() == 0 { Err(InvalidNetwork::Everything) } else { Ok(Network(network)) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Puts the client's address into a request's extensions: the only place where it is found out.
pub(crate) async fn identify(
    State(proxies): State<TrustedProxies>,
    mut request: Request,
    next: Next,
) -> Response {
    if let Some(ConnectInfo(peer)) = request.extensions().get::<ConnectInfo<SocketAddr>>() {
        let client = proxies.client(peer.ip(), request.headers());
        request.extensions_mut().insert(client);
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn proxies(networks: &[&str]) -> TrustedProxies {
        let networks = networks.iter().map(|text| text.parse().expect("a network")).collect();
        TrustedProxies::new(networks, ForwardedHeader::Auto)
    }

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let line = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        lines.iter().map(line).collect()
    }

    fn client(proxies: &TrustedProxies, peer: &str, lines: &[(&'static str, &'static str)]) -> String {
        let peer = peer.parse().expect("an address");
        proxies.client(peer, &headers(lines)).0.to_string()
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        let forged = [("x-forwarded-for", "198.51.100.7"), ("forwarded", "for=198.51.100.7")];
        assert_eq!(client(&TrustedProxies::none(), "203.0.113.5", &forged), "203.0.113.5");
        assert_eq!(client(&proxies(&["10.0.0.0/8"]), "203.0.113.5", &forged), "203.0.113.5");
        assert_eq!(client(&proxies(&["203.0.113.5"]), "203.0.113.5", &forged), "198.51.100.7");
        assert_eq!(client(&proxies(&["203.0.113.5"]), "203.0.113.5", &[]), "203.0.113.5");
    }

    #[test]
    fn the_rightmost_untrusted_address_counts() {
        let proxies = proxies(&["10.0.0.0/8", "fd00::/8", "127.0.0.1"]);
        for (chain, expected) in [
            ("1.1.1.1, 198.51.100.7", "198.51.100.7"),
            ("1.1.1.1,198.51.100.7,10.1.1.1, fd00::2", "198.51.100.7"),
            ("198.51.100.7:4711", "198.51.100.7"),
            ("[2001:db8::1]:4711, 10.0.0.1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("::ffff:198.51.100.7", "198.51.100.7"),
            ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
            // Nothing of a client's is believed behind something that is no address.
            ("1.1.1.1, unknown", "127.0.0.1"),
            ("1.1.1.1, unknown, 10.0.0.9", "10.0.0.9"),
            ("", "127.0.0.1"),
        ] {
            assert_eq!(client(&proxies, "127.0.0.1", &[("x-forwarded-for", chain)]), expected, "{chain}");
        }
        let two = [("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "198.51.100.7")];
        assert_eq!(client(&proxies, "::ffff:127.0.0.1", &two), "198.51.100.7", "one list in two lines");
    }

    #[test]
    fn forwarded_is_read_as_its_standard_has_it() {
        let proxies = proxies(&["127.0.0.1", "10.0.0.0/8"]);
        for (chain, expected) in [
            ("for=1.1.1.1, for=198.51.100.7;proto=https;by=10.0.0.1", "198.51.100.7"),
            (r#"For="[2001:db8:cafe::17]:4711""#, "2001:db8:cafe::17"),
            (r#"for="198.51.100.7:80";host=h, for=10.0.0.2"#, "198.51.100.7"),
            ("for=1.1.1.1, for=_hidden", "127.0.0.1"),
            ("proto=https", "127.0.0.1"),
            // What a client wrote as its host, in quotes.
            (r#"for=198.51.100.7;host="h,for=1.1.1.1;a=""#, "127.0.0.1"),
            // An open quote does not swallow what the proxy appended.
            (r#"for="1.1.1.1, for=198.51.100.7"#, "198.51.100.7"),
            ("for=1.1.1.1;for=1.1.1.2", "127.0.0.1"),
        ] {
            assert_eq!(client(&proxies, "127.0.0.1", &[("forwarded", chain)]), expected, "{chain}");
        }
    }

    #[test]
    fn a_client_s_forwarded_does_not_outrank_its_proxy_s_header() {
        let both = [("forwarded", "for=1.1.1.1"), ("x-forwarded-for", "198.51.100.7")];
        assert_eq!(client(&proxies(&["127.0.0.1"]), "127.0.0.1", &both), "198.51.100.7");
        let networks = vec!["127.0.0.1".parse().expect("a network")];
        let standard = TrustedProxies::new(networks, ForwardedHeader::Forwarded);
        assert_eq!(client(&standard, "127.0.0.1", &both), "1.1.1.1", "where the proxy writes that one");
    }

    #[test]
    fn a_network_is_an_address_or_a_part_of_the_internet() {
        for (text, expected) in [
            ("10.0.0.0/8", Ok("10.0.0.0/8")),
            ("10.0.0.1", Ok("10.0.0.1/32")),
            ("fd00::/8", Ok("fd00::/8")),
            ("0.0.0.0/0", Err(InvalidNetwork::Everything)),
            ("::/0", Err(InvalidNetwork::Everything)),
            ("proxy.example.com", Err(InvalidNetwork::Syntax)),
            ("10.0.0.0/33", Err(InvalidNetwork::Syntax)),
        ] {
            let parsed = text.parse::<Network>().map(|network| network.to_string());
            assert_eq!(parsed, expected.map(str::to_owned), "{text}");
        }
    }
}
