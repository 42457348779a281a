//! What a simulated portal knows.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) users: BTreeMap<String, User>,
    /// OAuth's apps, by their client ids, with their secrets.
    pub(super) apps: BTreeMap<String, String>,
    /// The roots of the servers that are federated with it.
    pub(super) servers: BTreeSet<String>,
    /// Tokens that were made for them.
    pub(super) exchanges: usize,
    pub(super) tokens: BTreeMap<String, Token>,
    pub(super) items: BTreeMap<String, Item>,
    /// In the order of their creation.
    pub(super) tasks: Vec<Value>,
    /// Removed ones, too.
    pub(super) reports: Vec<super::reports::Report>,
    /// How long tokens live, whatever is asked for.
    pub(super) token_life: Option<Duration>,
    tokens_made: u64,
    /// What it says its own address is; none: the one it is asked at.
    pub(super) url: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) struct User {
    pub(super) password: String,
    pub(super) role: String,
    pub(super) privileges: Vec<String>,
    pub(super) groups: Vec<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) user: String,
    pub(super) referer: Option<String>,
    /// The root of the server that it is for; none: the portal, and servers that take the portal's.
    pub(super) server: Option<String>,
    /// Epoch ms.
    pub(super) expires: i64,
}

#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) owner: String,
    pub(super) access: String,
    pub(super) groups: Vec<String>,
    pub(super) data: Vec<u8>,
}

/// Epoch ms.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

impl State {
    /// A token for the user, good where `referer` says.
    pub(super) fn issue(&mut self, user: &str, referer: Option<&str>, life: Duration) -> (String, i64) {
        self.tokens_made += 1;
        let token = format!("simulated-{}-{user}", self.tokens_made);
        let life = self.token_life.unwrap_or(life);
        let expires = now() + i64::try_from(life.as_millis()).unwrap_or(i64::MAX / 2);
        let referer = referer.map(str::to_owned);
        self.tokens.insert(token.clone(), Token { user: user.to_owned(), referer, server: None, expires });
        (token, expires)
    }

    /// A token for a server alone.
    pub(super) fn issue_for(&mut self, server: &str, user: &str, life: Duration) -> (String, i64) {
        let (token, expires) = self.issue(user, None, life);
        self.tokens.entry(token.clone()).and_modify(|made| made.server = Some(server.to_owned()));
        self.exchanges += 1;
        (token, expires)
    }

    /// Whose token it is, if it is good at `place`: the portal, or the server with this root.
    pub(super) fn bearer(
        &self,
        token: &str,
        referer: Option<&str>,
        place: Option<&str>,
    ) -> Option<(String, User)> {
        let known = self.tokens.get(token).filter(|known| known.expires > now())?;
        if known.server.as_deref() != place {
            return None;
        }
        let bound = known.referer.as_deref();
        if bound.is_some_and(|bound| referer.is_none_or(|referer| !referer.starts_with(bound))) {
            return None;
        }
        Some((known.user.clone(), self.users.get(&known.user)?.clone()))
    }

    /// The organization's resource, as a user sees it.
    pub(super) fn portal_document(&self, name: &str) -> Value {
        json!({
            "id": "0123456789ABCDEF", "name": "Simulated", "isPortal": true, "portalMode": "singletenant",
            "currentVersion": "2023.2", "enterpriseVersion": "11.3.0", "supportsOAuth": true, "allSSL": false,
            "access": "private", "authorizedCrossOriginDomains": [], "helperServices": {},
            "user": self.user_document(name),
        })
    }

    /// The user's resource.
    pub(super) fn user_document(&self, name: &str) -> Option<Value> {
        let user = self.users.get(name)?;
        let groups: Vec<Value> = user.groups.iter().map(|id| json!({"id": id, "title": id})).collect();
        Some(json!({
            "username": name, "id": format!("{name}-id"), "fullName": name, "email": format!("{name}@example.com"),
            "orgId": "0123456789ABCDEF", "role": user.role, "roleId": user.role, "privileges": user.privileges,
            "level": "2", "userType": "arcgisonly", "disabled": false, "created": 1_600_000_000_000_i64,
            "modified": 1_600_000_000_000_i64, "groups": groups, "provider": "arcgis",
        }))
    }
}

impl Item {
    /// Whether the user may read it.
    pub(super) fn readable_by(&self, name: &str, user: &User) -> bool {
        let shared = self.access == "shared" && self.groups.iter().any(|group| user.groups.contains(group));
        let open = matches!(self.access.as_str(), "org" | "public");
        open || shared || self.owner == name || user.role == "org_admin"
    }
}
