//! The html format: what clients get that do not ask for another.

use isochrone_store::ItemStore;

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

/// A browser: it has a page, and fills in the page's forms.
struct Browser<'a> {
    server: &'a Server,
    html: String,
}

impl Browser<'_> {
    async fn open(&mut self, path: &str) {
        let url = format!("http://{}{}", self.server.address, path.replace("&amp;", "&"));
        let answer = self.server.client.get(url).send().await.expect("an answer");
        self.html = answer.text().await.expect("text");
    }

    /// Follows the link with this text.
    async fn follow(&mut self, label: &str) {
        let (before, _) =
            self.html.split_once(&format!(">{label}</a>")).unwrap_or_else(|| panic!("{}", self.html));
        let href =
            before.rsplit("href=\"").next().and_then(|rest| rest.split('"').next()).expect("an address");
        let href = href.to_owned();
        self.open(&href).await;
    }

    /// Sends the form with this button, as a browser does: all its fields, the empty ones too.
    async fn send(&mut self, button: &str, filled: &[(&str, &str)]) {
        let (before, _) = self
            .html
            .split_once(&format!("<button>{button}</button>"))
            .unwrap_or_else(|| panic!("{}", self.html));
        let form = before.rsplit("<form ").next().expect("a form");
        let of = |tag: &str, name: &str| {
            let (_, rest) = tag.split_once(&format!("{name}=\""))?;
            rest.split('"').next().map(str::to_owned)
        };
        let mut fields: Vec<(String, String)> = Vec::new();
        for tag in form
            .split('<')
            .filter(|tag| ["input", "select", "textarea"].iter().any(|kind| tag.starts_with(kind)))
        {
            let name = of(tag, "name").expect("a name");
            let value =
                filled.iter().find(|(filled, _)| *filled == name).map(|(_, value)| (*value).to_owned());
            fields.push((name.clone(), value.unwrap_or_else(|| of(tag, " value").unwrap_or_default())));
        }
        for (name, _) in filled {
            assert!(fields.iter().any(|(field, _)| field == name), "no field {name} in {form}");
        }
        let action = of(form, "action").expect("an action");
        let url = format!("http://{}{action}", self.server.address);
        let request = match &*of(form, "method").expect("a method") {
            "get" => self.server.client.get(url).query(&fields),
            _ if form.contains("multipart/form-data") => {
                let mut parts = reqwest::multipart::Form::new();
                for (name, value) in fields {
                    let none = reqwest::multipart::Part::bytes(Vec::new()).file_name("");
                    parts = if name == "file" { parts.part(name, none) } else { parts.text(name, value) };
                }
                self.server.client.post(url).multipart(parts)
            }
            _ => self.server.client.post(url).form(&fields),
        };
        self.html = request.send().await.expect("an answer").text().await.expect("text");
    }
}

#[tokio::test]
async fn a_person_does_it_all_on_the_pages() {
    let server = Server::start().await;
    server
        .add_user(
            "alice",
            isochrone_domain::Role::Publisher,
            &isochrone_portal::passwords::Hasher::new(1).hash("pw").await,
        )
        .await;
    let mut browser = Browser { server: &server, html: String::new() };
    browser.open("/sharing/rest/community/users/alice/tasks").await;
    assert!(browser.html.contains("499"), "{}", browser.html);
    browser.send("Sign in", &[("username", "alice"), ("password", "pw")]).await;
    browser.follow("Continue").await;
    let token =
        browser.html.split("?token=").nth(1).and_then(|rest| rest.split('"').next()).expect("a token");
    let tasks = format!("/sharing/rest/community/users/alice/tasks?token={token}");
    browser.open(&tasks).await;
    let task = [
        ("type", "ExecuteNotebook"),
        ("title", "<b>chart</b>"),
        ("itemId", "0123456789abcdef0123456789abcdef"),
        ("minute", "0"),
        ("hour", "6"),
        ("dayOfMonth", "*"),
        ("month", "*"),
        ("dayOfWeek", "?"),
    ];
    browser.send("createTask", &task).await;
    browser.follow("Task").await;
    assert!(browser.html.contains("<h1>&lt;b&gt;chart&lt;/b&gt;</h1>"), "{}", browser.html);
    browser.send("update", &[("title", "table"), ("hour", "99")]).await;
    assert!(browser.html.contains("hour") && browser.html.contains("<h1>Error</h1>"), "{}", browser.html);
    browser.open(&tasks).await;
    browser.follow("&lt;b&gt;chart&lt;/b&gt;").await;
    browser.send("update", &[("title", "table")]).await;
    browser.follow("Task").await;
    browser.send("disable", &[]).await;
    browser.follow("Task").await;
    assert!(browser.html.contains("paused") && browser.html.contains("<h1>table</h1>"), "{}", browser.html);
    browser.send("run", &[]).await;
    browser.follow("Run").await;
    browser.send("cancel", &[]).await;
    browser.open(&tasks).await;
    browser.send("Show", &[("active", "true")]).await;
    assert!(!browser.html.contains(">table</a>"), "{}", browser.html);
    browser.send("Show", &[("active", "false")]).await;
    browser.follow("table").await;
    browser.send("delete", &[]).await;
    browser.open(&tasks).await;
    assert!(!browser.html.contains("table</a>"), "{}", browser.html);

    browser.open(&tasks.replace("community", "content").replace("/tasks", "")).await;
    browser.send("addItem", &[("title", "Notes"), ("type", "Notebook"), ("text", "{}")]).await;
    let items = server.store.items(Some("alice"), isochrone_store::Page { offset: 0, limit: 9 }).await;
    let item = &items.expect("a list").rows[0];
    assert_eq!(item.title, "Notes");
    let data = server.store.item_data(item.id).await.expect("a store");
    assert_eq!(data.as_deref(), Some(&b"{}"[..]), "a file that was not chosen is none");
}

#[tokio::test]
async fn forms_are_for_who_is_signed_in_and_lead_nowhere_else() {
    let server = Server::start().await;
    let (headers, html) = page(&server, "/community/users/bob/tasks").await;
    assert!(!html.contains("createTask</button>"), "a program's token is on no page: {html}");
    assert!(headers["content-security-policy"].to_str().expect("text").contains("form-action 'self'"));
    let url = server.url("/community/users/bob/tasks?token=bob");
    let answer = server.client.get(url).send().await.expect("an answer");
    let policy = answer.headers()["content-security-policy"].to_str().expect("text").to_owned();
    assert!(policy.contains("form-action 'self';") && !policy.contains("script-src"), "{policy}");
    let html = answer.text().await.expect("text");
    assert!(html.contains("<input type=\"hidden\" name=\"token\" value=\"bob\">"), "{html}");
    assert!(!html.contains("action=\"http"), "{html}");
}
