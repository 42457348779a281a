//! A simulated ArcGIS portal on a free port: users, tokens, items, scheduled tasks, and faults on demand.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::io;

use super::listening::{Listening, lock, meets_faults};
use super::state::{Item, State, User, now};
use super::{answers, asked};

/// A simulated portal. Dropped, it is gone.
pub struct SimulatedPortal(pub(super) Listening<State>);

meets_faults!(SimulatedPortal);

impl SimulatedPortal {
    /// Its administrator.
    pub const ADMIN: &str = "siteadmin";
    /// The administrator's password.
    pub const PASSWORD: &str = "site-password";

    /// A portal with an administrator.
    pub async fn start() -> io::Result<SimulatedPortal> {
        let portal = SimulatedPortal(Listening::start(handle).await?);
        portal.add_user(Self::ADMIN, "org_admin", Self::PASSWORD);
        Ok(portal)
    }

    /// Its address, with a context as real portals have one.
    pub fn url(&self) -> String {
        format!("http://{}/portal", self.0.address)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.0.address.port()
    }

    /// Nobody answers there any more.
    pub async fn stop(&mut self) {
        self.0.stop().await;
    }

    /// Answers again at the same address, with all that it knew.
    pub async fn restart(&mut self) -> io::Result<()> {
        self.0.restart().await
    }

    /// A user. `role`: org_admin, org_publisher, org_user, or an id of the organization's own.
    pub fn add_user(&self, name: &str, role: &str, password: &str) {
        let privileges: &[&str] = match role {
            "org_admin" => &["portal:admin:viewUsers", "premium:publisher:createNotebooks"],
            "org_publisher" => &["portal:user:createItem", "premium:publisher:createNotebooks"],
            _ => &["portal:user:viewOrgItems"],
        };
        let privileges = privileges.iter().map(|privilege| (*privilege).to_owned()).collect();
        let user =
            User { password: password.to_owned(), role: role.to_owned(), privileges, groups: Vec::new() };
        self.0.state().users.insert(name.to_owned(), user);
    }

    /// An app with client credentials; its tokens are those of a user with its id.
    pub fn add_app(&self, client_id: &str, client_secret: &str) {
        self.add_user(client_id, "org_user", "");
        self.0.state().apps.insert(client_id.to_owned(), client_secret.to_owned());
    }

    /// What it says its address is from now on, whatever it is asked at.
    pub fn set_own_url(&self, url: &str) {
        self.0.state().url = Some(url.to_owned());
    }

    /// How many tokens it made for servers, in exchange for its own.
    pub fn exchanges(&self) -> usize {
        self.0.state().exchanges
    }

    /// What a user may do, as a role of the organization's own gives it.
    pub fn set_privileges(&self, name: &str, role: &str, privileges: &[&str]) {
        self.change_user(name, |user| {
            role.clone_into(&mut user.role);
            user.privileges = privileges.iter().map(|privilege| (*privilege).to_owned()).collect();
        });
    }

    /// Puts a user into a group.
    pub fn join(&self, name: &str, group: &str) {
        self.change_user(name, |user| user.groups.push(group.to_owned()));
    }

    fn change_user(&self, name: &str, change: impl FnOnce(&mut User)) {
        if let Some(user) = self.0.state().users.get_mut(name) {
            change(user);
        }
    }

    /// The user is gone, and so is what their tokens are worth.
    pub fn remove_user(&self, name: &str) {
        self.0.state().users.remove(name);
    }

    /// A token for a user, good for an hour, bound to a site if one is given.
    pub fn token(&self, user: &str, referer: Option<&str>) -> String {
        self.0.state().issue(user, referer, Duration::from_hours(1)).0
    }

    /// How long tokens live from now on, whatever is asked for.
    pub fn set_token_life(&self, life: Duration) {
        self.0.state().token_life = Some(life);
    }

    /// Makes every token void, as a portal does whose shared key is changed.
    pub fn rotate_tokens(&self) {
        self.0.state().tokens.clear();
    }

    /// An item. `access`: private, shared (with groups), org or public.
    pub fn add_item(&self, id: &str, owner: &str, access: &str, groups: &[&str], data: &[u8]) {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        let item = Item { owner: owner.to_owned(), access: access.to_owned(), groups, data: data.to_vec() };
        self.0.state().items.insert(id.to_owned(), item);
    }

    /// An item's bytes, if there is such an item.
    pub fn item_data(&self, id: &str) -> Option<Vec<u8>> {
        self.0.state().items.get(id).map(|item| item.data.clone())
    }

    /// The item is gone.
    pub fn remove_item(&self, id: &str) {
        self.0.state().items.remove(id);
    }

    /// The titles of the reports that were begun, each with whether it was removed.
    pub fn report_titles(&self) -> Vec<(String, bool)> {
        let state = self.0.state();
        let removed = |report: &super::reports::Report| !state.items.contains_key(&report.item);
        state.reports.iter().map(|report| (report.title.clone(), removed(report))).collect()
    }

    /// How many reports were begun.
    pub fn reports(&self) -> usize {
        self.0.state().reports.len()
    }

    /// A task of `owner` with this id, as ArcGIS shows it; `change` makes another one of it.
    pub fn add_task(&self, id: &str, owner: &str, change: impl FnOnce(&mut Value)) {
        let mut task = json!({
            "id": id, "itemId": "029b61ca770e428d9468a2a55f40b9fb", "type": "ExecuteNotebook", "title": "",
            "maxOccurrences": -1, "parameters": {}, "userId": owner, "taskUrl": null,
            "cronSchedule": {"minute": "0", "hour": "3", "dayOfMonth": "*", "month": "*", "dayOfWeek": "?"},
            "nextStart": now() + 3_600_000, "runIntervalSeconds": 86_400, "active": true, "taskState": "active",
            "created": 1_600_000_000_000_i64, "updated": 1_600_000_000_000_i64,
        });
        change(&mut task);
        self.0.state().tasks.push(task);
    }

    /// Its tasks, in the order of their creation.
    pub fn tasks(&self) -> Vec<Value> {
        self.0.state().tasks.clone()
    }
}

async fn handle(state: Arc<Mutex<State>>, request: Request) -> Response {
    match asked::read(request, "/portal/sharing/rest").await {
        Some(asked) => answers::answer(&mut lock(&state), &asked),
        None => axum::http::StatusCode::NOT_FOUND.into_response(),
    }
}
