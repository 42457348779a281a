//! A simulated ArcGIS portal on a free port: users, tokens, items, scheduled tasks, and faults on demand.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::{Request, State as Shared};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::faults::{self, Fault, Planned};
use super::state::{Item, State, User, now};
use super::{answers, asked};

/// A simulated portal. Dropped, it is gone.
pub struct SimulatedPortal {
    address: SocketAddr,
    pub(super) state: Arc<Mutex<State>>,
    serving: Option<JoinHandle<()>>,
}

impl SimulatedPortal {
    /// A portal with the administrator `siteadmin`, whose password is `site-password`.
    pub async fn start() -> Result<SimulatedPortal> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = Arc::default();
        let mut portal = SimulatedPortal { address, state, serving: None };
        portal.serve(listener);
        portal.add_user("siteadmin", "org_admin", "site-password");
        Ok(portal)
    }

    fn serve(&mut self, listener: TcpListener) {
        let router = Router::new().fallback(handle).with_state(Arc::clone(&self.state));
        self.serving = Some(tokio::spawn(async move {
            // It ends by being aborted.
            drop(axum::serve(listener, router).await);
        }));
    }

    /// Its address, with a context as real portals have one.
    pub fn url(&self) -> String {
        format!("http://{}/portal", self.address)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Nobody answers there any more.
    pub async fn stop(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
            drop(serving.await);
        }
    }

    /// Answers again at the same address, with all that it knew.
    pub async fn restart(&mut self) -> Result<()> {
        self.stop().await;
        self.serve(TcpListener::bind(self.address).await.context("the portal's port")?);
        Ok(())
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
        self.state().users.insert(name.to_owned(), user);
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
        if let Some(user) = self.state().users.get_mut(name) {
            change(user);
        }
    }

    /// The user is gone, and so is what their tokens are worth.
    pub fn remove_user(&self, name: &str) {
        self.state().users.remove(name);
    }

    /// A token for a user, good for an hour, bound to a site if one is given.
    pub fn token(&self, user: &str, referer: Option<&str>) -> String {
        self.state().issue(user, referer, Duration::from_hours(1)).0
    }

    /// How long tokens live from now on, whatever is asked for.
    pub fn set_token_life(&self, life: Duration) {
        self.state().token_life = Some(life);
    }

    /// Makes every token void, as a portal does whose shared key is changed.
    pub fn rotate_tokens(&self) {
        self.state().tokens.clear();
    }

    /// An item. `access`: private, shared (with groups), org or public.
    pub fn add_item(&self, id: &str, owner: &str, access: &str, groups: &[&str], data: &[u8]) {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        let item = Item { owner: owner.to_owned(), access: access.to_owned(), groups, data: data.to_vec() };
        self.state().items.insert(id.to_owned(), item);
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
        self.state().tasks.push(task);
    }

    /// Its tasks, in the order of their creation.
    pub fn tasks(&self) -> Vec<Value> {
        self.state().tasks.clone()
    }

    /// Answers requests wrongly whose paths have `path` in them: `times` of them, after `after` good ones.
    pub fn plan_fault(&self, path: &str, after: usize, times: usize, fault: Fault) {
        self.state().faults.push(Planned { path: path.to_owned(), after, times, fault });
    }

    /// Answers rightly from now on.
    pub fn heal(&self) {
        self.state().faults.clear();
    }

    /// How many requests came whose paths have this in them.
    pub fn asked(&self, path: &str) -> usize {
        self.state().asked.iter().filter(|asked| asked.contains(path)).count()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for SimulatedPortal {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

async fn handle(Shared(state): Shared<Arc<Mutex<State>>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let fault = {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.asked.push(path.clone());
        faults::strike(&mut state.faults, &path)
    };
    let right = async {
        match asked::read(request, "/portal/sharing/rest").await {
            Some(asked) => answers::answer(&mut state.lock().unwrap_or_else(PoisonError::into_inner), &asked),
            None => axum::http::StatusCode::NOT_FOUND.into_response(),
        }
    };
    faults::answer(fault, &path, right).await
}
