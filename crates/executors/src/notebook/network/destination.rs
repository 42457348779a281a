//! A host and a port: what a notebook connects to, and what an operator lists.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::{Host, Url};

/// The ports of Redis's servers and sentinels where a URL names none.
const REDIS: u16 = 6379;
const SENTINEL: u16 = 26_379;

/// Where a connection leads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Destination {
    pub(super) host: Host,
    pub(super) port: u16,
}

impl Destination {
    /// Of a name or an address as people write them. Every spelling of an address (`127.1`, `0x7f000001`,
    /// `[::ffff:127.0.0.1]`) becomes that address. None: it is no host.
    pub(super) fn new(host: &str, port: u16) -> Option<Destination> {
        let host = Host::parse(host.strip_suffix('.').unwrap_or(host)).ok()?;
        // Whoever resolves `a..` may take it for `a`, for which there may be other rules.
        if matches!(&host, Host::Domain(name) if name.split('.').any(str::is_empty)) {
            return None;
        }
        Some(Destination { host: plain(host), port }).filter(|_| port != 0)
    }

    pub(super) fn of_address(ip: IpAddr, port: u16) -> Destination {
        let host = match ip.to_canonical() {
            IpAddr::V4(ip) => Host::Ipv4(ip),
            IpAddr::V6(ip) => Host::Ipv6(ip),
        };
        Destination { host, port }
    }

    /// The server of a URL, at the port that its scheme has where it names none. None: it has no host or port.
    pub(super) fn of_url(url: &str) -> Option<Destination> {
        let url = Url::parse(url).ok()?;
        let port = url.port_or_known_default().or(match url.scheme() {
            "redis" | "rediss" | "redis+cluster" | "rediss+cluster" => Some(REDIS),
            "redis+sentinel" | "rediss+sentinel" => Some(SENTINEL),
            "amqp" => Some(5672),
            "amqps" => Some(5671),
            _ => None,
        })?;
        Destination::new(url.host_str()?, port)
    }

    /// The servers of a URL that may name several, as `redis+cluster://login@host:port,host:port`. Where sentinels
    /// stand, so may a server.
    pub fn of_servers(url: &str) -> Vec<Destination> {
        let Some((scheme, rest)) = url.split_once("://") else { return Vec::new() };
        let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
        let hosts = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let named = hosts.split(',').filter_map(|host| Destination::of_url(&format!("{scheme}://{host}/")));
        let beside = |one: Destination| {
            let server = scheme.ends_with("+sentinel").then(|| Destination { port: REDIS, ..one.clone() });
            [Some(one), server].into_iter().flatten()
        };
        named.flat_map(beside).collect()
    }

    /// The address, where the host is none but that.
    pub(super) fn address(&self) -> Option<IpAddr> {
        match &self.host {
            Host::Ipv4(ip) => Some((*ip).into()),
            Host::Ipv6(ip) => Some(IpAddr::V6(*ip).to_canonical()),
            Host::Domain(_) => None,
        }
    }

    /// No address of its own: where a server listens, all of its machine's; where one connects to, loopback's.
    pub(super) fn is_unspecified(&self) -> bool {
        self.address().is_some_and(|ip| ip.is_unspecified())
    }

    /// `localhost`, or what it is on every machine. (Other addresses of 127.0.0.0/8 may be other servers'.)
    pub(super) fn is_loopback(&self) -> bool {
        match &self.host {
            Host::Domain(name) => name == "localhost",
            Host::Ipv4(ip) => *ip == Ipv4Addr::LOCALHOST,
            Host::Ipv6(ip) => ip.is_loopback(),
        }
    }
}

fn plain(host: Host) -> Host {
    match host {
        Host::Ipv6(ip) => match IpAddr::V6(ip).to_canonical() {
            IpAddr::V4(ip) => Host::Ipv4(ip),
            IpAddr::V6(ip) => Host::Ipv6(ip),
        },
        host => host,
    }
}

impl From<SocketAddr> for Destination {
    fn from(address: SocketAddr) -> Destination {
        Destination::of_address(address.ip(), address.port())
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// What notebooks may reach besides, as `tcp://host:port`: any protocol over TCP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach(pub(super) Destination);

/// It is no `tcp://host:port`.
#[derive(Debug, thiserror::Error)]
#[error("notebook.reach: '{0}' is no tcp://host:port")]
pub struct NoReach(String);

impl FromStr for Reach {
    type Err = NoReach;

    fn from_str(text: &str) -> Result<Reach, NoReach> {
        let parsed = text.trim().strip_prefix("tcp://").and_then(|rest| {
            let (host, port) = rest.trim_end_matches('/').rsplit_once(':')?;
            if host.contains(['@', '/']) || !port.bytes().all(|digit| digit.is_ascii_digit()) {
                return None;
            }
            Destination::new(host, port.parse().ok()?)
        });
        parsed.map(Reach).ok_or_else(|| NoReach(text.to_owned()))
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tcp://{}", self.0)
    }
}

impl Serialize for Reach {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Reach {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Reach, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_an_address_is_that_address() {
        for spelling in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "[::ffff:127.0.0.1]",
            "127。0。0。1",
        ] {
            let found = Destination::new(spelling, 80).map(|one| one.to_string());
            assert_eq!(found.as_deref(), Some("127.0.0.1:80"), "{spelling}");
        }
        let named = Destination::new("GIS.example.com.", 443).unwrap();
        assert_eq!(named.to_string(), "gis.example.com:443");
    }

    #[test]
    fn what_is_listed_is_a_host_and_a_port() {
        for good in ["tcp://db.example.com:5432", "tcp://10.1.2.3:5432", "tcp://[fd00::5]:5432"] {
            assert_eq!(good.parse::<Reach>().unwrap().to_string(), good);
        }
        for wrong in [
            "db.example.com:5432",
            "tcp://db.example.com",
            "tcp://db.example.com:0",
            "tcp://db.example.com:70000",
            "tcp://user@db.example.com:1",
            "tcp://db.example.com:5432/x",
            "udp://db.example.com:53",
            "tcp://:5432",
            "",
        ] {
            let error = wrong.parse::<Reach>().unwrap_err().to_string();
            assert!(error.contains("notebook.reach") && error.contains("tcp://host:port"), "{error}");
        }
    }

    #[test]
    fn a_fleets_url_may_name_several_servers() {
        let of = |url: &str| -> Vec<String> {
            Destination::of_servers(url).iter().map(ToString::to_string).collect()
        };
        assert_eq!(of("redis://u:p%40@10.0.0.1:7000/3"), ["10.0.0.1:7000"]);
        assert_eq!(
            of("rediss+cluster://:p@ss@a.example.com:1,b.example.com"),
            ["a.example.com:1", "b.example.com:6379"]
        );
        let sentinels = of("redis+sentinel://10.0.0.1,10.0.0.2:5/main");
        assert_eq!(sentinels, ["10.0.0.1:26379", "10.0.0.1:6379", "10.0.0.2:5", "10.0.0.2:6379"]);
        assert_eq!(of("amqps://u:p@broker.example.com/%2f"), ["broker.example.com:5671"]);
        assert_eq!(of("nonsense"), [""; 0]);
    }

    #[test]
    fn a_url_has_its_schemes_port() {
        for (url, expected) in [
            ("https://gis.example.com/portal", "gis.example.com:443"),
            ("http://127.0.0.1:7080/portal", "127.0.0.1:7080"),
            ("redis://:secret@cache.example.com/0", "cache.example.com:6379"),
            ("amqps://broker.example.com/%2f", "broker.example.com:5671"),
        ] {
            assert_eq!(Destination::of_url(url).unwrap().to_string(), expected);
        }
    }
}
