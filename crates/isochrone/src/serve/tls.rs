//! The portal over TLS, with certificate files or with a certificate that is made at the first start.

use std::fs::OpenOptions;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use axum::{Extension, Router};
use axum_server::tls_rustls::RustlsConfig;
use isochrone_portal::OverTls;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_util::sync::CancellationToken;
use x509_parser::extensions::GeneralName;

use super::connections::{Listener, Registry};
use super::presence;
use crate::config::{Config, Loaded};
use crate::wiring::{House, make_private_dir};

/// A listener with its certificate.
pub(super) struct Secure {
    listener: Listener,
    address: SocketAddr,
    config: RustlsConfig,
    /// The certificate that was made here: clients do not know it.
    own: Option<PathBuf>,
    /// The names and addresses that it is for.
    names: Vec<String>,
}

/// None: the default port is another process's, as where several members of a fleet share a machine.
pub(super) async fn listen(
    loaded: &Loaded,
    house: &House,
    connections: &Arc<Registry>,
) -> Result<Option<Secure>> {
    let config = &loaded.config;
    let address = config.https.listen;
    let listener = match Listener::bind(address, connections).await {
        Ok(listener) => listener,
        Err(error) if loaded.is_default("https.listen") => {
            tracing::warn!(%address, %error, "no HTTPS listener: set https.listen to a free port");
            return Ok(None);
        }
        Err(error) => {
            return Err(error)
                .with_context(|| format!("the HTTPS listener can't have {address} (https.listen)"));
        }
    };
    let (files, own) = if let (Some(cert), Some(key)) = (&config.https.cert_file, &config.https.key_file) {
        (Files { cert: cert.clone(), key: key.clone() }, None)
    } else {
        let files = Files::own(config, &house.data_dir)?;
        let cert = files.cert.clone();
        (files, Some(cert))
    };
    let config = RustlsConfig::from_config(Arc::new(files.server_config()?));
    if let Some(expiry) = files.expiry() {
        house.metrics.certificate_expires(expiry);
    }
    Ok(Some(Secure { address: listener.local_addr()?, listener, config, own, names: files.names() }))
}

impl Secure {
    /// `https://host:port`.
    pub(super) fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// The names and addresses in its certificate.
    pub(super) fn names(&self) -> Vec<String> {
        self.names.clone()
    }

    /// Says where it listens.
    pub(super) fn tell(&self) {
        let url = format!("{}/sharing/rest", self.url());
        match &self.own {
            None => eprintln!("Isochrone answers HTTPS at {url}"),
            Some(cert) => eprintln!(
                "Isochrone answers HTTPS at {url} (its certificate signs itself: {})",
                cert.display()
            ),
        }
    }

    pub(super) async fn serve(self, router: Router, stopped: CancellationToken) {
        self.listener.serve(Some(self.config), router.layer(Extension(OverTls)), stopped).await;
    }
}

/// A certificate and its key, as PEM files.
struct Files {
    cert: PathBuf,
    key: PathBuf,
}

impl Files {
    /// Those in the data directory; made if they are missing.
    fn own(config: &Config, data_dir: &Path) -> Result<Files> {
        let dir = data_dir.join("tls");
        make_private_dir(&dir)?;
        let files = Files { cert: dir.join("cert.pem"), key: dir.join("key.pem") };
        if !(files.cert.is_file() && files.key.is_file()) {
            files.make(names(config)).context("a certificate of its own")?;
        }
        Ok(files)
    }

    fn make(&self, names: Vec<String>) -> Result<()> {
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "Isochrone");
        let key = KeyPair::generate()?;
        let cert = params.self_signed(&key)?;
        // The certificate comes last: with it all is there.
        write_private(&self.key, &key.serialize_pem())?;
        write_private(&self.cert, &cert.pem())?;
        Ok(())
    }

    /// When the server's own certificate ends, in seconds since 1970 UTC.
    fn expiry(&self) -> Option<i64> {
        let chain = CertificateDer::from_pem_file(&self.cert).ok()?;
        let (_, certificate) = x509_parser::parse_x509_certificate(&chain).ok()?;
        Some(certificate.validity().not_after.timestamp())
    }

    /// The names and addresses that the server's own certificate is for.
    fn names(&self) -> Vec<String> {
        let chain = CertificateDer::from_pem_file(&self.cert).ok();
        let names = chain.as_ref().and_then(|chain| {
            let (_, certificate) = x509_parser::parse_x509_certificate(chain).ok()?;
            let names = certificate.subject_alternative_name().ok()??;
            Some(names.value.general_names.iter().filter_map(name_of).collect())
        });
        names.unwrap_or_default()
    }

    fn server_config(&self) -> Result<ServerConfig> {
        let cert = || format!("the certificate {} can't be used (https.cert_file)", self.cert.display());
        let key = || format!("the key {} can't be used (https.key_file)", self.key.display());
        let chain = CertificateDer::pem_file_iter(&self.cert).with_context(cert)?;
        let chain = chain.collect::<Result<Vec<_>, _>>().with_context(cert)?;
        let private = PrivateKeyDer::from_pem_file(&self.key).with_context(key)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let mut config =
            builder.with_no_client_auth().with_single_cert(chain, private).with_context(|| {
                format!("{} and {} are no certificate and its key", self.cert.display(), self.key.display())
            })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// Writes a file that its owner alone may ever read; one that is there is replaced, with its rights.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

fn name_of(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => Some(IpAddr::from(<[u8; 4]>::try_from(*bytes).ok()?).to_string()),
            _ => Some(IpAddr::from(<[u8; 16]>::try_from(*bytes).ok()?).to_string()),
        },
        _ => None,
    }
}

/// What clients may call this server.
fn names(config: &Config) -> Vec<String> {
    let mut names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    let public = config.http.public_url.as_deref().and_then(|url| url.split_once("://"));
    let public = public.map(|(_, rest)| rest.split(['/', ':']).next().unwrap_or_default().to_owned());
    let listen = config.https.listen.ip();
    let listen = (!listen.is_unspecified()).then(|| listen.to_string());
    for name in [Some(presence::host()), public, listen].into_iter().flatten() {
        if !name.is_empty() && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}
