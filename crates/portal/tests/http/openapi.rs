//! The description of the APIs, and its page.

use serde_json::Value;

use crate::server::Server;

/// What is in the repository, for people who read it there.
const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");

async fn described(server: &Server, context: &str) -> Value {
    let url = format!("http://{}{context}/openapi.json", server.address);
    server.client.get(url).send().await.expect("an answer").json().await.expect("json")
}

#[tokio::test]
async fn the_description_is_the_one_in_the_repository() {
    let server = Server::start().await;
    let served = serde_json::to_string_pretty(&described(&server, "").await).expect("json") + "\n";
    if std::env::var_os("ISOCHRONE_WRITE_OPENAPI").is_some() {
        std::fs::write(KEPT, &served).expect("written");
    }
    let kept = std::fs::read_to_string(KEPT).expect("it is in the repository");
    let differs = kept.lines().zip(served.lines()).enumerate().find(|(_, (kept, served))| kept != served);
    assert!(
        differs.is_none() && kept.len() == served.len(),
        "docs/openapi.json is not what the code says; from {differs:?} on. ISOCHRONE_WRITE_OPENAPI=1 writes it."
    );
}

#[tokio::test]
async fn every_reference_leads_somewhere() {
    let server = Server::start().await;
    let document = described(&server, "/portal").await;
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["servers"][0]["url"], "/portal");
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(references.len() > 50);
    for reference in references {
        let pointer = reference.strip_prefix('#').expect("within the document");
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

fn collect<'a>(value: &'a Value, references: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            references.extend(fields.get("$ref").and_then(Value::as_str));
            fields.values().for_each(|value| collect(value, references));
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, references)),
        _ => {}
    }
}

#[tokio::test]
async fn the_page_loads_nothing_from_elsewhere() {
    let server = Server::start().await;
    for context in ["", "/portal"] {
        let url = format!("http://{}{context}/openapi", server.address);
        let answer = server.client.get(&url).send().await.expect("an answer");
        let policy = answer.headers()["content-security-policy"].to_str().expect("text").to_owned();
        assert!(policy.contains("script-src 'self';") && !policy.contains("unsafe"), "{policy}");
        let page = answer.text().await.expect("text");
        assert!(!page.contains("http://") && !page.contains("https://"), "{page}");
        for (part, media) in [("openapi.js", "text/javascript"), ("openapi.css", "text/css")] {
            assert!(page.contains(&format!("\"{part}\"")), "{page}");
            let part = server.client.get(format!("http://{}{context}/{part}", server.address));
            let part = part.send().await.expect("an answer");
            assert!(part.headers()["content-type"].to_str().expect("text").starts_with(media));
        }
    }
}
