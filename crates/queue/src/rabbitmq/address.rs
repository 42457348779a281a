//! Where the broker is and how it is spoken to, read from a URL.

use std::fmt;
use std::path::Path;

use lapin::tcp::OwnedTLSConfig;
use lapin::uri::AMQPUri;

use crate::{QueueError, Setting};

/// Seconds between heartbeats: a dead connection is noticed after two of them.
const HEARTBEAT: u16 = 10;

/// The longest name that AMQP carries.
const LONGEST_NAME: usize = 255;

/// Where the broker is. Shown, it is host and port: no user, no password.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) uri: AMQPUri,
    pub(super) tls: OwnedTLSConfig,
}

impl Address {
    /// Reads `amqp://user:password@host:port/vhost` or `amqps://...`.
    pub(super) fn parse(url: &str, ca_file: Option<&Path>) -> Result<Address, QueueError> {
        let mut uri: AMQPUri = url.parse().map_err(|cause: String| {
            // Some causes quote the URL, and with it the password.
            wrong(Setting::Url, if cause.contains(url) { "it is no amqp:// or amqps:// URL" } else { &cause })
        })?;
        if uri.vhost.len() > LONGEST_NAME {
            return Err(wrong(Setting::VirtualHost, "its name has more than 255 bytes"));
        }
        // The parser knows no IPv6 hosts and takes localhost for them.
        if let Some((host, _)) = url.split_once('[').and_then(|(_, rest)| rest.split_once(']')) {
            host.clone_into(&mut uri.authority.host);
        }
        uri.query.heartbeat.get_or_insert(HEARTBEAT);
        let cert_chain = ca_file.map(read_certificates).transpose()?;
        Ok(Address { uri, tls: OwnedTLSConfig { identity: None, cert_chain } })
    }

    pub(super) fn user(&self) -> &str {
        &self.uri.authority.userinfo.username
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.uri.authority.host, self.uri.authority.port)
    }
}

/// Without the password.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

fn read_certificates(file: &Path) -> Result<String, QueueError> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| wrong(Setting::Certificate, &format!("{}: {error}", file.display())))?;
    if text.contains("-----BEGIN CERTIFICATE-----") {
        Ok(text)
    } else {
        Err(wrong(Setting::Certificate, &format!("{} has no PEM certificate", file.display())))
    }
}

pub(super) fn wrong(setting: Setting, cause: &str) -> QueueError {
    QueueError::Setting { setting, cause: cause.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Address {
        Address::parse(url, None).unwrap()
    }

    #[test]
    fn reads_host_port_and_vhost() {
        let address = parse("amqps://isochrone:s%40cret@broker.example/a%2fb");
        assert_eq!(address.to_string(), "broker.example:5671");
        assert_eq!((address.user(), address.uri.vhost.as_str()), ("isochrone", "a/b"));
        assert_eq!(address.uri.authority.userinfo.password, "s@cret");
        assert_eq!(parse("amqp://[::1]:5673/%2f").uri.authority.host, "::1");
    }

    #[test]
    fn no_error_and_no_debug_tells_the_password() {
        for url in [
            "isochrone:hunter2@broker",
            "http://isochrone:hunter2@broker/",
            "amqp://isochrone:hunter2@broker:port/",
            "amqp://isochrone:hunter2@broker/?heartbeat=often",
            "hunter2",
            "",
        ] {
            let error = Address::parse(url, None).unwrap_err();
            assert!(matches!(error, QueueError::Setting { setting: Setting::Url, .. }), "{url}: {error:?}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
        let shown = format!("{:?}", parse("amqp://isochrone:hunter2@broker/"));
        assert_eq!(shown, "Address(broker:5672)");
    }

    #[test]
    fn a_name_too_long_for_amqp_is_an_error() {
        let error = Address::parse(&format!("amqp://broker/{}", "v".repeat(256)), None).unwrap_err();
        assert!(matches!(error, QueueError::Setting { setting: Setting::VirtualHost, .. }), "{error:?}");
    }

    #[test]
    fn a_file_without_certificates_is_an_error() {
        for file in ["Cargo.toml", "no-such-file.pem"] {
            let error = Address::parse("amqps://broker/", Some(Path::new(file))).unwrap_err();
            assert!(
                matches!(&error, QueueError::Setting { setting: Setting::Certificate, cause } if cause.contains(file)),
                "{error:?}"
            );
        }
    }
}
