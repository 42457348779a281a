//! The server's side of ArcGIS's sharing REST API: sign-in, tasks, runs.
//!
//! [`router`] answers under `/sharing/rest` and under one configurable context (`/portal/sharing/rest`).
//! The way of a request: `serve` reads it into a `request::Call`, `routes` finds its handler, the handler
//! gives an `answer::Answer` or an `answer::Failure`, and `answer` writes either as json, pjson or html.
//!
//! Beside ArcGIS's parameters, createTask and update take Isochrone's own ones, all optional:
//!
//! | parameter | values | default |
//! |---|---|---|
//! | `misfirePolicy` | `runLatest`, `runAll` or `runAll:<most runs>`, `skip` or `skip:<grace seconds>` | `runLatest` |
//! | `overlapPolicy` | `skip`, `queue`, `allow` | `skip` |
//! | `maxRetries` | 0 to 100 | 0 |
//! | `retryBackoffSeconds` | 0 to 3600 | 0 |
//! | `timeoutSeconds` | 1 to 2592000, or -1 for the executor's own | -1 |
//! | `crashPolicy` | `atLeastOnce`, `atMostOnce` | `atLeastOnce` |
//! | `itemChanges` | `pinned`, `follow` | `pinned` |
//! | `allowUnknownParameters` | `true`, `false` | `false` |
//! | `maxConsecutiveFailures` | 1 to 1000000, or -1 for "never disable" | the operator's, 5 |

mod answer;
mod budget;
pub mod client_address;
pub mod cors;
mod counted;
pub mod front;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod identity;
mod items;
pub mod keys;
mod lasting_access;
mod native;
mod openapi;
mod operations;
pub mod passwords;
mod places;
mod request;
mod routes;
pub mod run_token;
mod serve;
mod signin;
mod tasks;
pub mod transport_security;

pub use items::quota::{ItemQuota, ItemQuotas};
pub use items::uploads::sweep_uploads;
pub use tasks::transfer;

use std::sync::Arc;

use axum::Router;
use client_address::TrustedProxies;
use isochrone_domain::Policies;
use isochrone_scheduler::Submissions;
use isochrone_store::Store;
use isochrone_telemetry::Metrics;
use object_store::ObjectStore;

/// What the portal needs of the house.
pub struct Portal {
    /// Accounts, items, logs.
    pub store: Arc<dyn Store>,
    /// Everything that reads or changes tasks and runs.
    pub submissions: Arc<Submissions>,
    /// Where runs left their artifacts.
    pub artifacts: Arc<dyn ObjectStore>,
    /// The real portal that this one stands in front of, if there is one.
    pub front: Option<front::Front>,
    /// The operator's choices.
    pub config: Config,
    /// Where requests are counted.
    pub metrics: Metrics,
    /// What hashes passwords in this process.
    pub passwords: Arc<passwords::Hasher>,
}

/// The operator's choices for the portal.
#[derive(Clone, Debug)]
pub struct Config {
    /// The path segment under which the API answers too; ArcGIS's web adaptor calls it `portal`.
    pub context: String,
    /// How clients reach the portal, as `https://host[:port][/context]`. None: as each request says, where that is
    /// this machine to itself or one of `names`, and else as `own_url`.
    pub public_url: Option<String>,
    /// The names and addresses in the portal's certificate.
    pub names: Vec<String>,
    /// How the portal calls itself where a request's `Host` is not its own.
    pub own_url: String,
    /// Whether browsers are told to use HTTPS only (RFC 6797), at the host of `public_url`.
    pub strict_transport: bool,
    /// The portal's name, for people.
    pub name: String,
    /// Where OAuth may send tokens, beside this machine and the portal itself.
    pub redirect_uris: Vec<String>,
    /// The sites whose pages may ask the portal from a browser.
    pub allowed_origins: Vec<cors::AllowedOrigin>,
    /// The reverse proxies whose word on the client's address counts.
    pub trusted_proxies: TrustedProxies,
    /// OAuth clients that may ask for a code without PKCE.
    pub without_pkce: Vec<String>,
    /// Of a task whose creator says nothing of its own.
    pub policies: Policies,
    /// How many items there may be, and how large.
    pub item_quotas: ItemQuotas,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            context: "portal".to_owned(),
            public_url: None,
            names: Vec::new(),
            own_url: "http://localhost".to_owned(),
            strict_transport: false,
            name: "Isochrone".to_owned(),
            allowed_origins: vec![cors::AllowedOrigin::Any],
            redirect_uris: Vec::new(),
            trusted_proxies: TrustedProxies::none(),
            without_pkce: Vec::new(),
            policies: Policies::default(),
            item_quotas: ItemQuotas::default(),
        }
    }
}

/// A request extension that says that the request came over TLS: the URLs in its answer are `https` then.
#[derive(Clone, Copy, Debug)]
pub struct OverTls;

/// The whole portal. Serve it with `into_make_service_with_connect_info::<SocketAddr>()`, so that tokens
/// can be bound to addresses.
pub fn router(portal: Portal) -> Router {
    let context = portal.config.context.trim_matches('/').to_owned();
    let (native, _) = native::routes();
    let described = openapi::routes();
    let mut router = Router::new().nest(native::ROOT, native.clone()).merge(described.clone());
    if !context.is_empty() {
        router = router.nest(&format!("/{context}{}", native::ROOT), native);
        router = router.nest(&format!("/{context}"), described);
    }
    let proxies = portal.config.trusted_proxies.clone();
    let identified = axum::middleware::from_fn_with_state(proxies, client_address::identify);
    let allowed = portal.config.allowed_origins.clone().into();
    let cors = cors::Cors { allowed, in_front: portal.front.is_some() };
    let shared = axum::middleware::from_fn_with_state(cors, cors::allow);
    let served = Arc::new(serve::Served::new(portal));
    let counted = axum::middleware::from_fn_with_state(Arc::clone(&served), counted::count);
    let secured = axum::middleware::from_fn_with_state(Arc::clone(&served), transport_security::add_headers);
    router
        .fallback(serve::handle)
        .layer(counted)
        .layer(identified)
        .layer(shared)
        .layer(secured)
        .with_state(served)
}
