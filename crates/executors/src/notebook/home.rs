//! Where `GIS("home")` leads in a notebook: to the portal, as the task's owner, for as long as the run takes.

use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use isochrone_domain::{EpochMillis, RunId};
use serde::Serialize;

/// Says where a run's `GIS("home")` leads.
#[async_trait]
pub trait Homes: Send + Sync {
    /// For a run of this owner's that takes no longer than `length`. None: it leads nowhere. The error is for people.
    async fn open(&self, owner: &str, run: RunId, length: Duration) -> Result<Option<Home>, String>;

    /// The run is over, and its token is good for nothing more.
    async fn close(&self, owner: &str, home: &Home);
}

/// A portal and a token for it.
#[derive(Clone, PartialEq, Eq)]
pub struct Home {
    /// `https://host[:port][/context]`.
    pub portal_url: String,
    /// The owner's.
    pub token: String,
    /// When the token ends at the latest.
    pub expires: EpochMillis,
}

impl std::fmt::Debug for Home {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Home").field("portal_url", &self.portal_url).finish_non_exhaustive()
    }
}

/// What the ArcGIS API for Python reads where `NB_AUTH_FILE` says.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AuthFile<'a> {
    private_portal_url: &'a str,
    public_portal_url: &'a str,
    referer: &'a str,
    token: &'a str,
    expiration: i64,
}

impl Home {
    /// Writes the file that leads there; only its owner may read it.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let Home { portal_url, token, expires } = self;
        let file = AuthFile {
            private_portal_url: portal_url,
            public_portal_url: portal_url,
            // It must be there, and nobody sends it.
            referer: portal_url,
            token,
            expiration: expires.0,
        };
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true).mode(0o600).open(path)?.write_all(&serde_json::to_vec(&file)?)
    }
}
