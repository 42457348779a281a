//! Each operation, called wrongly: the answer is the contract's, in every format, and nothing is stored.

use std::time::Duration;

use isochrone_store::{AuditStore, TokenBinding};
use reqwest::RequestBuilder;
use serde_json::Value;

use crate::server::{HOURLY, Server, error};

/// Every operation is in there; a test holds it to the code.
const DESCRIBED: &str = include_str!("../../../../docs/openapi.json");

/// Who is not signed in may call these.
const PUBLIC: [&str; 9] = [
    "",
    "/info",
    "/generateToken",
    "/oauth2/authorize",
    "/oauth2/signin",
    "/oauth2/approval",
    "/oauth2/token",
    "/oauth2/revokeToken",
    "/portals/self",
];

struct Operation {
    path: String,
    post: bool,
}

impl Operation {
    /// Those of the sharing API.
    fn all() -> Vec<Operation> {
        let described: Value = serde_json::from_str(DESCRIBED).expect("json");
        let paths = described["paths"].as_object().expect("paths");
        let operations = paths.iter().filter_map(|(path, methods)| {
            let path = path.strip_prefix("/sharing/rest")?.to_owned();
            Some(Operation { path, post: methods.get("post").is_some() })
        });
        operations.collect()
    }

    fn is_public(&self) -> bool {
        PUBLIC.contains(&&*self.path)
    }

    /// Its path, for this user.
    fn of(&self, user: &str) -> String {
        let id = "0123456789abcdef0123456789abcdef";
        let path = self.path.replace("{user}", user).replace("{task}", id).replace("{run}", id);
        path.replace("{item}", id).replace("{name}", "x.csv")
    }

    fn request(&self, server: &Server, user: &str, query: &[(&str, &str)]) -> RequestBuilder {
        let url = server.url(&self.of(user));
        if self.post { server.client.post(url).form(query) } else { server.client.get(url).query(query) }
    }
}

async fn read(request: RequestBuilder) -> Value {
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status(), 200, "errors are answers, too");
    let text = answer.text().await.expect("text");
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}"))
}

async fn entries(server: &Server) -> usize {
    let ever = isochrone_domain::EpochMillis(0)..isochrone_domain::EpochMillis::MAX;
    server.store.audit(ever).await.expect("a store").len()
}

#[tokio::test]
async fn without_a_good_token_nothing_is_told() {
    let server = Server::start().await;
    server.put_token("expired", "bob", Duration::ZERO, TokenBinding::None).await;
    let before = entries(&server).await;
    let operations = Operation::all();
    assert!(operations.len() > 35);
    for operation in operations.iter().filter(|operation| !operation.is_public()) {
        for format in ["json", "pjson"] {
            let none = read(operation.request(&server, "bob", &[("f", format)])).await;
            assert_eq!(error(&none).0, 499, "{}: {none}", operation.path);
            assert_eq!(error(&none).1, "Token Required");
        }
        for token in ["expired", "nobody's"] {
            let void = read(operation.request(&server, "bob", &[("f", "json"), ("token", token)])).await;
            assert_eq!(
                (error(&void).0, &*error(&void).1),
                (498, "Invalid token."),
                "{}: {void}",
                operation.path
            );
        }
        let page = operation.request(&server, "bob", &[]).send().await.expect("an answer");
        let page = page.text().await.expect("text");
        assert!(page.contains("<h1>Error</h1>") && page.contains("499"), "{}: {page}", operation.path);
    }
    assert_eq!(entries(&server).await, before);
}

#[tokio::test]
async fn what_is_anothers_is_forbidden() {
    let server = Server::start().await;
    let task = server.create("carol", &HOURLY).await;
    let before = entries(&server).await;
    let form =
        [&HOURLY[..], &[("f", "json"), ("token", "bob"), ("title", "x"), ("type", "Notebook")]].concat();
    for operation in Operation::all() {
        if !operation.path.contains("/users/{user}") {
            continue;
        }
        let mut query: Vec<_> =
            if operation.post { form.clone() } else { vec![("f", "json"), ("token", "bob")] };
        query.dedup_by_key(|(name, _)| *name);
        query.sort_unstable();
        query.dedup_by_key(|(name, _)| *name);
        let url = server.url(
            &operation
                .of("carol")
                .replace("tasks/0123456789abcdef0123456789abcdef", &format!("tasks/{task}")),
        );
        let request = if operation.post {
            server.client.post(url).form(&query)
        } else {
            server.client.get(url).query(&query)
        };
        let answer = read(request).await;
        assert_eq!(error(&answer).0, 403, "{}: {answer}", operation.path);
        assert_eq!(answer["error"]["messageCode"], "GWM_0003");
    }
    let all = read(server.client.get(server.url("/portals/self/allScheduledTasks?f=json&token=bob"))).await;
    assert_eq!(error(&all).0, 403);
    assert_eq!(entries(&server).await, before);
}

#[tokio::test]
async fn what_is_not_there_is_told_alike() {
    let server = Server::start().await;
    for operation in Operation::all() {
        let names_one = ["{task}", "{run}", "{item}"].iter().any(|name| operation.path.contains(name));
        if !names_one {
            continue;
        }
        let query = [("f", "json"), ("token", "bob"), ("title", "x"), ("status", "failed")];
        let answer = read(operation.request(&server, "bob", &query)).await;
        let (code, message, _) = error(&answer);
        assert_eq!(code, 400, "{}: {answer}", operation.path);
        assert!(message.ends_with("does not exist or is inaccessible."), "{}: {answer}", operation.path);
    }
}

#[tokio::test]
async fn a_change_by_get_a_script_and_two_values_are_refused() {
    let server = Server::start().await;
    let before = entries(&server).await;
    for operation in Operation::all() {
        let path = operation.of("bob");
        if operation.post {
            let url = server.url(&path);
            let get = server.client.get(url).query(&[("f", "json"), ("token", "bob")]);
            let answer = read(get).await;
            assert_eq!(error(&answer).0, 405, "{path}: {answer}");
        }
        let script = [("f", "json"), ("token", "bob"), ("callback", "alert")];
        let answer = read(operation.request(&server, "bob", &script)).await;
        assert_eq!((error(&answer).0, &*error(&answer).2), (400, "callback"), "{path}: {answer}");
        let twice = [("f", "json"), ("token", "bob"), ("num", "1"), ("num", "2")];
        let answer = read(operation.request(&server, "bob", &twice)).await;
        assert_eq!((error(&answer).0, &*error(&answer).2), (400, "num"), "{path}: {answer}");
        let two = operation.request(&server, "bob", &[("f", "json"), ("token", "bob")]).bearer_auth("carol");
        let answer = read(two).await;
        assert_eq!((error(&answer).0, &*error(&answer).2), (400, "token"), "{path}: {answer}");
    }
    let unknown = read(server.client.get(server.url("/community/nobody?f=json&token=bob"))).await;
    assert_eq!(error(&unknown).0, 404);
    assert_eq!(entries(&server).await, before);
}
