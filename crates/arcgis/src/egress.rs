//! Where requests may go that other people's tasks ask for.
//!
//! A task names its server, and who writes tasks must not reach what only this machine can reach. Servers that
//! the operator lists are good, wherever they are; others, if they are allowed at all, must be public. It is
//! looked at when the address is read, at each redirect, and where names become addresses: a name that resolves
//! to something else the second time gains nothing.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::Host;

use crate::addresses::{is_local_name, is_public};
use crate::{Error, Result, path};

/// The longest URL that is read.
const LONGEST_URL: usize = 8 << 10;

/// Where requests may go.
#[derive(Clone, Debug, Default)]
pub struct Egress {
    servers: Arc<Vec<Server>>,
    open: bool,
}

/// A server that the operator lists: everything below its path.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Server {
    scheme: String,
    host: String,
    port: Option<u16>,
    /// With a slash at its end.
    path: String,
}

impl Egress {
    /// To these servers, as `https://host[:port][/path]`; `open`: and to every public address.
    pub fn new(servers: &[String], open: bool) -> Result<Egress> {
        let servers = servers.iter().map(|server| Server::read(server)).collect::<Result<_>>()?;
        Ok(Egress { servers: Arc::new(servers), open })
    }

    /// The URL, if requests may go there.
    pub fn admit(&self, url: &str) -> Result<Url> {
        if url.len() > LONGEST_URL {
            return Err(refused("it is too long"));
        }
        // The parser takes them out, and people would not see where it leads.
        if url.chars().any(|letter| letter.is_control() || letter.is_whitespace() || letter == '\\') {
            return Err(refused("it has spaces, control characters or backslashes"));
        }
        // Before the parser takes its dot segments out.
        unambiguous(path_of(url).ok_or_else(|| refused("it can't be read"))?)?;
        let url = Url::parse(url).map_err(|_| refused("it can't be read"))?;
        self.admits(&url)?;
        Ok(url)
    }

    /// Whether requests may go there.
    pub(crate) fn admits(&self, url: &Url) -> Result<()> {
        if !matches!(url.scheme(), "https" | "http") {
            return Err(refused("it is neither https nor http"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused("it has a user name or a password in it"));
        }
        unambiguous(url.path())?;
        if self.lists(url) {
            return Ok(());
        }
        if !self.open {
            return Err(refused("its server is not listed (egress.servers)"));
        }
        match url.host() {
            // A listed name may lead inward, and is good for what is listed only.
            Some(Host::Domain(name)) if !is_local_name(name) && !self.lists_host(name) => Ok(()),
            Some(Host::Ipv4(ip)) if is_public(ip.into()) => Ok(()),
            Some(Host::Ipv6(ip)) if is_public(ip.into()) => Ok(()),
            _ => {
                Err(refused("it leads into a private network, and its server is not listed (egress.servers)"))
            }
        }
    }

    /// Whether the operator lists the server there: only such a one gets a token.
    pub(crate) fn lists(&self, url: &Url) -> bool {
        self.servers.iter().any(|server| server.has(url))
    }

    fn lists_host(&self, host: &str) -> bool {
        self.servers.iter().any(|server| server.host.eq_ignore_ascii_case(host))
    }
}

impl Server {
    fn read(text: &str) -> Result<Server> {
        let wrong = || Error::Config(format!("egress.servers: '{text}' is no https://host[:port][/path]"));
        let url = Url::parse(text.trim()).map_err(|_| wrong())?;
        let good =
            matches!(url.scheme(), "https" | "http") && url.query().is_none() && url.username().is_empty();
        unambiguous(path_of(text.trim()).ok_or_else(wrong)?).map_err(|_| wrong())?;
        let host = url.host_str().filter(|_| good).ok_or_else(wrong)?.to_owned();
        let path = format!("{}/", url.path().trim_end_matches('/'));
        Ok(Server { scheme: url.scheme().to_owned(), host, port: url.port_or_known_default(), path })
    }

    fn has(&self, url: &Url) -> bool {
        url.scheme() == self.scheme
            && url.host_str() == Some(&*self.host)
            && url.port_or_known_default() == self.port
            && format!("{}/", url.path()).starts_with(&self.path)
            && unambiguous(url.path()).is_ok()
    }
}

/// The path as it stands in the text of a URL, `scheme://host...`.
fn path_of(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://").filter(|(_, rest)| !rest.starts_with('/'))?;
    let rest = rest.split(['?', '#']).next()?;
    Some(rest.find('/').map_or("", |at| &rest[at..]))
}

/// Refuses a path that a server or a proxy in front of it could read differently: below a path that is listed it
/// might lead elsewhere.
fn unambiguous(path: &str) -> Result<()> {
    match path::read(path) {
        Ok(read) if read.has_encoded_slash => Err(refused("its path has an encoded slash")),
        Ok(_) => Ok(()),
        Err(why) => Err(refused(&why.to_string())),
    }
}

/// Names become addresses here, and those that must not be reached are left out.
impl Resolve for Egress {
    fn resolve(&self, name: Name) -> Resolving {
        let listed = self.lists_host(name.as_str());
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let allowed: Vec<SocketAddr> =
                found.into_iter().filter(|address| listed || is_public(address.ip())).collect();
            if allowed.is_empty() {
                return Err(Inward.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

#[derive(Debug)]
struct Inward;

impl fmt::Display for Inward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name leads into a private network, and its server is not listed (egress.servers)")
    }
}

impl std::error::Error for Inward {}

fn refused(why: &str) -> Error {
    Error::Config(format!("the URL is refused: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn egress(open: bool) -> Egress {
        let servers = ["https://gis.example.com/server", "http://127.0.0.1:8080"].map(str::to_owned);
        Egress::new(&servers, open).expect("they can be read")
    }

    const TRICKS: [&str; 62] = [
        "http://127.0.0.1/",
        "http://127.0.0.1:8081/",
        "https://127.0.0.1:8080/",
        "http://127.1/",
        "http://127.0.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0x7f.0.0.1/",
        "http://0177.0.0.1/",
        "http://017700000001/",
        "http://0/",
        "http://0.0.0.0/",
        "http://localhost/",
        "http://LOCALHOST:8080/",
        "http://localhost./",
        "http://x.localhost/",
        "http://[::1]/",
        "http://[::]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]/",
        "http://[0:0:0:0:0:ffff:127.0.0.1]/",
        "http://[::127.0.0.1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[64:ff9b:1::7f00:1]/",
        "http://[2002:7f00:1::]/",
        "http://[2001::1]/",
        "http://[fe80::1]/",
        "http://[fe80::1%25eth0]/",
        "http://[fc00::1]/",
        "http://[fd12:3456::1]/",
        "http://[ff02::1]/",
        "http://[fec0::1]/",
        "http://10.0.0.1/",
        "http://172.16.0.1/",
        "http://172.31.255.255/",
        "http://192.168.1.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://0xa9fea9fe/",
        "http://2852039166/",
        "http://[::ffff:a9fe:a9fe]/",
        "http://100.64.0.1/",
        "http://198.18.0.1/",
        "http://192.0.0.1/",
        "http://224.0.0.1/",
        "http://255.255.255.255/",
        "http://metadata.google.internal/",
        "http://printer.local/",
        "http://redis:6379/",
        "http://intranet/",
        "https://gis.example.com@127.0.0.1/",
        "https://gis.example.com:secret@10.0.0.1/server",
        "https://127.0.0.1#@gis.example.com/server",
        "https://127.0.0.1?@gis.example.com/server",
        "http:\\\\127.0.0.1\\",
        "https://gis.example.com\\@127.0.0.1/",
        "http://①②⑦.⓪.⓪.①/",
        "http://127。0。0。1/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:6379/_FLUSHALL",
        "ftp://127.0.0.1/",
        "http://127.0.0.1:8080@10.0.0.1/",
        "http://10.0.0.1\t.example.com/",
    ];

    #[test]
    fn no_trick_leads_inward() {
        for open in [true, false] {
            for trick in TRICKS {
                let admitted = egress(open).admit(trick);
                assert!(admitted.is_err(), "{trick} (open: {open}) leads to {admitted:?}");
            }
        }
    }

    #[test]
    fn a_listed_server_is_good_wherever_it_is_and_only_below_its_path() {
        for open in [true, false] {
            for good in [
                "https://gis.example.com/server/rest/services/Buffer/GPServer/Buffer",
                "https://GIS.example.com:443/server",
                "http://127.0.0.1:8080/any/path?query",
            ] {
                assert!(egress(open).admit(good).is_ok(), "{good}");
            }
        }
        for elsewhere in [
            "https://gis.example.com/admin",
            "https://gis.example.com/serverless",
            "https://gis.example.com/server/../admin",
            "https://gis.example.com/server/%2e%2e/admin",
            "https://gis.example.com/server/..%2fadmin",
            "https://gis.example.com/server/..;/admin",
            "https://gis.example.com/server/..;x=1/admin",
            "https://gis.example.com/server/%252e%252e/admin",
            "https://gis.example.com/server/%2e%2e;/admin",
            "https://gis.example.com/server/x;jsessionid=1",
            "https://gis.example.com/server/..%5cadmin",
            "https://gis.example.com/server/..%255cadmin",
            "https://gis.example.com/server/..%00/admin",
            "https://gis.example.com/server/%c0%ae%c0%ae/admin",
            "https://gis.example.com/server/%u002e%u002e/admin",
            "https://gis.example.com/server/%25u002e%25u002e/admin",
            "https://gis.example.com/server/\u{ff0e}\u{ff0e}/admin",
            "https://gis.example.com/server/..%20/admin",
            "https://gis.example.com/admin/../server",
            "https://gis.example.com//server",
            "https://gis.example.com/%73erver/../admin",
            "https:gis.example.com/server",
            "https:///gis.example.com/server",
            "http://gis.example.com/server",
            "https://gis.example.com:8443/server",
            "https://gis.example.com.evil.example.net/server",
        ] {
            assert!(egress(false).admit(elsewhere).is_err(), "{elsewhere}");
        }
        assert!(
            egress(true).admit("https://gis.example.com:6379/server").is_err(),
            "its name may lead inward"
        );
    }

    #[test]
    fn public_servers_are_good_where_that_is_said() {
        for public in ["https://tools.example.com/x", "http://93.184.216.34/", "https://[2606:4700::1111]/"] {
            assert!(egress(true).admit(public).is_ok(), "{public}");
            assert!(egress(false).admit(public).is_err(), "{public}");
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_inward_has_no_address() {
        let name = |name: &str| name.parse::<Name>().expect("a name");
        assert!(egress(true).resolve(name("localhost")).await.is_err());
        let listed = Egress::new(&["http://localhost:8080".to_owned()], false).expect("it can be read");
        assert!(listed.resolve(name("localhost")).await.is_ok());
    }

    #[test]
    fn what_is_no_server_is_told() {
        for wrong in ["gis.example.com", "ftp://gis.example.com", "https://x/?token=1", "https://x/a/..;/b"] {
            let error = Egress::new(&[wrong.to_owned()], false).expect_err(wrong).to_string();
            assert!(error.contains("egress.servers"), "{error}");
        }
    }
}
