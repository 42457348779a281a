//! Runs: asked for, read, cancelled, tried again; their logs and artifacts. And items.

use std::time::Duration;

use isochrone_domain::{
    Access, Action, Artifact, AttemptEnd, AuditEntry, Claimant, EpochMillis, Item, ItemDetails, ItemId,
    ItemVersion, LogLine, LogStream, RunId, UnknownFields,
};
use isochrone_portal::Config;
use isochrone_store::{Claim, Finished, ItemStore, RunStore};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use serde_json::json;

use crate::server::{Server, error, hourly};

/// A task with a run that a person asked for: the path of its runs, and the run's id.
async fn with_run(server: &Server) -> (String, String) {
    let task = server.create("bob", &hourly(&[("title", "chart")])).await;
    let path = format!("/community/users/bob/tasks/{task}");
    let asked = server.post("bob", &format!("{path}/run"), &[]).await;
    assert_eq!((&asked["success"], &asked["taskId"]), (&json!(true), &json!(task)), "{asked}");
    (format!("{path}/runs"), asked["runId"].as_str().expect("an id").to_owned())
}

/// Does what a worker does: claims the run, logs two lines, leaves an artifact, succeeds.
async fn work(server: &Server, run: &str) {
    let id: RunId = run.parse().expect("an id");
    let claim =
        server.store.claim(id, &Claimant::new("worker"), Duration::from_secs(15)).await.expect("an answer");
    let Claim::Granted(claimed) = claim else { panic!("{claim:?}") };
    let fence = claimed.run.fence();
    let line =
        |text: &str| LogLine { at: EpochMillis(1_000), stream: LogStream::Stdout, text: text.to_owned() };
    let lines = [line("<b>first</b>"), line("second")];
    let kept = server.store.append_log(id, fence, 0, &lines).await.expect("an answer");
    assert!(matches!(kept, Finished::Kept(_)));
    let location = Path::from(format!("runs/{run}/1/chart.html"));
    server.artifacts.put(&location, "<script>alert(1)</script>".into()).await.expect("kept");
    let artifact = Artifact {
        name: "chart \u{e9}.html".to_owned(),
        content_type: "text/html".to_owned(),
        size: 25,
        location: location.to_string(),
    };
    let location = Path::from(format!("runs/{run}/1/file-0"));
    server.artifacts.put(&location, "1,2".into()).await.expect("kept");
    let below = Artifact {
        name: NAME_WITH_FOLDERS.to_owned(),
        content_type: "text/csv; charset=utf-8".to_owned(),
        size: 3,
        location: location.to_string(),
    };
    let end = AttemptEnd::Succeeded { result: "All cells ran.".to_owned() };
    let kept = server.store.finish(id, fence, end, vec![artifact, below]).await.expect("an answer");
    assert!(matches!(kept, Finished::Kept(_)));
}

/// As a notebook may call what it leaves.
const NAME_WITH_FOLDERS: &str = "out/100% of #1 & \"more\"?/gr\u{f6}\u{df}e;x=\\1.csv";

#[tokio::test]
async fn a_run_is_asked_for_and_read() {
    let server = Server::start().await;
    let (runs, run) = with_run(&server).await;
    let queued = server.get("bob", &format!("{runs}/{run}")).await;
    assert_eq!(
        (&queued["status"], &queued["result"], &queued["reason"]),
        (&json!("scheduled"), &json!(""), &json!("requested"))
    );
    assert_eq!(queued["requestedBy"], "bob");
    assert_eq!(queued["task"]["title"], "chart");
    assert_eq!(queued["url"], server.url(&format!("{runs}/{run}")));

    work(&server, &run).await;
    let done = server.get("bob", &format!("{runs}/{run}")).await;
    assert_eq!(
        (&done["status"], &done["result"], &done["reason"]),
        (&json!("succeeded"), &json!("All cells ran."), &json!("done"))
    );
    assert_eq!(done["attempt"], 1);
    assert!(done["startTime"].is_i64() && done["endTime"].is_i64() && done["planned"].is_i64(), "{done}");
    assert!(done.get("error").is_none());
}

#[tokio::test]
async fn logs_and_artifacts_are_fetched() {
    let server = Server::start().await;
    let (runs, run) = with_run(&server).await;
    work(&server, &run).await;
    let log = server.get("bob", &format!("{runs}/{run}/log")).await;
    assert_eq!(log["total"], 2);
    assert_eq!(log["lines"][0], json!({"time": 1_000, "stream": "stdout", "text": "<b>first</b>"}));
    let rest = server.get("bob", &format!("{runs}/{run}/log?start=2&num=1")).await;
    assert_eq!(rest["lines"].as_array().expect("a list").len(), 1);

    let shown = server.get("bob", &format!("{runs}/{run}")).await;
    let url = shown["artifacts"][0]["url"].as_str().expect("a URL");
    let response = server.client.get(url).bearer_auth("bob").send().await.expect("an answer");
    let header = |name| response.headers()[name].to_str().expect("text").to_owned();
    assert_eq!(header("content-disposition"), "attachment; filename*=UTF-8''chart%20%C3%A9%2Ehtml");
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert_eq!(header("content-security-policy"), "sandbox; default-src 'none'");
    assert_eq!(response.text().await.expect("text"), "<script>alert(1)</script>");

    // A browser has no header for its token: the run's page links the artifact with it.
    let page = server.client.get(server.url(&format!("{runs}/{run}?token=bob"))).send().await;
    let page = page.expect("an answer").text().await.expect("text");
    let end = page.find("\">chart \u{e9}.html</a>").unwrap_or_else(|| panic!("no link: {page}"));
    let begin = page[..end].rfind("href=\"").expect("an href") + 6;
    let linked = format!("http://{}{}", server.address, &page[begin..end]);
    let linked = server.client.get(linked).send().await.expect("an answer");
    assert_eq!(linked.text().await.expect("text"), "<script>alert(1)</script>");

    // A name with folders is found with its slashes encoded or not.
    assert_eq!(shown["artifacts"][1]["name"], NAME_WITH_FOLDERS);
    let below = shown["artifacts"][1]["url"].as_str().expect("a URL");
    assert!(below.contains("/artifacts/out%2F100%25"), "{below}");
    for url in [below.to_owned(), below.replace("%2F", "/")] {
        let response = server.client.get(&url).bearer_auth("bob").send().await.expect("an answer");
        let disposition = response.headers()["content-disposition"].to_str().expect("text").to_owned();
        assert_eq!(disposition, "attachment; filename*=UTF-8''gr%C3%B6%C3%9Fe%3Bx%3D%5C1%2Ecsv");
        assert_eq!(response.text().await.expect("text"), "1,2", "{url}");
    }

    let foreign = server.client.get(url).bearer_auth("carol").query(&[("f", "json")]).send().await;
    assert!(foreign.expect("an answer").text().await.expect("text").contains("\"code\":403"));
    for name in ["nothing", "..%2F..%2Fchart.html", "%00", "out", "out/", "file-0", "out%2F..%2Fchart.html"] {
        let answer = server.get("bob", &format!("{runs}/{run}/artifacts/{name}")).await;
        assert!(matches!(error(&answer).0, 400 | 404), "{name}: {answer}");
    }
}

#[tokio::test]
async fn behind_a_proxy_all_urls_are_the_public_ones() {
    let public = "https://gis.example/apps/time";
    let behind = Config { public_url: Some(format!("{public}/")), ..Config::default() };
    let server = Server::with(behind).await;
    let (runs, run) = with_run(&server).await;
    work(&server, &run).await;
    let rest = format!("{public}/sharing/rest");
    let url = format!("{rest}{runs}/{run}");
    // The proxy may take its path off or put the context there: the answers are the same.
    for context in ["", "/portal"] {
        let ask = async |path: &str| {
            let asked = format!("http://{}{context}/sharing/rest{path}", server.address);
            let answer = server.client.get(asked).bearer_auth("bob").send().await.expect("an answer");
            answer.text().await.expect("text")
        };
        let read = async |path: &str| -> serde_json::Value {
            let text = ask(&format!("{path}?f=json")).await;
            assert!(!text.contains("http://"), "{text}");
            serde_json::from_str(&text).expect("json")
        };
        let info = read("/info").await;
        assert_eq!(info["owningSystemUrl"], public);
        assert_eq!(info["authInfo"]["tokenServicesUrl"], format!("{rest}/generateToken"));
        let portal = read("/portals/self").await;
        assert_eq!((&portal["portalHostname"], &portal["allSSL"]), (&json!(&public[8..]), &json!(true)));
        assert_eq!(read(&runs).await["runs"][0]["url"], url);
        let shown = read(&format!("{runs}/{run}")).await;
        assert_eq!(shown["url"], url);
        assert_eq!(shown["artifacts"][0]["url"], format!("{url}/artifacts/chart%20%C3%A9%2Ehtml"));

        let page = ask(&format!("{runs}/{run}")).await;
        assert!(page.matches("href=\"").count() > 3 && !page.contains("http://"), "{page}");
        for link in page.split("href=\"").skip(1) {
            assert!(link.starts_with("/apps/time/sharing/rest"), "{link}");
        }
        let form = ask("/generateToken").await;
        assert!(form.contains("action=\"/apps/time/sharing/rest/generateToken\""), "{form}");
    }
}

#[tokio::test]
async fn the_last_thirty_runs_the_newest_first() {
    let server = Server::start().await;
    let (runs, first) = with_run(&server).await;
    let task = runs.trim_end_matches("/runs").to_owned();
    let mut asked = vec![first];
    for _ in 0..31 {
        let answer = server.post("bob", &format!("{task}/run"), &[]).await;
        asked.push(answer["runId"].as_str().expect("an id").to_owned());
    }
    let list = server.get("bob", &runs).await;
    let listed = list["runs"].as_array().expect("a list");
    assert_eq!((listed.len(), &list["total"], &list["nextStart"]), (30, &json!(32), &json!(31)));
    let planned: Vec<_> = listed.iter().map(|run| run["planned"].as_i64().expect("a moment")).collect();
    assert!(planned.is_sorted_by(|a, b| a >= b), "{planned:?}");
    let rest = server.get("bob", &format!("{runs}?start=31&num=30")).await;
    let mut seen: Vec<_> = [&list, &rest]
        .iter()
        .flat_map(|list| list["runs"].as_array().expect("a list"))
        .map(|run| run["runId"].as_str().expect("an id").to_owned())
        .collect();
    seen.sort();
    asked.sort();
    assert_eq!(seen, asked);
}

#[tokio::test]
async fn the_same_request_id_makes_the_same_run() {
    let server = Server::start().await;
    let (runs, _) = with_run(&server).await;
    let task = runs.trim_end_matches("/runs").to_owned();
    let id = "0123456789abcdef0123456789abcdef";
    let first = server.post("bob", &format!("{task}/run"), &[("requestId", id)]).await;
    let again = server.post("bob", &format!("{task}/run"), &[("requestId", id)]).await;
    assert_eq!(first["runId"], again["runId"]);
    assert_eq!(server.get("bob", &runs).await["total"], 2);
    let bad = server.post("bob", &format!("{task}/run"), &[("requestId", "x")]).await;
    assert!(error(&bad).1.contains("'requestId'"));
}

#[tokio::test]
async fn cancel_and_retry() {
    let server = Server::start().await;
    let (runs, run) = with_run(&server).await;
    let answer = server.post("bob", &format!("{runs}/{run}/cancel"), &[]).await;
    assert_eq!(answer["success"], true, "{answer}");
    let cancelled = server.get("bob", &format!("{runs}/{run}")).await;
    assert_eq!((&cancelled["status"], &cancelled["reason"]), (&json!("skipped"), &json!("cancelled")));
    let again = server.post("bob", &format!("{runs}/{run}/cancel"), &[]).await;
    assert_eq!(error(&again).0, 409, "{again}");
    let foreign = server.post("carol", &format!("{runs}/{run}/retry"), &[]).await;
    assert_eq!(error(&foreign).0, 403);
    assert_eq!(error(&server.get("bob", &format!("{runs}/{run}/retry")).await).0, 405);

    let (runs, run) = with_run(&server).await;
    work(&server, &run).await;
    let retried = server.post("bob", &format!("{runs}/{run}/retry"), &[]).await;
    assert_eq!((&retried["success"], &retried["runId"]), (&json!(true), &json!(run)), "{retried}");
    assert_eq!(server.get("bob", &format!("{runs}/{run}")).await["status"], "scheduled");
    let missing = server.get("bob", &format!("{runs}/{}", "0".repeat(32))).await;
    assert_eq!(error(&missing).1, "Run does not exist or is inaccessible.");
}

#[tokio::test]
async fn a_run_is_updated_and_deleted() {
    let server = Server::start().await;
    let (runs, run) = with_run(&server).await;
    let (update, delete) = (format!("{runs}/{run}/update"), format!("{runs}/{run}/delete"));
    // While it has not ended: what it says, and what clients send back as they read it.
    let answer = server.post("bob", &update, &[("status", "scheduled"), ("result", "soon")]).await;
    assert_eq!((&answer["success"], &answer["runId"]), (&json!(true), &json!(run)), "{answer}");
    assert_eq!(server.get("bob", &format!("{runs}/{run}")).await["result"], "soon");
    assert_eq!(error(&server.post("bob", &update, &[("status", "failed")]).await).0, 409);
    assert_eq!(error(&server.post("bob", &delete, &[]).await).0, 409);
    work(&server, &run).await;
    for (form, names) in [
        (vec![("status", "scheduled")], "'status'"),
        (vec![("status", "cancelled")], "'status'"),
        (vec![], "'status'"),
    ] {
        let refused = server.post("bob", &update, &form).await;
        assert!(error(&refused).1.contains(names), "{form:?}: {refused}");
    }
    let answer = server.post("bob", &update, &[("status", "FAILED"), ("results", "looked at")]).await;
    assert_eq!(answer["success"], true, "{answer}");
    let shown = server.get("bob", &format!("{runs}/{run}")).await;
    assert_eq!((&shown["status"], &shown["reason"]), (&json!("failed"), &json!("amended")), "{shown}");
    assert_eq!(shown["result"], "looked at");
    assert_eq!(error(&server.post("carol", &update, &[("status", "failed")]).await).0, 403);
    assert_eq!(error(&server.post("carol", &delete, &[]).await).0, 403);
    assert_eq!(error(&server.get("bob", &delete).await).0, 405);
    assert_eq!(server.post("bob", &delete, &[]).await["success"], true);
    assert_eq!(error(&server.get("bob", &format!("{runs}/{run}")).await).0, 400);
    assert_eq!(error(&server.post("bob", &delete, &[]).await).0, 400);
    assert_eq!(server.get("bob", &runs).await["runs"], json!([]));
}

#[tokio::test]
async fn items_are_their_owners() {
    let server = Server::start().await;
    let item = Item {
        id: ItemId::from_bytes([7; 16]),
        owner: "bob".to_owned(),
        access: Access::Private,
        title: "chart".to_owned(),
        kind: "Notebook".to_owned(),
        size: 2,
        created: EpochMillis(1_000),
        modified: EpochMillis(1_000),
        content: ItemVersion::default(),
        details: ItemDetails::default(),
        version: 0,
        unknown: UnknownFields::NONE,
    };
    let audit = AuditEntry {
        at: EpochMillis(1_000),
        actor: "bob".to_owned(),
        ip: None,
        action: Action::AddItem,
        task: None,
        run: None,
        item: Some(item.id),
        title: item.title.clone(),
        owner: item.owner.clone(),
    };
    let kept = server.store.put_item(&item, Some(b"{}".to_vec().into()), audit).await.expect("a store");
    assert_eq!(kept, isochrone_store::Saved::Done);
    let path = format!("/content/items/{}", item.id);
    let shown = server.get("bob", &path).await;
    assert_eq!(
        (&shown["type"], &shown["owner"], &shown["size"]),
        (&json!("Notebook"), &json!("bob"), &json!(2))
    );
    let data = server.client.get(server.url(&format!("{path}/data"))).bearer_auth("NBadmin");
    assert_eq!(data.send().await.expect("an answer").text().await.expect("text"), "{}");
    for (user, path) in [("carol", path.as_str()), ("bob", "/content/items/1")] {
        let answer = server.get(user, path).await;
        assert_eq!(error(&answer).1, "Item does not exist or is inaccessible.");
        assert_eq!(answer["error"]["messageCode"], "CONT_0001");
    }
}
