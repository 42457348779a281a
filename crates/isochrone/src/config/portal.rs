//! The section of the ArcGIS portal that Isochrone stands in front of.

use std::path::PathBuf;

use anyhow::{Result, bail};
use isochrone_arcgis::{Connection, Credentials};
use serde::{Deserialize, Serialize};

use super::{Secret, trust};

/// The ArcGIS portal that Isochrone stands in front of: its users, tokens and items are that portal's then.
/// Without a URL they are Isochrone's own. Workers sign in there in one of three ways.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RealPortal {
    /// `https://host[:port][/context]`
    pub(crate) url: Option<String>,
    /// The authorities that TLS trusts (PEM) beside the system's.
    pub(crate) ca_file: Option<PathBuf>,
    /// Believe any certificate: whoever sits on the way reads every password.
    pub(crate) insecure_tls: bool,
    /// The administrator as whom workers read items, for whoever owns the task and may read them.
    pub(crate) user: Option<String>,
    pub(crate) password: Option<Secret>,
    /// An app, in place of a user: OAuth's client credentials.
    pub(crate) client_id: Option<String>,
    pub(crate) client_secret: Option<Secret>,
    /// An API key, in place of both; a fixed token, too. It is not renewed.
    pub(crate) api_key: Option<Secret>,
    /// How long the portal's word on a token is believed, in seconds.
    pub(crate) cache_seconds: u64,
}

impl RealPortal {
    /// How to reach it.
    pub(crate) fn connection(&self) -> Option<Connection> {
        Some(Connection {
            url: self.url.clone()?,
            trust: trust(self.ca_file.clone(), self.insecure_tls),
            timeout: None,
        })
    }

    /// With what workers sign in.
    pub(super) fn credentials(&self) -> Result<Credentials> {
        let RealPortal { user, password, client_id, client_secret, api_key, .. } = self;
        let secret = |secret: &Secret| secret.reveal().to_owned();
        Ok(match (user, password, client_id, client_secret, api_key) {
            (Some(user), Some(password), None, None, None) => {
                Credentials::Password { username: user.clone(), password: secret(password) }
            }
            (None, None, Some(id), Some(own), None) => {
                Credentials::Application { client_id: id.clone(), client_secret: secret(own) }
            }
            (None, None, None, None, Some(key)) => Credentials::Token(secret(key)),
            _ => bail!(
                "portal.url is set; it needs one of: portal.user and portal.password \
                 (ISOCHRONE_PORTAL_PASSWORD), an administrator of that portal, as whom workers read items; \
                 portal.client_id and portal.client_secret (ISOCHRONE_PORTAL_CLIENT_SECRET); portal.api_key \
                 (ISOCHRONE_PORTAL_API_KEY). {}",
                self.found()
            ),
        })
    }

    fn found(&self) -> String {
        let keys = [
            ("portal.user", self.user.is_some()),
            ("portal.password", self.password.is_some()),
            ("portal.client_id", self.client_id.is_some()),
            ("portal.client_secret", self.client_secret.is_some()),
            ("portal.api_key", self.api_key.is_some()),
        ];
        let set: Vec<&str> = keys.into_iter().filter(|(_, set)| *set).map(|(key, _)| key).collect();
        if set.is_empty() { "None of them is set".to_owned() } else { format!("Set: {}", set.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn workers_sign_in_in_exactly_one_way() {
        let given = |keys: &str| {
            let has = |key: &str| keys.split(' ').any(|one| one == key);
            let text = |key: &str| has(key).then(|| format!("{key}-text"));
            let secret = |key: &str| {
                has(key).then(|| serde_json::from_value("s3cret".into()).expect("a text is a secret"))
            };
            RealPortal {
                user: text("user"),
                password: secret("password"),
                client_id: text("client_id"),
                client_secret: secret("client_secret"),
                api_key: secret("api_key"),
                ..Config::default().portal
            }
            .credentials()
        };
        for good in ["user password", "client_id client_secret", "api_key"] {
            assert!(given(good).is_ok(), "{good}");
        }
        for wrong in [
            "",
            "user",
            "password",
            "client_id",
            "client_secret",
            "user client_secret",
            "user password api_key",
            "user password client_id",
            "client_id client_secret api_key",
        ] {
            let error = given(wrong).expect_err(wrong).to_string();
            for key in wrong.split(' ') {
                assert!(error.rsplit(". ").next().is_some_and(|set| set.contains(key)), "{wrong}: {error}");
            }
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}
