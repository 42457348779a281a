//! Items: added, changed, found, deleted.

use std::fmt::Write;

use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use crate::server::{Server, error};

const OF_BOB: &str = "/content/users/bob";

async fn upload(
    server: &Server,
    token: &str,
    path: &str,
    fields: &[(&str, &str)],
    file: Option<Vec<u8>>,
) -> Value {
    let mut form = Form::new().text("f", "json");
    for (name, value) in fields {
        form = form.text((*name).to_owned(), (*value).to_owned());
    }
    if let Some(file) = file {
        form = form.part("file", Part::bytes(file).file_name("chart.ipynb"));
    }
    let request = server.client.post(server.url(path)).bearer_auth(token).multipart(form);
    let text = request.send().await.expect("an answer").text().await.expect("text");
    serde_json::from_str(&text).expect("json")
}

async fn data(server: &Server, token: &str, id: &str) -> Vec<u8> {
    let request = server.client.get(server.url(&format!("/content/items/{id}/data"))).bearer_auth(token);
    request.send().await.expect("an answer").bytes().await.expect("bytes").to_vec()
}

fn id(answer: &Value) -> String {
    assert_eq!(answer["success"], true, "{answer}");
    answer["id"].as_str().expect("an id").to_owned()
}

const CHART: [(&str, &str); 5] = [
    ("type", "Notebook"),
    ("title", "Chart \u{e9}"),
    ("tags", "rain, wind,,"),
    ("snippet", "one sentence"),
    ("typeKeywords", ""),
];

#[tokio::test]
async fn an_item_lives_its_life() {
    let server = Server::start().await;
    let bytes: Vec<u8> = (0..=255).cycle().take(20 << 20).collect();
    let added = upload(&server, "bob", &format!("{OF_BOB}/addItem"), &CHART, Some(bytes.clone())).await;
    assert_eq!(added["folder"], "", "{added}");
    let id = id(&added);
    let shown = server.get("bob", &format!("/content/items/{id}")).await;
    assert_eq!((&shown["title"], &shown["tags"]), (&json!("Chart \u{e9}"), &json!(["rain", "wind"])));
    assert_eq!((&shown["size"], &shown["owner"]), (&json!(bytes.len()), &json!("bob")));
    assert_eq!((&shown["snippet"], &shown["access"]), (&json!("one sentence"), &json!("private")));
    assert!(data(&server, "bob", &id).await == bytes, "byte for byte");
    // Metadata alone leaves the data; and the other way round.
    let update = format!("{OF_BOB}/items/{id}/update");
    server.post("bob", &update, &[("title", "Other"), ("access", "org"), ("tags", "")]).await;
    assert_eq!(data(&server, "carol", &id).await.len(), bytes.len());
    let again = upload(&server, "bob", &update, &[], Some(b"{}".to_vec())).await;
    assert_eq!(again["itemId"], json!(id));
    let shown = server.get("carol", &format!("/content/items/{id}")).await;
    assert_eq!(
        (&shown["title"], &shown["size"], &shown["tags"]),
        (&json!("Other"), &json!(2), &json!(["rain", "wind"]))
    );
    let listed = server.get("bob", OF_BOB).await;
    assert_eq!((&listed["total"], &listed["items"][0]["id"]), (&json!(1), &json!(id)));
    let own = server.get("bob", &format!("{OF_BOB}/items/{id}")).await;
    assert_eq!((&own["item"]["id"], &own["sharing"]["access"]), (&json!(id), &json!("org")));
    assert_eq!(server.get("bob", &format!("{OF_BOB}/items/{id}/status")).await["status"], "completed");
    let delete = format!("{OF_BOB}/items/{id}/delete");
    assert_eq!(error(&server.get("bob", &delete).await).0, 405);
    assert_eq!(server.post("bob", &delete, &[]).await["success"], true);
    assert_eq!(error(&server.post("bob", &delete, &[]).await).0, 400);
    assert_eq!(error(&server.get("bob", &format!("/content/items/{id}")).await).0, 400);
}

#[tokio::test]
async fn a_big_file_comes_in_parts_in_any_order() {
    let server = Server::start().await;
    let fields = [&CHART[..], &[("multipart", "true"), ("fileName", "chart.ipynb")]].concat();
    let id = id(&upload(&server, "bob", &format!("{OF_BOB}/0123/addItem"), &fields, None).await);
    let at = format!("{OF_BOB}/items/{id}");
    for (number, part) in [("10", "c"), ("2", "b"), ("1", "a")] {
        let query = format!("{at}/addPart?partNum={number}&streamdata=True&size=1");
        let added = upload(&server, "bob", &query, &[], Some(part.as_bytes().to_vec())).await;
        assert_eq!(added["success"], true, "{added}");
    }
    let committed = server.post("bob", &format!("{at}/commit"), &[("id", &id), ("async", "True")]).await;
    assert_eq!(committed["itemId"], json!(id), "{committed}");
    assert_eq!(data(&server, "bob", &id).await, b"abc");
    server.post("bob", &format!("{at}/commit"), &[]).await;
    assert_eq!(data(&server, "bob", &id).await, b"abc", "a second commit loses nothing");
    for (query, names) in [("", "'partNum'"), ("?partNum=0", "'partNum'"), ("?partNum=1", "'file'")] {
        let refused = upload(&server, "bob", &format!("{at}/addPart{query}"), &[("x", "y")], None).await;
        assert!(error(&refused).1.contains(names), "{refused}");
    }
}

#[tokio::test]
async fn only_who_may_adds_and_changes() {
    let server = Server::start().await;
    let add = format!("{OF_BOB}/addItem");
    for (token, code) in [("carol", 403), ("nobody", 498)] {
        assert_eq!(error(&upload(&server, token, &add, &CHART, Some(vec![0; 10])).await).0, code, "{token}");
    }
    let of_victor = "/content/users/victor/addItem";
    assert_eq!(error(&upload(&server, "victor", of_victor, &CHART, None).await).0, 403, "a viewer");
    // What is too large for others is not even read.
    let large = upload(&server, "victor", of_victor, &CHART, Some(vec![0; 3 << 20])).await;
    assert_eq!(error(&large).0, 413);
    let elsewhere =
        upload(&server, "bob", "/community/users/bob/createTask", &[], Some(vec![0; 3 << 20])).await;
    assert_eq!(error(&elsewhere).0, 413);
    for (fields, names) in [
        (&[("title", "a")][..], "'type'"),
        (&[("type", "Notebook")], "'title'"),
        (&[("type", "Notebook"), ("title", "a"), ("access", "all")], "'access'"),
        (&[("type", "Notebook"), ("title", &"a".repeat(2_000))], "'title'"),
    ] {
        let refused = upload(&server, "bob", &add, fields, None).await;
        assert!(error(&refused).1.contains(names), "{refused}");
    }
    assert_eq!(server.get("bob", OF_BOB).await["total"], 0, "nothing was kept");
    let id = id(&upload(&server, "GPadmin", &add, &CHART, Some(Vec::new())).await);
    assert_eq!(server.get("bob", &format!("/content/items/{id}")).await["owner"], "bob");
    assert_eq!(error(&server.get("carol", &format!("/content/items/{id}")).await).0, 400);
    assert_eq!(error(&server.post("carol", &format!("{OF_BOB}/items/{id}/update"), &[]).await).0, 403);
    let foreign = server.post("carol", &format!("/content/users/carol/items/{id}/delete"), &[]).await;
    assert_eq!(error(&foreign).0, 400, "it is not carol's");
}

#[tokio::test]
async fn a_search_finds_what_its_caller_may_read() {
    let server = Server::start().await;
    for n in 0..12 {
        let mut title = String::new();
        let _ = write!(title, "Rain {n}");
        let access = if n % 2 == 0 { "org" } else { "private" };
        let fields = [("type", "Notebook"), ("title", &*title), ("access", access)];
        id(&upload(&server, "bob", &format!("{OF_BOB}/addItem"), &fields, None).await);
    }
    let found = server.get("bob", "/search?q=rain%20AND%20type:%22Notebook%22&num=5").await;
    assert_eq!((&found["total"], &found["nextStart"]), (&json!(12), &json!(6)), "{found}");
    assert_eq!(found["results"][0]["title"], "Rain 11", "the newest first");
    assert_eq!(server.post("carol", "/search", &[("q", "owner:bob"), ("start", "4")]).await["total"], 6);
    assert_eq!(server.get("carol", "/search?q=snow").await["results"], json!([]));
    let odd = server.get("bob", "/search?q=(rain").await;
    assert!(error(&odd).1.contains("'q'"), "{odd}");
}

/// What lies in the artifact store on its way to items; waits until it is so many objects.
async fn until_uploads_are(server: &Server, count: usize) {
    use futures::TryStreamExt;
    use object_store::ObjectStore;
    let mut found = Vec::new();
    for _ in 0..200 {
        let listed = server.artifacts.list(Some(&object_store::path::Path::from("uploads")));
        found = listed.try_collect::<Vec<_>>().await.expect("a list");
        if found.len() == count {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    panic!("{found:?} instead of {count}");
}

#[tokio::test]
async fn large_files_go_through_the_artifact_store_and_leave_nothing_there() {
    let server = Server::start().await;
    let bytes: Vec<u8> = (0..5_000_000_u32).map(|number| (number % 251) as u8).collect();
    let id = id(&upload(&server, "bob", &format!("{OF_BOB}/addItem"), &CHART, Some(bytes.clone())).await);
    assert!(data(&server, "bob", &id).await == bytes, "byte for byte");
    until_uploads_are(&server, 0).await;
    let at = format!("{OF_BOB}/items/{id}");
    for (number, half) in bytes.chunks(2_500_000).enumerate() {
        let query = format!("{at}/addPart?partNum={}", number + 1);
        let added = upload(&server, "bob", &query, &[], Some(half.to_vec())).await;
        assert_eq!(added["success"], true, "{added}");
        // The same again takes the place of the first.
        upload(&server, "bob", &query, &[], Some(half.to_vec())).await;
    }
    until_uploads_are(&server, 6).await;
    server.post("bob", &format!("{at}/commit"), &[]).await;
    assert!(data(&server, "bob", &id).await == bytes, "byte for byte");
    until_uploads_are(&server, 0).await;

    // A client that goes away in the middle.
    let head = format!(
        "POST /sharing/rest{OF_BOB}/addItem HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer bob\r\n\
         Content-Type: multipart/form-data; boundary=B\r\nContent-Length: 6000000\r\n\r\n\
         --B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n"
    );
    let mut stream = tokio::net::TcpStream::connect(server.address).await.expect("a connection");
    let half = [head.as_bytes(), &bytes].concat();
    tokio::io::AsyncWriteExt::write_all(&mut stream, &half).await.expect("sent");
    until_uploads_are(&server, 4).await;
    drop(stream);
    until_uploads_are(&server, 0).await;
}

#[tokio::test]
async fn items_and_uploads_have_quotas() {
    use isochrone_portal::{Config, ItemQuota, ItemQuotas};
    let item_quotas = ItemQuotas {
        per_user: ItemQuota { items: Some(2), bytes: Some(1_000) },
        all: ItemQuota { items: Some(3), bytes: None },
    };
    let server = Server::with(Config { item_quotas, ..Config::default() }).await;
    let add = async |user: &str, size: usize| {
        let path = format!("/content/users/{user}/addItem");
        upload(&server, user, &path, &CHART, Some(vec![b'x'; size])).await
    };
    let refused = |answer: &Value, why: &str| {
        let (code, message, details) = error(answer);
        assert_eq!((code, message.as_str()), (400, "Storage quota exceeded."), "{answer}");
        assert!(details.contains(why), "{details}");
    };
    let first = id(&add("bob", 600).await);
    refused(&add("bob", 500).await, "1000 bytes");
    let second = id(&add("bob", 100).await);
    refused(&add("bob", 0).await, "2 at most");
    id(&add("carol", 1_000).await);
    refused(&add("GPadmin", 0).await, "All users' items together may be 3");
    // Parts count before they are committed.
    let part = format!("{OF_BOB}/items/{second}/addPart?partNum=1");
    assert_eq!(upload(&server, "bob", &part, &[], Some(vec![b'x'; 300])).await["success"], true);
    refused(&upload(&server, "bob", &format!("{part}0"), &[], Some(vec![b'x'; 1])).await, "1000 are in use");
    let update = format!("{OF_BOB}/items/{first}/update");
    refused(&upload(&server, "bob", &update, &[], Some(vec![b'x'; 601])).await, "this is 1 more");
    assert_eq!(upload(&server, "bob", &update, &[], Some(vec![b'x'; 10])).await["success"], true);
    assert_eq!(server.post("bob", &format!("{OF_BOB}/items/{second}/commit"), &[]).await["success"], true);
    assert_eq!(server.post("bob", &format!("{OF_BOB}/items/{first}/delete"), &[]).await["success"], true);
    id(&add("bob", 700).await);
    // A user is told of both, parts that wait included.
    for path in ["/community/self", "/community/users/bob"] {
        let user = server.get("bob", path).await;
        assert_eq!((&user["storageUsage"], &user["storageQuota"]), (&json!(1_000), &json!(1_000)), "{user}");
    }
}
