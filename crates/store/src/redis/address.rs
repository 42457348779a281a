//! The URL that says where Redis is.

use std::path::Path;

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, TlsCertificates};

use crate::{Result, StoreError};

/// Where Redis is.
#[derive(Clone)]
pub(super) enum Address {
    /// One server.
    Server(ConnectionInfo),
    /// A cluster; some of its nodes are enough.
    Cluster(Vec<ConnectionInfo>),
    /// The master that the sentinels name.
    Sentinel {
        /// Each sentinel as if it were the server: the login and the TLS settings are the server's.
        sentinels: Vec<ConnectionInfo>,
        /// The master's name there.
        service: String,
    },
}

/// The forms of the URL, for errors: the URL itself may hold a password.
const FORMS: &str = "expected redis://[[user]:password@]host[:port][/database], \
     redis+cluster://[[user]:password@]host:port,host:port or \
     redis+sentinel://[[user]:password@]host:port,host:port/service; rediss instead of redis: with TLS";

impl Address {
    pub(super) fn parse(url: &str) -> Result<Address> {
        let (scheme, rest) = url.split_once("://").ok_or_else(malformed)?;
        let (scheme, many) = scheme.split_once('+').map_or((scheme, None), |(tls, many)| (tls, Some(many)));
        if !matches!(scheme, "redis" | "rediss") {
            return Err(malformed());
        }
        let Some(many) = many else {
            return server(url).map(Address::Server);
        };
        // A password may hold any character but '@' and '/', which are to be percent-encoded.
        let (login, rest) = rest.rsplit_once('@').map_or(("", rest), |(login, rest)| (login, rest));
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let at = if login.is_empty() { "" } else { "@" };
        let nodes = hosts
            .split(',')
            .map(|host| server(&format!("{scheme}://{login}{at}{host}/")))
            .collect::<Result<Vec<_>>>()?;
        match (many, path) {
            ("cluster", "") => Ok(Address::Cluster(nodes)),
            ("sentinel", service) if !service.is_empty() => {
                Ok(Address::Sentinel { sentinels: nodes, service: service.to_owned() })
            }
            _ => Err(malformed()),
        }
    }
}

fn server(url: &str) -> Result<ConnectionInfo> {
    url.into_connection_info().map_err(|_| malformed())
}

fn malformed() -> StoreError {
    StoreError::Config(format!("the Redis URL can't be read: {FORMS}"))
}

/// Whether connections to it are encrypted.
pub(super) fn uses_tls(info: &ConnectionInfo) -> bool {
    matches!(info.addr(), ConnectionAddr::TcpTls { .. })
}

impl Address {
    /// The login, and whether there is TLS, as all servers have it.
    pub(super) fn login(&self) -> Option<ConnectionInfo> {
        match self {
            Address::Server(info) => Some(info.clone()),
            Address::Cluster(nodes) | Address::Sentinel { sentinels: nodes, .. } => nodes.first().cloned(),
        }
    }

    /// Whether connections to it are encrypted.
    pub(super) fn is_encrypted(&self) -> bool {
        match self {
            Address::Server(info) => uses_tls(info),
            Address::Cluster(nodes) | Address::Sentinel { sentinels: nodes, .. } => {
                nodes.iter().any(uses_tls)
            }
        }
    }
}

/// TLS needs to be told which cryptography it is to use, where a program has more than one.
pub(super) fn choose_cryptography() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // An error: another thread has chosen meanwhile.
        drop(rustls::crypto::ring::default_provider().install_default());
    }
}

/// The authorities that TLS trusts, from a file in PEM form.
pub(super) fn certificates(ca_file: Option<&Path>) -> Result<Option<TlsCertificates>> {
    let Some(path) = ca_file else {
        return Ok(None);
    };
    let pem = std::fs::read(path)
        .map_err(|error| StoreError::Config(format!("can't read {}: {error}", path.display())))?;
    Ok(Some(TlsCertificates { client_tls: None, root_cert: Some(pem) }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // Tests.
mod tests {
    use super::*;

    fn refusal(url: &str) -> String {
        match Address::parse(url) {
            Ok(_) => panic!("{url} was read"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn reads_each_form() {
        let Address::Server(one) = Address::parse("rediss://ann:s%40x@h:7/2").unwrap() else { panic!() };
        assert!(uses_tls(&one));
        assert_eq!(one.redis_settings().password(), Some("s@x"));
        let Address::Cluster(nodes) = Address::parse("redis+cluster://:pw@a:1,b:2,[::1]:3").unwrap() else {
            panic!()
        };
        assert_eq!(
            nodes.iter().map(|node| node.addr().to_string()).collect::<Vec<_>>(),
            ["a:1", "b:2", "::1:3"]
        );
        assert!(nodes.iter().all(|node| node.redis_settings().password() == Some("pw") && !uses_tls(node)));
        let Address::Sentinel { sentinels, service } =
            Address::parse("rediss+sentinel://a:1,b/isochrone").unwrap()
        else {
            panic!()
        };
        assert_eq!((sentinels.len(), service.as_str()), (2, "isochrone"));
        assert!(sentinels.iter().all(uses_tls));
    }

    #[test]
    fn tells_the_forms_and_no_password() {
        for url in [
            "host:6379",
            "http://:secret@host",
            "redis://:secret@host:port",
            "redis+ring://:secret@a,b",
            "redis+sentinel://:secret@a:1",
            "redis+cluster://:secret@a:x",
        ] {
            let text = refusal(url);
            assert!(text.contains("redis+sentinel://"), "{text}");
            assert!(!text.contains("secret"), "{text}");
        }
    }
}
