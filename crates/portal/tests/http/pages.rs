//! The html format: what clients get that do not ask for another.

use crate::server::{Server, hourly};

async fn page(server: &Server, path: &str) -> (reqwest::header::HeaderMap, String) {
    let request = server.client.get(server.url(path)).bearer_auth("bob").header("Accept", "text/html");
    let response = request.send().await.expect("an answer");
    assert_eq!(response.status(), 200);
    let headers = response.headers().clone();
    assert_eq!(headers["content-type"], "text/html;charset=utf-8");
    (headers, response.text().await.expect("text"))
}

#[tokio::test]
async fn titles_and_parameters_are_shown_and_never_run() {
    let server = Server::start().await;
    let title = "<script>alert(1)</script>\"'&\u{202e}evil";
    let parameters = r#"{"</td><script>x</script>": "<img src=x onerror='alert(1)'>"}"#;
    let id = server.create("bob", &hourly(&[("title", title), ("parameters", parameters)])).await;
    let run = server.post("bob", &format!("/community/users/bob/tasks/{id}/run"), &[]).await;
    let run = run["runId"].as_str().expect("an id");
    for path in ["", &format!("/{id}"), &format!("/{id}/runs"), &format!("/{id}/runs/{run}")] {
        let (headers, html) = page(&server, &format!("/community/users/bob/tasks{path}")).await;
        assert!(!html.contains("<script") && !html.contains("<img"), "{html}");
        assert!(!html.contains('\u{202e}'), "{html}");
        if !path.ends_with("runs") {
            assert!(
                html.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;[U+202E]evil"),
                "{html}"
            );
            assert!(html.contains("&lt;img src=x onerror=&#39;alert(1)&#39;&gt;"), "{html}");
        }
        let policy = headers["content-security-policy"].to_str().expect("text");
        let nonce = policy.split("'nonce-").nth(1).and_then(|rest| rest.split('\'').next()).expect("a nonce");
        assert!(policy.starts_with("default-src 'none'; style-src 'nonce-"), "{policy}");
        assert!(!policy.contains("script-src") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(html.contains(&format!("<style nonce=\"{nonce}\">")));
        assert_eq!(headers["cache-control"], "no-store");
        assert_eq!(headers["referrer-policy"], "no-referrer");
    }
}

#[tokio::test]
async fn pages_lead_up_and_down() {
    let server = Server::start().await;
    let id = server.create("bob", &hourly(&[("title", "chart")])).await;
    let (_, html) = page(&server, &format!("/community/users/bob/tasks/{id}")).await;
    for link in [
        "<a href=\"/sharing/rest\">REST</a>".to_owned(),
        "<a href=\"/sharing/rest/community/users/bob\">bob</a>".to_owned(),
        "<a href=\"/sharing/rest/community/users/bob/tasks\">tasks</a>".to_owned(),
        format!("<a href=\"/sharing/rest/community/users/bob/tasks/{id}/runs\">Runs</a>"),
    ] {
        assert!(html.contains(&link), "{link} in {html}");
        let target = link.split('"').nth(1).expect("a link").trim_start_matches("/sharing/rest");
        let (_, next) = page(&server, target).await;
        assert!(!next.contains("<h1>Error</h1>"), "{next}");
    }
}

#[tokio::test]
async fn errors_are_pages_too_and_repeat_nothing_secret() {
    let server = Server::start().await;
    let (_, html) = page(&server, "/%3Cscript%3E?x=%3Cscript%3E").await;
    assert!(html.contains("<h1>Error</h1>") && html.contains("404"), "{html}");
    assert!(!html.contains("<script"), "{html}");
    let secret = "very-secret-token";
    let url = server.url(&format!("/community/self?token={secret}"));
    let html = server.client.get(url).send().await.expect("an answer").text().await.expect("text");
    assert!(html.contains("498") && !html.contains(secret) && !html.contains("secret%2Dtoken"), "{html}");
    // A token of a header belongs to a program: no link shows it.
    let url = server.url("/community/users/bob?token=");
    let html = server.client.get(url).bearer_auth("bob").send().await.expect("an answer");
    let html = html.text().await.expect("text");
    assert!(html.contains("<h1>bob</h1>") && !html.contains("?token="), "{html}");
}
