//! The simulated portal's answers, as ArcGIS Enterprise gives them.

use std::time::Duration;

use axum::Json;
use axum::response::{Html, IntoResponse, Response};
use serde_json::{Value, json};

use super::asked::Asked;
use super::reports;
use super::state::{State, User};

/// An error of ArcGIS: HTTP status 200.
pub(super) struct Refused(pub(super) i32, pub(super) &'static str);

const FORBIDDEN: Refused =
    Refused(403, "You do not have permissions to access this resource or perform this operation.");
const NO_ITEM: Refused = Refused(400, "Item does not exist or is inaccessible.");
const NO_USER: Refused = Refused(400, "User does not exist or is inaccessible.");
const NO_TASK: Refused = Refused(400, "Task does not exist or is inaccessible.");

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Refused(code, message) = self;
        Json(json!({"error": {"code": code, "message": message, "details": []}})).into_response()
    }
}

/// Answers as the portal does.
pub(super) fn answer(state: &mut State, asked: &Asked) -> Response {
    if asked.parameter("f").is_none_or(|format| format == "html") {
        return Html("<html><title>ArcGIS Portal Directory</title></html>").into_response();
    }
    let path: Vec<&str> = asked.path.iter().map(String::as_str).collect();
    let answered = match path[..] {
        ["info"] => Ok(info(state, asked)),
        ["generateToken"] if server_url(asked).is_some() => exchange(state, asked),
        ["generateToken"] => generate_token(state, asked),
        ["oauth2", "token"] => client_credentials(state, asked),
        ["content", "items", id, "data"] => match readable(state, asked, id) {
            Ok(item) => return item.data.into_response(),
            Err(refused) => Err(refused),
        },
        _ => signed_in(state, asked, &path),
    };
    match answered {
        Ok(document) => Json(document).into_response(),
        Err(refused) => refused.into_response(),
    }
}

fn generate_token(state: &mut State, asked: &Asked) -> Result<Value, Refused> {
    if !asked.post {
        return Err(Refused(405, "Method not allowed."));
    }
    let name = asked.parameter("username").unwrap_or_default().to_owned();
    let good = state.users.get(&name).is_some_and(|user| asked.parameter("password") == Some(&user.password));
    if !good {
        return Err(Refused(400, "Unable to generate token."));
    }
    let referer = match asked.parameter("client") {
        Some("referer") => Some(asked.parameter("referer").ok_or(Refused(400, "'referer' is required."))?),
        _ => None,
    };
    let minutes = asked.number("expiration").unwrap_or(60) as u64;
    let referer = referer.map(str::to_owned);
    let (token, expires) = state.issue(&name, referer.as_deref(), Duration::from_mins(minutes));
    Ok(json!({"token": token, "expires": expires, "ssl": true}))
}

fn info(state: &State, asked: &Asked) -> Value {
    let url = state.url.clone().unwrap_or_else(|| format!("http://{}/portal", asked.host));
    let service = format!("{url}/sharing/rest/generateToken");
    json!({
        "owningSystemUrl": url, "authInfo": {"isTokenBasedSecurity": true, "tokenServicesUrl": service},
    })
}

/// Clients differ in how they write it.
fn server_url(asked: &Asked) -> Option<&str> {
    asked.parameter("serverUrl").or_else(|| asked.parameter("serverURL"))
}

/// A token for a federated server.
fn exchange(state: &mut State, asked: &Asked) -> Result<Value, Refused> {
    let (user, _) = caller(state, asked)?;
    let server = server_url(asked).unwrap_or_default().to_owned();
    if !asked.post || !state.servers.contains(&server) {
        return Err(Refused(400, "Unable to generate token."));
    }
    let minutes = asked.number("expiration").unwrap_or(60) as u64;
    let (token, expires) = state.issue_for(&server, &user, Duration::from_mins(minutes));
    Ok(json!({"token": token, "expires": expires, "ssl": true}))
}

/// A token for an app, in OAuth's shapes.
fn client_credentials(state: &mut State, asked: &Asked) -> Result<Value, Refused> {
    if !asked.post || asked.parameter("grant_type") != Some("client_credentials") {
        return Err(Refused(400, "unsupported_grant_type"));
    }
    let id = asked.parameter("client_id").unwrap_or_default().to_owned();
    let known = state.apps.get(&id).ok_or(Refused(400, "Invalid client_id"))?;
    if asked.parameter("client_secret") != Some(known) {
        return Err(Refused(400, "Invalid client_secret"));
    }
    let minutes = asked.number("expiration").unwrap_or(120) as u64;
    let (token, expires) = state.issue(&id, None, Duration::from_mins(minutes));
    Ok(json!({"access_token": token, "expires_in": (expires - super::state::now()) / 1_000}))
}

pub(super) fn caller(state: &State, asked: &Asked) -> Result<(String, User), Refused> {
    caller_at(state, asked, None)
}

/// `place`: the root of a server; none: the portal.
pub(super) fn caller_at(
    state: &State,
    asked: &Asked,
    place: Option<&str>,
) -> Result<(String, User), Refused> {
    let token = asked.token.as_deref().ok_or(Refused(499, "Token Required"))?;
    state.bearer(token, asked.referer.as_deref(), place).ok_or(Refused(498, "Invalid token."))
}

pub(super) fn readable(state: &State, asked: &Asked, id: &str) -> Result<super::state::Item, Refused> {
    let (name, user) = caller(state, asked)?;
    let item = state.items.get(id).ok_or(NO_ITEM)?;
    if item.readable_by(&name, &user) { Ok(item.clone()) } else { Err(NO_ITEM) }
}

fn signed_in(state: &mut State, asked: &Asked, path: &[&str]) -> Result<Value, Refused> {
    let (name, user) = caller(state, asked)?;
    let admin = user.role == "org_admin";
    match *path {
        ["community", "self"] => state.user_document(&name).ok_or(NO_USER),
        ["community", "users", other] => state.user_document(other).ok_or(NO_USER),
        ["portals", "self"] => Ok(state.portal_document(&name)),
        ["portals", "self", "allScheduledTasks"] if admin => Ok(list(&state.tasks, asked)),
        ["community", "users", owner, "tasks"] if admin || owner == name => {
            let tasks: Vec<Value> =
                state.tasks.iter().filter(|task| task["userId"] == owner).cloned().collect();
            Ok(list(&tasks, asked))
        }
        ["community", "users", owner, "tasks", id, change @ ("enable" | "disable")]
            if admin || owner == name =>
        {
            if !asked.post {
                return Err(Refused(405, "Method not allowed."));
            }
            let task = state.tasks.iter_mut().find(|task| task["id"] == id && task["userId"] == owner);
            let task = task.ok_or(NO_TASK)?;
            task["active"] = (change == "enable").into();
            task["taskState"] = if change == "enable" { "active" } else { "paused" }.into();
            Ok(json!({"success": true, "taskId": id}))
        }
        ["community", "users", owner, "report"] if admin && owner == name => {
            reports::begin(state, asked, owner)
        }
        ["content", "users", owner, "items", id, "status"] if admin || owner == name => {
            reports::status(state, id).ok_or(NO_ITEM)
        }
        ["content", "users", owner, "items", id, "delete"] if asked.post && (admin || owner == name) => {
            state.items.remove(id).map(|_| json!({"success": true, "itemId": id})).ok_or(NO_ITEM)
        }
        ["content", "items", id] => {
            let item = readable(state, asked, id)?;
            Ok(json!({
                "id": id, "owner": item.owner, "title": id, "type": "Notebook", "typeKeywords": [], "tags": [],
                "access": item.access, "size": item.data.len(), "created": 1_600_000_000_000_i64,
            }))
        }
        ["content", "items", id, "groups"] => {
            let item = readable(state, asked, id)?;
            let groups: Vec<Value> = item.groups.iter().map(|id| json!({"id": id})).collect();
            Ok(json!({"admin": [], "member": groups, "other": []}))
        }
        ["portals", "self", "allScheduledTasks"]
        | ["community", "users", _, "tasks" | "report", ..]
        | ["content", "users", ..] => Err(FORBIDDEN),
        _ => Err(Refused(404, "There is no such resource or operation.")),
    }
}

/// A part of a list, as the client asks for it: 10 rows unless it says otherwise, 100 at most.
fn list(tasks: &[Value], asked: &Asked) -> Value {
    let start = asked.number("start").unwrap_or(1).max(1);
    let num = asked.number("num").unwrap_or(10).min(100);
    let part: Vec<&Value> = tasks.iter().skip(start - 1).take(num).collect();
    let next = start + part.len();
    let next_start =
        if part.is_empty() || next > tasks.len() { -1 } else { i64::try_from(next).unwrap_or(-1) };
    json!({"total": tasks.len(), "start": start, "num": num, "nextStart": next_start, "tasks": part})
}
