//! Who may ask for what: every route, with each role, with own things and with others'. A route that is not in the
//! table fails here.

use std::collections::BTreeSet;
use std::time::Duration;

use isochrone_domain::EpochMillis;
use isochrone_store::{AuditStore, TokenBinding};
use serde_json::{Value, json};

use crate::server::{Server, hourly};

/// Who is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// Everybody, with a token or without.
    Open,
    /// Whoever has a token.
    SignedIn,
    /// The owner and administrators.
    Reads,
    /// The same, but for an owner who is a viewer.
    Writes,
    /// Administrators.
    Admin,
}

use Rule::{Admin, Open, Reads, SignedIn, Writes};

/// The sharing API below its root; the native one below its own.
const TABLE: &[(&str, &str, Rule)] = &[
    ("get", "", Open),
    ("get", "/info", Open),
    ("get", "/portaladmin", Open),
    ("post", "/generateToken", Open),
    ("get", "/oauth2/authorize", Open),
    ("post", "/oauth2/signin", Open),
    ("get", "/oauth2/approval", Open),
    ("post", "/oauth2/token", Open),
    ("post", "/oauth2/revokeToken", Open),
    ("get", "/portals/self", Open),
    ("get", "/portals/self/roles", SignedIn),
    ("get", "/portals/self/users", Admin),
    ("get", "/portals/self/users/counts", Admin),
    ("get", "/portals/self/allScheduledTasks", Admin),
    ("get", "/community/self", SignedIn),
    ("get", "/community/users/{user}", Reads),
    ("get", "/community/users/{user}/tasks", Reads),
    ("post", "/community/users/{user}/createTask", Writes),
    ("post", "/community/users/{user}/tasks/createTask", Writes),
    ("post", "/community/users/{user}/tasks/{any}/createTask", Writes),
    ("get", "/community/users/{user}/tasks/{task}", Reads),
    ("post", "/community/users/{user}/tasks/{task}/update", Writes),
    ("post", "/community/users/{user}/tasks/{task}/enable", Writes),
    ("post", "/community/users/{user}/tasks/{task}/restart", Writes),
    ("post", "/community/users/{user}/tasks/{task}/disable", Writes),
    ("post", "/community/users/{user}/tasks/{task}/accept", Writes),
    ("post", "/community/users/{user}/tasks/{task}/reassign", Admin),
    ("post", "/community/users/{user}/tasks/{task}/delete", Writes),
    ("post", "/community/users/{user}/tasks/{task}/run", Writes),
    ("get", "/community/users/{user}/tasks/{task}/runs", Reads),
    ("get", "/community/users/{user}/tasks/{task}/runs/{run}", Reads),
    ("post", "/community/users/{user}/tasks/{task}/runs/{run}/update", Writes),
    ("post", "/community/users/{user}/tasks/{task}/runs/{run}/delete", Writes),
    ("post", "/community/users/{user}/tasks/{task}/runs/{run}/cancel", Writes),
    ("post", "/community/users/{user}/tasks/{task}/runs/{run}/retry", Writes),
    ("get", "/community/users/{user}/tasks/{task}/runs/{run}/log", Reads),
    ("get", "/community/users/{user}/tasks/{task}/runs/{run}/artifacts/{name}", Reads),
    ("get", "/search", SignedIn),
    ("get", "/content/items/{item}", Reads),
    ("get", "/content/items/{item}/data", Reads),
    ("get", "/content/users/{user}", Reads),
    ("get", "/content/users/{user}/{any}", Reads),
    ("get", "/content/users/{user}/items/{item}", Reads),
    ("get", "/content/users/{user}/{any}/items/{item}", Reads),
    ("post", "/content/users/{user}/addItem", Writes),
    ("post", "/content/users/{user}/{any}/addItem", Writes),
    ("post", "/content/users/{user}/items/{item}/update", Writes),
    ("post", "/content/users/{user}/items/{item}/delete", Writes),
    ("post", "/content/users/{user}/items/{item}/addPart", Writes),
    ("post", "/content/users/{user}/items/{item}/commit", Writes),
    ("get", "/content/users/{user}/items/{item}/status", Reads),
    ("post", "/content/users/{user}/{any}/items/{item}/update", Writes),
    ("post", "/content/users/{user}/{any}/items/{item}/delete", Writes),
    ("post", "/content/users/{user}/{any}/items/{item}/addPart", Writes),
    ("post", "/content/users/{user}/{any}/items/{item}/commit", Writes),
    ("get", "/content/users/{user}/{any}/items/{item}/status", Reads),
    ("get", "/api/v1/tasks", SignedIn),
    ("post", "/api/v1/tasks", Writes),
    ("get", "/api/v1/tasks/{task}", Reads),
    ("patch", "/api/v1/tasks/{task}", Writes),
    ("delete", "/api/v1/tasks/{task}", Writes),
    ("post", "/api/v1/tasks/{task}/enable", Writes),
    ("post", "/api/v1/tasks/{task}/restart", Writes),
    ("post", "/api/v1/tasks/{task}/replan", Writes),
    ("post", "/api/v1/tasks/{task}/disable", Writes),
    ("post", "/api/v1/tasks/{task}/accept", Writes),
    ("post", "/api/v1/tasks/{task}/reassign", Admin),
    ("get", "/api/v1/tasks/{task}/runs", Reads),
    ("post", "/api/v1/tasks/{task}/runs", Writes),
    ("get", "/api/v1/runs", SignedIn),
    ("get", "/api/v1/runs/{run}", Reads),
    ("post", "/api/v1/runs/{run}/cancel", Writes),
    ("post", "/api/v1/runs/{run}/retry", Writes),
    ("get", "/api/v1/runs/{run}/log", Reads),
    ("get", "/api/v1/runs/{run}/artifacts", Reads),
    ("get", "/api/v1/runs/{run}/artifacts/{name}", Reads),
    ("get", "/api/v1/parameters", SignedIn),
    ("get", "/api/v1/workers", Admin),
    ("get", "/api/v1/users", Admin),
    ("get", "/api/v1/users/{name}", Reads),
];

/// Who asks, and whose things.
#[derive(Clone, Copy, Debug)]
struct Case {
    token: Option<&'static str>,
    owner: &'static str,
    admin: bool,
    viewer: bool,
}

const CASES: [Case; 7] = [
    Case { token: Some("NBadmin"), owner: "bob", admin: true, viewer: false },
    Case { token: Some("NBadmin"), owner: "NBadmin", admin: true, viewer: false },
    Case { token: Some("bob"), owner: "bob", admin: false, viewer: false },
    Case { token: Some("carol"), owner: "bob", admin: false, viewer: false },
    Case { token: Some("victor"), owner: "victor", admin: false, viewer: true },
    Case { token: Some("victor"), owner: "bob", admin: false, viewer: true },
    Case { token: None, owner: "bob", admin: false, viewer: false },
];

fn allowed(rule: Rule, case: Case) -> bool {
    let own = case.token == Some(case.owner);
    match rule {
        Open => true,
        SignedIn => case.token.is_some(),
        Reads => case.admin || own,
        Writes => case.admin || own && !case.viewer,
        Admin => case.admin,
    }
}

/// A path as the table compares it.
fn pattern(path: &str) -> String {
    path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part }).collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn every_route_is_in_the_table() {
    let server = Server::start().await;
    let url = format!("http://{}/openapi.json", server.address);
    let described: Value =
        server.client.get(url).send().await.expect("an answer").json().await.expect("json");
    let table: BTreeSet<(&str, String)> =
        TABLE.iter().map(|(method, path, _)| (*method, pattern(path))).collect();
    assert_eq!(table.len(), TABLE.len(), "no row stands twice");
    for (path, methods) in described["paths"].as_object().expect("paths") {
        let path = path.strip_prefix("/sharing/rest").unwrap_or(path);
        for method in methods.as_object().expect("methods").keys() {
            assert!(table.contains(&(method.as_str(), pattern(path))), "no row for {method} {path}");
        }
    }
    let paths: BTreeSet<String> = table.into_iter().map(|(_, path)| path).collect();
    let routed = routed(include_str!("../../src/routes.rs"));
    assert!(routed.len() > 40, "the routes are found: {routed:?}");
    for path in routed {
        assert!(paths.contains(&path), "no row for {path}, which routes.rs has");
    }
}

/// The paths of the arms in `routes.rs`, with `{}` for what is no fixed word.
fn routed(source: &str) -> BTreeSet<String> {
    let (mut prefix, mut found) = (None, BTreeSet::new());
    let literal =
        |text: &str| text.trim().strip_prefix('"').and_then(|rest| rest.split('"').next()).map(str::to_owned);
    for line in source.lines().map(str::trim) {
        if let Some((_, name)) = line.split_once("fn ") {
            prefix = match name.split('(').next() {
                Some("answer") => Some(""),
                Some("of_user") => Some("/community/users/{}"),
                Some("content_of") => Some("/content/users/{}"),
                _ => None,
            };
        }
        let (Some(prefix), Some((arm, _))) = (prefix, line.split_once("=>")) else { continue };
        if let Some(operation) = literal(arm) {
            for folder in ["", "/{}"] {
                found.insert(format!("{prefix}{folder}/items/{{}}/{operation}"));
            }
        }
        for segments in arm.split('[').skip(1).filter_map(|rest| rest.split(']').next()) {
            // What follows is another function's, or another list's.
            if segments.contains("..") || segments.contains("operation") {
                continue;
            }
            let segments = segments.split(',').filter(|segment| !segment.trim().is_empty());
            let path: Vec<String> =
                segments.map(|segment| literal(segment).unwrap_or_else(|| "{}".to_owned())).collect();
            found.insert(format!("{prefix}/{}", path.join("/")).trim_end_matches('/').to_owned());
        }
    }
    found
}

/// What a request is about.
struct Things {
    task: String,
    run: String,
    item: String,
}

async fn things(server: &Server, owner: &str) -> Things {
    let made = server.post("NBadmin", &format!("/community/users/{owner}/createTask"), &hourly(&[])).await;
    let task = made["taskId"].as_str().expect("a task").to_owned();
    let run = server.post("NBadmin", &format!("/community/users/{owner}/tasks/{task}/run"), &[]).await;
    let run = run["runId"].as_str().expect("a run").to_owned();
    let form = [("title", "t"), ("type", "Notebook"), ("text", "{}")];
    let item = server.post("NBadmin", &format!("/content/users/{owner}/addItem"), &form).await;
    let item = item["id"].as_str().expect("an item").to_owned();
    let update = format!("/community/users/{owner}/tasks/{task}/update");
    assert_eq!(server.post("NBadmin", &update, &[("itemId", &item)]).await["success"], true);
    Things { task, run, item }
}

/// What a route that changes something is sent.
fn form(path: &str) -> Vec<(&'static str, &'static str)> {
    match path.rsplit('/').next() {
        Some("createTask") => hourly(&[]),
        Some("addItem") => vec![("title", "t"), ("type", "Notebook"), ("text", "{}")],
        Some("update") if path.contains("/runs/") => vec![("result", "r")],
        Some("update") => vec![("title", "another")],
        Some("reassign") => vec![("targetUsername", "GPadmin")],
        _ => Vec::new(),
    }
}

/// Asks, and says whether the caller was let in.
async fn ask(server: &Server, case: Case, method: &str, path: &str, things: &Things) -> (bool, String) {
    let named = path
        .replace("{user}", case.owner)
        .replace("{name}", if path.contains("artifacts") { "a.txt" } else { case.owner })
        .replace("{task}", &things.task)
        .replace("{run}", &things.run)
        .replace("{item}", &things.item)
        .replace("{any}", "any");
    let native = path.starts_with("/api/");
    let root = format!("http://{}", server.address);
    let url = match (native, path) {
        (true, _) => format!("{root}{named}"),
        // Beside the sharing API.
        (false, "/portaladmin") => format!("{root}/portal/portaladmin"),
        (false, _) => server.url(&named),
    };
    let method: reqwest::Method = method.to_uppercase().parse().expect("a method");
    let mut request = server.client.request(method.clone(), url);
    if let Some(token) = case.token {
        request = request.bearer_auth(token);
    }
    request = match (native, method.as_str(), path) {
        (true, "POST", "/api/v1/tasks") => request.json(&json!({
            "owner": case.owner, "type": "ExecuteReport", "parameters": {},
            "schedule": {"minute": "0", "hour": "*", "dayOfMonth": "*", "month": "*", "dayOfWeek": "?"},
        })),
        (true, "PATCH", _) => request.json(&json!({"title": "another"})),
        (true, _, path) if path.ends_with("/reassign") => request.query(&[("owner", "GPadmin")]),
        (true, ..) => request,
        (false, "POST", _) => {
            let mut form = form(path);
            form.push(("f", "json"));
            request.form(&form)
        }
        (false, ..) => request.query(&[("f", "json")]),
    };
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    let is_stream = path.ends_with("/log") && native;
    let text = if is_stream && status == 200 { String::new() } else { answer.text().await.expect("text") };
    let body: Value = serde_json::from_str(&text).unwrap_or_default();
    let code = body["error"]["code"].as_u64().unwrap_or_else(|| status.into());
    // Another one's thing is not told from one that is not there; an artifact really is not.
    let hidden = ["Task", "Run", "Item", "User"].iter().any(|what| {
        let told = body["error"]["message"].as_str().or(body["detail"].as_str()).unwrap_or_default();
        told.starts_with(&format!("{what} does not exist"))
            || told.starts_with(&format!("The {} does not exist", what.to_lowercase()))
            || told.starts_with(&format!("There is no such {}", what.to_lowercase()))
    });
    (!matches!(code, 401 | 403 | 498 | 499) && !hidden, format!("{status} {text}"))
}

#[tokio::test]
async fn each_route_lets_in_whom_it_should_and_nobody_else() {
    let server = Server::start().await;
    for token in ["NBadmin", "bob", "carol", "victor"] {
        server.put_token(token, token, Duration::from_hours(1), TokenBinding::None).await;
    }
    let mut tries = 0;
    for (method, path, rule) in TABLE {
        for case in CASES {
            let things = things(&server, case.owner).await;
            let audit = async || {
                let entries = server.store.audit(EpochMillis(0)..EpochMillis::MAX).await.expect("a log");
                entries.len()
            };
            let before = audit().await;
            let (let_in, answer) = ask(&server, case, method, path, &things).await;
            assert_eq!(let_in, allowed(*rule, case), "{method} {path} ({rule:?}), {case:?}: {answer}");
            if !let_in {
                assert_eq!(audit().await, before, "{method} {path}, {case:?}: nothing may change");
            }
            tries += 1;
        }
    }
    assert!(tries > 500, "{tries}");
}
