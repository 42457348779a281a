//! HTTPS with the operator's certificate: by which names the portal calls itself, and what it promises to browsers.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};
use isochrone_testkit::{Server, ServerOptions};
use rcgen::{CertificateParams, KeyPair};
use reqwest::Response;

const BINARY: &str = env!("CARGO_BIN_EXE_isochrone");
const NAME: &str = "gis.example.com";
const INFO: &str = "/portal/sharing/rest/info?f=json";

struct Portal {
    server: Server,
    address: SocketAddr,
    client: reqwest::Client,
}

/// A server whose certificate is for `NAME`, and a client that finds it under that name and others.
async fn portal(dir: &Path, public_url: Option<&str>) -> Result<Portal> {
    let key = KeyPair::generate()?;
    let cert =
        CertificateParams::new(vec![NAME.to_owned(), "*.apps.example.com".to_owned()])?.self_signed(&key)?;
    let (cert_file, key_file) = (dir.join("cert.pem"), dir.join("key.pem"));
    std::fs::write(&cert_file, cert.pem())?;
    std::fs::write(&key_file, key.serialize_pem())?;
    let mut options = ServerOptions::new(BINARY, dir.join("data"))
        .env("ISOCHRONE__HTTPS__CERT_FILE", cert_file.display())
        .env("ISOCHRONE__HTTPS__KEY_FILE", key_file.display());
    if let Some(url) = public_url {
        options = options.env("ISOCHRONE__HTTP__PUBLIC_URL", url);
    }
    let server = Server::start(&options).await?;
    let address: SocketAddr = server.https_url.trim_start_matches("https://").parse()?;
    let mut client = reqwest::Client::builder().tls_danger_accept_invalid_certs(true);
    for name in [NAME, "a.apps.example.com", "evil.example.com"] {
        client = client.resolve(name, address);
    }
    Ok(Portal { server, address, client: client.build()? })
}

impl Portal {
    async fn info(&self, origin: &str) -> Result<(Option<String>, String)> {
        let answer: Response = self.client.get(format!("{origin}{INFO}")).send().await?;
        let told = answer.headers().get("strict-transport-security");
        let told = told.map(|value| value.to_str().map(str::to_owned)).transpose()?;
        Ok((told, answer.text().await?))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn links_have_the_certificates_names_and_no_others() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let portal = portal(dir.path(), None).await?;
    let port = portal.address.port();
    for name in [NAME, "a.apps.example.com", "127.0.0.1", "localhost"] {
        let (_, info) = portal.info(&format!("https://{name}:{port}")).await?;
        assert!(info.contains(&format!("https://{name}:{port}/portal")), "{name}: {info}");
    }
    let (told, info) = portal.info(&format!("https://evil.example.com:{port}")).await?;
    assert!(!info.contains("evil"), "{info}");
    assert_eq!(told, None, "without a public URL nothing is promised");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn https_alone_is_promised_where_it_is_meant() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let portal = portal(dir.path(), Some("https://gis.example.com/portal")).await?;
    let port = portal.address.port();
    let (told, info) = portal.info(&format!("https://{NAME}:{port}")).await?;
    assert_eq!(told.as_deref(), Some("max-age=31536000"), "{info}");
    for elsewhere in [format!("https://127.0.0.1:{port}"), portal.server.url.clone()] {
        assert_eq!(portal.info(&elsewhere).await?.0, None, "{elsewhere}");
    }
    drop(portal);
    let dir = tempfile::tempdir()?;
    let other = self::portal(dir.path(), Some("https://gis.example.com:7443/portal")).await?;
    let (told, _) = other.info(&format!("https://{NAME}:{}", other.address.port())).await?;
    assert_eq!(told, None, "HSTS would bind the standard port, too");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_its_own_promises_nothing() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let options = ServerOptions::new(BINARY, dir.path().join("data"))
        .env("ISOCHRONE__HTTP__PUBLIC_URL", "https://gis.example.com/portal");
    let server = Server::start(&options).await?;
    let address: SocketAddr =
        server.https_url.trim_start_matches("https://").parse().context("an address")?;
    let client =
        reqwest::Client::builder().tls_danger_accept_invalid_certs(true).resolve(NAME, address).build()?;
    let answer = client.get(format!("https://{NAME}:{}{INFO}", address.port())).send().await?;
    assert!(answer.headers().get("strict-transport-security").is_none());
    Ok(())
}
