//! What a guarded notebook may connect to. No input or output: [`super::connect`] asks, resolves and connects.
//!
//! Public addresses, and what the operator lists. A listed host and port is good wherever it is. Isochrone's own
//! store, broker and admin listener are good for no notebook, listed or not.

use std::net::{IpAddr, SocketAddr};

use isochrone_arcgis::addresses::{is_local_name, is_public};
use url::Host;

use super::destination::{Destination, Reach};

/// HTTP's and HTTPS's.
const WEB: [u16; 2] = [80, 443];

/// What the operator's configuration says of where notebooks may connect to.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// The servers of `[portal]` and `[egress]`, and of the package index.
    servers: Vec<Destination>,
    /// `[notebook] reach`.
    reach: Vec<Destination>,
    /// The store, the broker and the admin listener.
    own: Vec<Destination>,
}

/// Why a connection may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grounds {
    /// It is a listed server, which is asked over HTTP or HTTPS.
    Server,
    /// It is listed for any protocol.
    Reach,
    /// It may be public: its addresses decide.
    Public,
}

/// Why one may not be made, with the setting that would admit it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("{0} is Isochrone's own store, broker or admin listener: no notebook may reach it")]
    Own(Destination),
    #[error("{0} is not in [notebook] reach: add tcp://{0} ({1})")]
    NotListed(Destination, &'static str),
}

pub(super) const INWARD: &str = "it leads into a private network or to this machine";
const LOCAL_NAME: &str = "its name is one of a private network";
const OWN_SERVER: &str = "Isochrone keeps its store, its broker or its admin listener there or on that port";
pub(super) const PORT: &str =
    "notebooks' connections without a proxy go to 80, 443, the portal's and listed ports";

impl Rules {
    /// With the servers that these URLs name. What is no URL lists nothing.
    pub fn with_servers<'a>(mut self, urls: impl IntoIterator<Item = &'a str>) -> Rules {
        self.servers.extend(urls.into_iter().filter_map(Destination::of_url));
        self
    }

    /// With these, too.
    pub fn with_reach<'a>(mut self, reach: impl IntoIterator<Item = &'a Reach>) -> Rules {
        self.reach.extend(reach.into_iter().map(|reach| reach.0.clone()));
        self
    }

    /// Never to these: Isochrone's own.
    pub fn without(mut self, own: impl IntoIterator<Item = Destination>) -> Rules {
        self.own.extend(own);
        self
    }

    /// The ports on which connections are accepted that know no proxy.
    pub(super) fn ports(&self) -> Vec<u16> {
        let listed = self.servers.iter().chain(&self.reach).map(|listed| listed.port);
        let mut ports: Vec<u16> = WEB.into_iter().chain(listed).collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    }

    /// The ports of Isochrone's own.
    pub(super) fn own_ports(&self) -> impl Iterator<Item = u16> {
        self.own.iter().map(|own| own.port)
    }

    pub(super) fn own(&self) -> &[Destination] {
        &self.own
    }

    /// What can be said before names become addresses.
    pub(super) fn judge(&self, to: &Destination) -> Result<Grounds, Refused> {
        if self.own.iter().any(|own| same(own, to)) {
            return Err(Refused::Own(to.clone()));
        }
        if self.reach.iter().any(|listed| same(listed, to)) {
            return Ok(Grounds::Reach);
        }
        if self.servers.iter().any(|listed| same(listed, to)) {
            return Ok(Grounds::Server);
        }
        let not_listed = |why| Err(Refused::NotListed(to.clone(), why));
        match (&to.host, to.address()) {
            (Host::Domain(name), _) if is_local_name(name) => not_listed(LOCAL_NAME),
            (_, Some(ip)) if !is_public(ip) => not_listed(INWARD),
            // A cluster has more nodes than its URL names, and a machine more addresses than it knows.
            _ if self
                .own
                .iter()
                .any(|own| own.host == to.host || (own.port == to.port && !WEB.contains(&to.port))) =>
            {
                not_listed(OWN_SERVER)
            }
            _ => Ok(Grounds::Public),
        }
    }

    /// Whether an address that `to` resolves to may be connected to. `own`: where Isochrone's own servers are, each
    /// listener on every address by its port alone; `is_ours`: whether an address is this machine's.
    pub(super) fn admits(
        to: &Destination,
        grounds: Grounds,
        address: SocketAddr,
        own: &[SocketAddr],
        is_ours: impl Fn(IpAddr) -> bool,
    ) -> Result<(), Refused> {
        let ip = address.ip().to_canonical();
        let at = |own: &SocketAddr| {
            let host = own.ip().to_canonical();
            host == ip || (host.is_unspecified() && is_ours(ip)) || (host.is_loopback() && ip.is_loopback())
        };
        if own.iter().any(|own| own.port() == address.port() && at(own)) {
            return Err(Refused::Own(to.clone()));
        }
        if grounds != Grounds::Public {
            return Ok(());
        }
        if !is_public(ip) || is_ours(ip) {
            return Err(Refused::NotListed(to.clone(), INWARD));
        }
        if own.iter().any(at) {
            return Err(Refused::NotListed(to.clone(), OWN_SERVER));
        }
        Ok(())
    }
}

/// Every address of loopback is a host of its own; `localhost` is any of them, and so is what is listed without an
/// address (`0.0.0.0`, as servers listen).
fn same(listed: &Destination, to: &Destination) -> bool {
    let any = |one: &Destination| matches!(one.host, Host::Domain(_)) || one.is_unspecified();
    let here = |one: &Destination| one.is_loopback() || one.is_unspecified();
    listed.port == to.port
        && (listed.host == to.host || (here(listed) && here(to) && (any(listed) || any(to))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(host: &str, port: u16) -> Destination {
        Destination::new(host, port).unwrap()
    }

    fn rules() -> Rules {
        let reach = ["tcp://db.example.com:5432", "tcp://10.1.2.3:25", "tcp://127.0.0.1:6379"];
        let reach: Vec<Reach> = reach.iter().map(|one| one.parse().unwrap()).collect();
        Rules::default()
            .with_servers(["https://gis.intranet:7443/portal", "https://localhost:8443/portal"])
            .with_reach(&reach)
            .without([to("127.0.0.1", 6379), to("broker.example.com", 5671), to("0.0.0.0", 9600)])
    }

    #[test]
    fn what_is_listed_is_good_at_exactly_that_host_and_port() {
        for (host, port, expected) in [
            ("db.example.com", 5432, Grounds::Reach),
            ("DB.example.com.", 5432, Grounds::Reach),
            ("db.example.com", 5433, Grounds::Public),
            ("10.1.2.3", 25, Grounds::Reach),
            ("gis.intranet", 7443, Grounds::Server),
            ("localhost", 8443, Grounds::Server),
            ("127.0.0.1", 8443, Grounds::Server),
            ("::1", 8443, Grounds::Server),
            ("tools.example.com", 443, Grounds::Public),
            ("93.184.216.34", 8080, Grounds::Public),
        ] {
            let host = if host == "::1" { "[::1]" } else { host };
            assert_eq!(rules().judge(&to(host, port)), Ok(expected), "{host}:{port}");
        }
        for (host, port) in [
            ("10.1.2.3", 26),
            ("10.1.2.4", 25),
            ("gis.intranet", 443),
            ("127.0.0.2", 8443),
            ("localhost", 443),
            ("redis", 5432),
            ("printer.local", 80),
            ("169.254.169.254", 80),
            ("[::1]", 80),
            ("[fd00:ec2::254]", 80),
            ("[64:ff9b::a9fe:a9fe]", 80),
            ("[2002:7f00:1::]", 80),
            ("100.64.0.1", 80),
            ("2852039166", 80),
            ("0xa9fea9fe", 80),
        ] {
            let refused = rules().judge(&to(host, port)).expect_err(host).to_string();
            assert!(refused.contains("add tcp://"), "{refused}");
        }
    }

    #[test]
    fn isochrones_own_servers_are_good_for_nobody() {
        for (host, port) in [
            ("127.0.0.1", 6379),
            ("localhost", 6379),
            ("0.0.0.0", 6379),
            ("[::]", 6379),
            ("broker.example.com", 5671),
            ("127.0.0.1", 9600),
            ("[::1]", 9600),
        ] {
            assert_eq!(rules().judge(&to(host, port)), Err(Refused::Own(to(host, port))));
        }
        // Beside them, and where the cluster's other nodes are.
        for (host, port) in
            [("broker.example.com", 15672), ("node-2.example.com", 6379), ("93.184.216.34", 9600)]
        {
            let refused = rules().judge(&to(host, port)).expect_err(host);
            assert!(matches!(refused, Refused::NotListed(..)), "{refused}");
        }
    }

    #[test]
    fn a_names_addresses_are_looked_at_too() {
        let own: Vec<SocketAddr> =
            ["127.0.0.1:6379", "0.0.0.0:9600", "93.1.1.1:5671"].map(|one| one.parse().unwrap()).into();
        let admits = |grounds, address: &str| {
            let ours = |ip: IpAddr| ip.to_string() == "93.2.2.2" || ip.is_loopback();
            let to = to("tools.example.com", 443);
            Rules::admits(&to, grounds, address.parse().unwrap(), &own, ours).is_ok()
        };
        assert!(admits(Grounds::Public, "93.184.216.34:443"));
        assert!(admits(Grounds::Server, "10.1.1.1:443"));
        assert!(admits(Grounds::Reach, "127.0.0.1:5432"));
        for inward in [
            "10.1.1.1:443",
            "127.0.0.1:443",
            "[::1]:443",
            "[::ffff:10.0.0.1]:443",
            "93.2.2.2:443",
            "93.1.1.1:443",
        ] {
            assert!(!admits(Grounds::Public, inward), "{inward}");
        }
        for own in ["127.0.0.1:6379", "127.0.0.2:6379", "93.2.2.2:9600", "127.0.0.1:9600", "93.1.1.1:5671"] {
            assert!(!admits(Grounds::Reach, own), "{own}");
        }
    }

    #[test]
    fn connections_without_a_proxy_are_accepted_on_listed_ports() {
        assert_eq!(rules().ports(), [25, 80, 443, 5432, 6379, 7443, 8443]);
        assert_eq!(Rules::default().ports(), [80, 443]);
    }
}
