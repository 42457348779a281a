//! The native API: what the sharing API has no form for.

use std::time::Duration;

use isochrone_domain::{
    Action, Artifact, AttemptEnd, AuditEntry, Claimant, EpochMillis, LogLine, LogStream, Role, RunId,
    UserChange,
};
use isochrone_store::{
    AccountStore, Claim, Finished, RunStore, TaskFilter, TaskStore, TokenBinding, TokenHash,
};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::server::Server;

fn request(server: &Server, token: &str, method: Method, path: &str) -> RequestBuilder {
    server.client.request(method, format!("http://{}/api/v1{path}", server.address)).bearer_auth(token)
}

async fn get(server: &Server, token: &str, path: &str) -> Value {
    let answer = request(server, token, Method::GET, path).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK, "{path}");
    answer.json().await.expect("json")
}

async fn create(server: &Server, token: &str, more: Value) -> (Value, String) {
    let mut body = hourly();
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    let sent = request(server, token, Method::POST, "/tasks").json(&body).send().await.expect("an answer");
    assert_eq!(sent.status(), StatusCode::CREATED, "{:?}", sent.text().await);
    let tag = sent.headers()["etag"].to_str().expect("text").to_owned();
    (sent.json().await.expect("json"), tag)
}

fn hourly() -> Value {
    let schedule = json!({"minute": "0", "hour": "*", "dayOfMonth": "*", "month": "*", "dayOfWeek": "?"});
    json!({"type": "ExecuteNotebook", "itemId": "0123456789abcdef0123456789abcdef", "schedule": schedule})
}

/// Its status, its `detail`, and the fields that it names.
async fn problem(answer: Response) -> (u16, String, Vec<String>) {
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let status = answer.status().as_u16();
    let told: Value = answer.json().await.expect("json");
    assert_eq!(told["status"], status);
    let fields = told["errors"].as_array().into_iter().flatten();
    let fields = fields.filter_map(|error| error["field"].as_str().map(str::to_owned));
    (status, told["detail"].as_str().expect("a detail").to_owned(), fields.collect())
}

#[tokio::test]
async fn a_task_is_made_changed_and_deleted() {
    let server = Server::start().await;
    let parameters = json!({"title": "Ü", "parameters": {"b": 1, "a": [2.50]}, "maxOccurrences": 7,
        "endDate": 4_000_000_000_000_i64, "maxRetries": 2, "misfirePolicy": "skip:30"});
    let (task, tag) = create(&server, "bob", parameters).await;
    let id = task["id"].as_str().expect("an id");
    assert_eq!(
        (&task["owner"], &task["state"], &task["maxRetries"]),
        (&json!("bob"), &json!("active"), &json!(2))
    );
    assert_eq!(task["schedule"]["description"], "every hour");
    assert_eq!(task["parameters"].to_string(), r#"{"b":1,"a":[2.5]}"#);
    assert_eq!(get(&server, "bob", &format!("/tasks/{id}")).await, task);
    let sharing = server.get("bob", &format!("/community/users/bob/tasks/{id}")).await;
    assert_eq!(
        (&sharing["title"], &sharing["maxOccurrences"]),
        (&json!("Ü"), &json!(7)),
        "it is the same task"
    );

    let patch = async |body: Value, tag: &str| {
        let request = request(&server, "bob", Method::PATCH, &format!("/tasks/{id}")).header("if-match", tag);
        request.json(&body).send().await.expect("an answer")
    };
    let changed =
        patch(json!({"schedule": {"hour": "4"}, "endDate": null, "maxOccurrences": null}), &tag).await;
    assert_eq!(changed.status(), StatusCode::OK);
    let new_tag = changed.headers()["etag"].to_str().expect("text").to_owned();
    let changed: Value = changed.json().await.expect("json");
    assert_eq!((&changed["schedule"]["hour"], &changed["schedule"]["minute"]), (&json!("4"), &json!("0")));
    assert_eq!((&changed["endDate"], &changed["maxOccurrences"]), (&Value::Null, &Value::Null));
    assert_eq!(changed["title"], "Ü");
    assert_ne!(new_tag, tag);
    assert_eq!(problem(patch(json!({"title": "late"}), &tag).await).await.0, 412);
    assert_eq!(problem(patch(json!({"title": "late"}), "no-tag").await).await.2, ["If-Match"]);
    assert_eq!(get(&server, "bob", &format!("/tasks/{id}")).await["title"], "Ü");

    for (verb, state) in [("disable", "paused"), ("enable", "active")] {
        let done = request(&server, "bob", Method::POST, &format!("/tasks/{id}/{verb}"));
        let done = done.send().await.expect("an answer");
        assert_eq!(done.json::<Value>().await.expect("json")["state"], state);
    }
    let delete = async || {
        request(&server, "bob", Method::DELETE, &format!("/tasks/{id}")).send().await.expect("an answer")
    };
    assert_eq!(delete().await.status(), StatusCode::NO_CONTENT);
    assert_eq!(problem(delete().await).await.0, 404);
}

#[tokio::test]
async fn a_tag_outlives_fires_and_no_change() {
    let server = Server::start().await;
    let (task, tag) = create(&server, "bob", json!({})).await;
    let path = format!("/tasks/{}", task["id"].as_str().expect("an id"));
    let run = request(&server, "bob", Method::POST, &format!("{path}/runs")).send().await.expect("an answer");
    assert_eq!(run.status(), StatusCode::ACCEPTED);
    let seen = request(&server, "bob", Method::GET, &path).send().await.expect("an answer");
    assert_eq!(seen.headers()["etag"].to_str().expect("text"), tag);
    assert_eq!(seen.json::<Value>().await.expect("json")["occurrences"], 1);
}

#[tokio::test]
async fn a_repeated_request_is_carried_out_once() {
    let server = Server::start().await;
    let send = async |token: &str, key: &str, body: &Value| {
        let request = request(&server, token, Method::POST, "/tasks").header("idempotency-key", key);
        request.json(body).send().await.expect("an answer")
    };
    let (mut ids, body) = (Vec::new(), hourly());
    for answer in futures::future::join_all((0..8).map(|_| send("bob", "one", &body))).await {
        assert_eq!(answer.status(), StatusCode::CREATED);
        ids.push(answer.json::<Value>().await.expect("json")["id"].clone());
    }
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let filter = TaskFilter::default();
    assert_eq!(server.store.tasks_from(&filter, None, 10).await.expect("a list").rows.len(), 1);

    let mut other = hourly();
    other["title"] = json!("another");
    assert_eq!(problem(send("bob", "one", &other).await).await.2, ["Idempotency-Key"]);
    assert_eq!(problem(send("bob", "", &hourly()).await).await.2, ["Idempotency-Key"]);
    let carols: Value = send("carol", "one", &hourly()).await.json().await.expect("json");
    assert_ne!(carols["id"], ids[0], "another one's key is another key");

    let runs = format!("/tasks/{}/runs", ids[0].as_str().expect("an id"));
    let run = async || {
        let request = request(&server, "bob", Method::POST, &runs).header("idempotency-key", "now");
        request.send().await.expect("an answer").json::<Value>().await.expect("json")["id"].clone()
    };
    assert_eq!(run().await, run().await);
    assert_eq!(get(&server, "bob", &runs).await["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn lists_go_on_where_they_were() {
    let server = Server::start().await;
    for number in 0..5 {
        create(&server, "bob", json!({"title": format!("task {number}")})).await;
    }
    create(&server, "carol", json!({})).await;
    let mut titles = Vec::new();
    let mut path = "/tasks?limit=2".to_owned();
    loop {
        let page = get(&server, "bob", &path).await;
        titles.extend(page["items"].as_array().expect("rows").iter().map(|task| task["title"].clone()));
        let Some(cursor) = page["nextCursor"].as_str() else { break };
        path = format!("/tasks?limit=2&cursor={cursor}");
    }
    assert_eq!(titles, ["task 0", "task 1", "task 2", "task 3", "task 4"]);
    assert_eq!(get(&server, "GPadmin", "/tasks").await["items"].as_array().map(Vec::len), Some(6));
    assert_eq!(
        get(&server, "GPadmin", "/tasks?owner=carol").await["items"].as_array().map(Vec::len),
        Some(1)
    );
    for (query, field) in
        [("limit=0", "limit"), ("limit=101", "limit"), ("cursor=x", "cursor"), ("itemId=x", "itemId")]
    {
        let answer = request(&server, "bob", Method::GET, &format!("/tasks?{query}")).send().await;
        assert_eq!(problem(answer.expect("an answer")).await.2, [field], "{query}");
    }
    for query in ["color=red", "active=maybe", "type=MakeCoffee"] {
        let answer = request(&server, "bob", Method::GET, &format!("/tasks?{query}")).send().await;
        assert_eq!(problem(answer.expect("an answer")).await.0, 422, "{query}");
    }
}

#[tokio::test]
async fn what_is_wrong_names_its_field() {
    let server = Server::start().await;
    let send = async |body: &str| {
        let request =
            request(&server, "bob", Method::POST, "/tasks").header("content-type", "application/json");
        problem(request.body(body.to_owned()).send().await.expect("an answer")).await
    };
    let with = |name: &str, value: Value| {
        let mut body = hourly();
        body[name] = value;
        body.to_string()
    };
    let schedule = |minute: &str| {
        let mut body = hourly();
        body["schedule"]["minute"] = json!(minute);
        body.to_string()
    };
    for (body, field) in [
        (with("type", json!("MakeCoffee")), "type"),
        (with("color", json!("red")), "color"),
        (with("itemId", json!("xyz")), "itemId"),
        (with("itemId", json!("")), "itemId"),
        (with("parameters", json!([1])), "parameters"),
        (with("maxOccurrences", json!(0)), "maxOccurrences"),
        (with("maxOccurrences", json!("7")), "maxOccurrences"),
        (with("startDate", json!(-5)), "startDate"),
        (with("overlapPolicy", json!("never")), "overlapPolicy"),
        (with("title", json!("a\u{0}b")), "title"),
        (schedule("75"), "minute"),
        (schedule("98"), "minute"),
        (schedule(""), "minute"),
        (with("schedule", json!({"minute": "0"})), "schedule"),
    ] {
        let (status, detail, fields) = send(&body).await;
        assert_eq!((status, fields), (422, vec![field.to_owned()]), "{body}: {detail}");
    }
    for broken in ["", "{", "]", "{\"type\":}"] {
        assert_eq!(send(broken).await.0, 400, "{broken}");
    }
    let form = request(&server, "bob", Method::POST, "/tasks").form(&[("type", "ExecuteNotebook")]);
    assert_eq!(problem(form.send().await.expect("an answer")).await.0, 415);
    let long = "x".repeat(3 << 20);
    assert_eq!(send(&with("title", json!(long))).await.0, 413);
    let filter = TaskFilter::default();
    assert_eq!(
        server.store.tasks_from(&filter, None, 10).await.expect("a list").rows,
        [],
        "nothing is stored"
    );
}

#[tokio::test]
async fn rights_are_the_sharing_apis() {
    let server = Server::start().await;
    let (task, _) = create(&server, "bob", json!({})).await;
    let path = format!("/tasks/{}", task["id"].as_str().expect("an id"));
    let ask = async |token: &str, method: Method, path: &str| {
        request(&server, token, method, path).send().await.expect("an answer")
    };
    let refused = ask("no-token", Method::GET, "/tasks").await;
    assert_eq!(refused.headers()["www-authenticate"], "Bearer");
    assert_eq!(problem(refused).await.0, 401);
    let none = server.client.get(format!("http://{}/api/v1/tasks?token=bob", server.address));
    assert!(matches!(none.send().await.expect("an answer").status().as_u16(), 401 | 422), "not in the query");
    for (method, below) in
        [(Method::GET, ""), (Method::DELETE, ""), (Method::POST, "/runs"), (Method::POST, "/disable")]
    {
        assert_eq!(problem(ask("carol", method, &format!("{path}{below}")).await).await.0, 404, "{below}");
    }
    let body = request(&server, "victor", Method::POST, "/tasks").json(&hourly());
    assert_eq!(problem(body.send().await.expect("an answer")).await.0, 403);
    for path in ["/workers", "/users", "/tasks?owner=carol", "/runs?owner=carol"] {
        assert_eq!(problem(ask("bob", Method::GET, path).await).await.0, 403, "{path}");
    }
    assert_eq!(get(&server, "GPadmin", "/users").await["items"].as_array().map(Vec::len), Some(5));
    assert_eq!(get(&server, "bob", "/users/me").await["role"], "publisher");
    assert_eq!(problem(ask("bob", Method::GET, "/users/carol").await).await.0, 404);
    assert_eq!(problem(ask("bob", Method::GET, "/nothing").await).await.0, 404);
    let wrong = ask("bob", Method::PUT, &path).await;
    assert!(wrong.headers()["allow"].to_str().expect("text").contains("PATCH"), "{:?}", wrong.headers());
    assert_eq!(problem(wrong).await.0, 405);
    let below =
        server.client.get(format!("http://{}/portal/api/v1/users/me", server.address)).bearer_auth("bob");
    assert_eq!(below.send().await.expect("an answer").status(), StatusCode::OK, "below the context, too");
}

#[tokio::test]
async fn a_log_is_followed_to_its_end() {
    let server = Server::start().await;
    let (task, _) = create(&server, "bob", json!({})).await;
    let runs = format!("/tasks/{}/runs", task["id"].as_str().expect("an id"));
    let run = request(&server, "bob", Method::POST, &runs).send().await.expect("an answer");
    let run: RunId =
        run.json::<Value>().await.expect("json")["id"].as_str().expect("an id").parse().expect("hex");
    let Ok(Claim::Granted(claimed)) =
        server.store.claim(run, &Claimant::new("w"), Duration::from_mins(5)).await
    else {
        panic!("claimed")
    };
    let line = |text: &str| LogLine { at: EpochMillis(5), stream: LogStream::Stdout, text: text.to_owned() };
    let says = async |first: u64, lines: &[LogLine]| {
        let kept = server.store.append_log(run, claimed.run.fence(), first, lines).await.expect("kept");
        assert!(matches!(kept, Finished::Kept(_)));
    };
    says(0, &[line("one"), line("two\nlines")]).await;
    let path = format!("/runs/{run}/log");
    let page = get(&server, "bob", &format!("{path}?offset=1")).await;
    assert_eq!((&page["total"], &page["lines"][0]["text"]), (&json!(2), &json!("two\nlines")));

    let follow = async |seen: Option<&str>| {
        let request = request(&server, "bob", Method::GET, &path).header("accept", "text/event-stream");
        let request = seen.into_iter().fold(request, |request, seen| request.header("last-event-id", seen));
        request.send().await.expect("an answer")
    };
    let mut live = follow(None).await;
    assert_eq!(live.headers()["content-type"], "text/event-stream");
    let mut text = String::new();
    while !text.contains("id: 2") {
        text += &String::from_utf8_lossy(&live.chunk().await.expect("more").expect("not the end yet"));
    }
    assert!(!text.contains("event: end"), "{text}");
    says(2, &[line("three")]).await;
    let artifact = Artifact {
        name: "a b.csv".to_owned(),
        content_type: "text/csv".to_owned(),
        size: 3,
        location: format!("runs/{run}/1/a b.csv"),
    };
    let location = Path::from(artifact.location.as_str());
    server.artifacts.put(&location, "1,2".into()).await.expect("kept");
    let below = Artifact { name: "out/deep/\u{e9} #1.csv".to_owned(), ..artifact.clone() };
    let end = AttemptEnd::Succeeded { result: "done".to_owned() };
    assert!(matches!(
        server.store.finish(run, claimed.run.fence(), end, vec![artifact, below]).await,
        Ok(Finished::Kept(_))
    ));
    while let Some(chunk) = live.chunk().await.expect("more") {
        text += &String::from_utf8_lossy(&chunk);
    }
    let (lines, end) = text.split_once("event: end").expect("the end comes last");
    assert_eq!(lines.matches("event: line").count(), 3, "{text}");
    assert!(end.contains(r#""status":"succeeded""#), "{text}");
    let rest = follow(Some("2")).await.text().await.expect("text");
    assert_eq!((rest.matches("event: line").count(), rest.contains("three")), (1, true), "{rest}");

    assert_eq!(get(&server, "bob", &format!("/runs/{run}/artifacts")).await["items"][0]["name"], "a b.csv");
    let file = request(&server, "bob", Method::GET, &format!("/runs/{run}/artifacts/a%20b.csv"));
    assert_eq!(file.send().await.expect("an answer").text().await.expect("text"), "1,2");
    for path in ["out%2Fdeep%2F%C3%A9%20%231.csv", "out/deep/%C3%A9%20%231.csv"] {
        let file =
            request(&server, "bob", Method::GET, &format!("/runs/{run}/artifacts/{path}")).send().await;
        let file = file.expect("an answer");
        let disposition = file.headers()["content-disposition"].to_str().expect("text").to_owned();
        assert_eq!(disposition, "attachment; filename*=UTF-8''%C3%A9%20%231%2Ecsv");
        assert_eq!(file.text().await.expect("text"), "1,2", "{path}");
    }
    let other =
        request(&server, "carol", Method::GET, &format!("/runs/{run}/artifacts/out/deep/x")).send().await;
    assert_eq!(problem(other.expect("an answer")).await.0, 404);
    let again = request(&server, "bob", Method::POST, &format!("/runs/{run}/cancel")).send().await;
    assert_eq!(problem(again.expect("an answer")).await.0, 409, "it has ended");
}

/// A run that has been claimed and goes on, and the path of its log.
async fn running(server: &Server, owner: &str) -> (RunId, String) {
    let (task, _) = create(server, owner, json!({})).await;
    let runs = format!("/tasks/{}/runs", task["id"].as_str().expect("an id"));
    let run = request(server, owner, Method::POST, &runs).send().await.expect("an answer");
    let run: RunId =
        run.json::<Value>().await.expect("json")["id"].as_str().expect("an id").parse().expect("hex");
    let Ok(Claim::Granted(_)) = server.store.claim(run, &Claimant::new("w"), Duration::from_mins(5)).await
    else {
        panic!("claimed")
    };
    (run, format!("/runs/{run}/log"))
}

#[tokio::test]
async fn a_followed_log_ends_with_its_readers_access() {
    let server = Server::start().await;
    let (_, path) = running(&server, "bob").await;
    let token = async |name: &str, user: &str, life: Duration| {
        server.put_token(name, user, life, TokenBinding::None).await;
        name.to_owned()
    };
    let hour = Duration::from_hours(1);
    let expiring = token("expiring", "bob", Duration::from_secs(2)).await;
    let (revoked, voided) = (token("revoked", "bob", hour).await, token("voided", "bob", hour).await);
    server.add_user("dora", Role::Admin, "no hash").await;
    let demoted = token("demoted", "dora", hour).await;
    let (key, key_id) = server.add_key("bob", hour).await;
    let stays = token("stays", "NBadmin", hour).await;
    let mut followers = Vec::new();
    for token in [&expiring, &revoked, &demoted, &key, &stays] {
        let request = request(&server, token, Method::GET, &path).header("accept", "text/event-stream");
        followers.push((token.clone(), request.send().await.expect("an answer")));
    }
    let audit = |action| AuditEntry::new(EpochMillis(0), "bob", action, "bob", "bob");
    let hash = TokenHash(Sha256::digest(&revoked).into());
    assert!(server.store.forget_token(hash, audit(Action::RevokeToken)).await.expect("a store"));
    let hash = TokenHash(Sha256::digest(&key).into());
    assert!(server.store.forget_token(hash, audit(Action::RevokeToken)).await.expect("a store"), "{key_id}");
    server.change_user("dora", UserChange { role: Some(Role::Viewer), ..UserChange::default() }).await;
    let mut stays = None;
    for (token, mut response) in followers {
        if token == "stays" {
            stays = Some(response);
            continue;
        }
        let mut text = String::new();
        let reading = async {
            while let Ok(Some(chunk)) = response.chunk().await {
                text += &String::from_utf8_lossy(&chunk);
            }
        };
        tokio::time::timeout(Duration::from_secs(10), reading).await.expect("it ends within seconds");
        assert!(text.contains("event: access-lost"), "{token}: {text}");
    }
    // Another password ends every token of its user.
    let request = request(&server, &voided, Method::GET, &path).header("accept", "text/event-stream");
    let mut response = request.send().await.expect("an answer");
    assert_eq!(response.status(), 200);
    server.add_user("bob", Role::Publisher, "another hash").await;
    let reading = async {
        let mut text = String::new();
        while let Ok(Some(chunk)) = response.chunk().await {
            text += &String::from_utf8_lossy(&chunk);
        }
        text
    };
    let text = tokio::time::timeout(Duration::from_secs(10), reading).await.expect("it ends within seconds");
    assert!(text.contains("event: access-lost"), "{text}");
    let mut stays = stays.expect("it was kept");
    let more = tokio::time::timeout(Duration::from_millis(300), stays.chunk()).await;
    assert!(!matches!(more, Ok(Ok(None) | Err(_))), "whoever may read goes on: {more:?}");
}

#[tokio::test]
async fn a_user_follows_a_bounded_number_of_logs() {
    let server = Server::start().await;
    let (_, path) = running(&server, "bob").await;
    let follow = async |token: &str| {
        let request = request(&server, token, Method::GET, &path).header("accept", "text/event-stream");
        request.send().await.expect("an answer")
    };
    let mut followed = Vec::new();
    for _ in 0..32 {
        let response = follow("bob").await;
        assert_eq!(response.status(), StatusCode::OK);
        followed.push(response);
    }
    let refused = follow("bob").await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(follow("NBadmin").await.status(), StatusCode::OK, "others are not kept out");
    followed.pop();
    for _ in 0..200 {
        if follow("bob").await.status() == StatusCode::OK {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("a place that was given back stays taken");
}
