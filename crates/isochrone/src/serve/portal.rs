//! The portal's listener, and the first user.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use isochrone_domain::{Action, Role};
use isochrone_portal::front::Front;
use isochrone_portal::transport_security;
use isochrone_telemetry::Metrics;

use super::connections::{ConnectionLimits, Listener, Registry};
use crate::commands::user;
use crate::config::Config;
use crate::wiring::{self, House};

/// The room that HTTP and HTTPS share.
pub(super) fn connections(config: &Config, open_files: u64, metrics: &Metrics) -> Arc<Registry> {
    let http = &config.http;
    let limits = ConnectionLimits::portal(open_files, http.max_connections, http.max_connections_per_address);
    Registry::new(limits, config.trusted_proxies(), metrics.clone())
}

pub(super) async fn listen(config: &Config, connections: &Arc<Registry>) -> Result<Listener> {
    Listener::bind(config.http.listen, connections)
        .await
        .with_context(|| format!("the HTTP listener can't have {} (http.listen)", config.http.listen))
}

/// `names`: those in the portal's certificate.
pub(super) fn router(house: &House, config: &Config, names: Vec<String>) -> Result<axum::Router> {
    let believed = Duration::from_secs(config.portal.cache_seconds);
    let front = config.portal.connection().map(|connection| Front::new(&connection, believed));
    Ok(isochrone_portal::router(isochrone_portal::Portal {
        store: Arc::clone(&house.store),
        submissions: Arc::clone(&house.submissions),
        artifacts: Arc::clone(&house.artifacts),
        config: isochrone_portal::Config {
            context: config.http.context.clone(),
            public_url: config.http.public_url.clone(),
            names,
            own_url: house.portal_url.get().cloned().unwrap_or_default(),
            strict_transport: config.https.cert_file.is_some()
                && config.http.public_url.as_deref().is_some_and(transport_security::suits),
            redirect_uris: config.http.redirect_uris.clone(),
            allowed_origins: config.http.allowed_origins.clone(),
            trusted_proxies: config.trusted_proxies(),
            without_pkce: config.oauth.without_pkce.clone(),
            policies: config.policies(),
            item_quotas: config.item_quotas(),
            ..isochrone_portal::Config::default()
        },
        metrics: house.metrics.clone(),
        passwords: Arc::clone(&house.passwords),
        front: front.transpose().context("[portal]")?,
    }))
}

/// `admin`, on the first start; a portal that this one stands in front of has its own.
pub(super) async fn first_user(house: &House, config: &Config) -> Result<()> {
    if config.portal.url.is_some() {
        return Ok(());
    }
    if house.store.user("admin").await?.is_some() {
        return Ok(());
    }
    let (password, made_up) = match &config.admin_password {
        Some(password) => (password.reveal().to_owned(), false),
        None => (random_password(), true),
    };
    let user = user::new_user(house, "admin", Role::Admin, &password).await;
    let user = user.context("admin_password (ISOCHRONE_ADMIN_PASSWORD)")?;
    let audit = wiring::audit(Action::SetUser, user.created, &user.name, &user.name);
    // Another portal that starts at the same moment may have made the user.
    if house.store.add_user(&user, audit).await? && made_up {
        eprintln!("First start: user 'admin' has the password {password} (shown this once)");
    }
    Ok(())
}

/// 96 bits, easy to type.
fn random_password() -> String {
    let id = isochrone_domain::RunId::random().to_string();
    format!("{}-{}-{}", &id[..8], &id[8..16], &id[16..24])
}
