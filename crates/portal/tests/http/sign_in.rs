//! Tokens: how they are got and when they are good.

use std::time::Duration;

use isochrone_domain::Role;
use isochrone_portal::{Config, passwords};
use isochrone_store::TokenBinding;
use serde_json::Value;

use crate::server::{Server, error, hourly};

const SELF: &str = "/community/self";

async fn with_alice() -> Server {
    let server = Server::start().await;
    server.add_user("alice", Role::Publisher, &passwords::Hasher::new(1).hash("correct horse").await).await;
    server
}

async fn generate(server: &Server, form: &[(&str, &str)]) -> Value {
    let form: Vec<_> = [form, &[("f", "json")]].concat();
    let request = server.client.post(server.url("/generateToken")).form(&form);
    let text = request.send().await.expect("an answer").text().await.expect("text");
    serde_json::from_str(&text).expect("json")
}

async fn ask(
    server: &Server,
    change: impl FnOnce(reqwest::RequestBuilder) -> reqwest::RequestBuilder,
) -> Value {
    let request = change(server.client.get(server.url(&format!("{SELF}?f=json"))));
    let text = request.send().await.expect("an answer").text().await.expect("text");
    serde_json::from_str(&text).expect("json")
}

#[tokio::test]
async fn a_token_for_a_referer_holds_with_that_referer_only() {
    let server = with_alice().await;
    let given = generate(
        &server,
        &[("username", "Alice"), ("password", "correct horse"), ("client", "referer"), ("referer", "http")],
    )
    .await;
    let token = given["token"].as_str().expect("a token");
    let hour = given["expires"].as_i64().expect("a moment") - isochrone_store::Clock::SYSTEM.now().0;
    assert!((3_500_000..=3_600_000).contains(&hour), "{hour}");
    assert_eq!(given["ssl"], true);

    let with_referer = ask(&server, |r| {
        r.header("X-Esri-Authorization", format!("Bearer {token}")).header("Referer", "http")
    });
    assert_eq!(with_referer.await["username"], "alice");
    assert_eq!(error(&ask(&server, |r| r.bearer_auth(token)).await).0, 498);
    for foreign in ["https://evil.example", "httpx", "http.evil"] {
        let answer = ask(&server, |r| r.bearer_auth(token).header("Referer", foreign)).await;
        assert_eq!(error(&answer).0, 498, "{foreign}");
    }
}

#[tokio::test]
async fn a_referer_is_compared_by_its_site_in_any_case_of_letters() {
    let server = with_alice().await;
    for (bound, sent, good) in [
        ("app.example.com", "https://app.example.com/viewer/", true),
        ("HTTPS://APP.Example.com/", "https://app.example.com", true),
        ("https://app.example.com/viewer", "https://APP.EXAMPLE.COM/", true),
        ("app.example.com", "https://evil.example/app.example.com", false),
        ("https://app.example.com", "https://app.example.com@evil.example/", false),
    ] {
        let form =
            [("username", "alice"), ("password", "correct horse"), ("client", "referer"), ("referer", bound)];
        let given = generate(&server, &form).await;
        let token = given["token"].as_str().expect("a token");
        let answer = ask(&server, |r| r.bearer_auth(token).header("Referer", sent)).await;
        if good {
            assert_eq!(answer["username"], "alice", "{bound} {sent}: {answer}");
        } else {
            assert_eq!(error(&answer).0, 498, "{bound} {sent}");
        }
    }
}

#[tokio::test]
async fn a_token_is_taken_from_four_places() {
    let server = with_alice().await;
    let form =
        [("username", "alice"), ("password", "correct horse"), ("client", "requestip"), ("expiration", "5")];
    let given = generate(&server, &form).await;
    let token = given["token"].as_str().expect("a token").to_owned();
    assert_eq!(ask(&server, |r| r.bearer_auth(&token)).await["username"], "alice");
    assert_eq!(
        ask(&server, |r| r.header("X-Esri-Authorization", format!("Bearer {token}"))).await["username"],
        "alice"
    );
    assert_eq!(ask(&server, |r| r.query(&[("token", &token)])).await["username"], "alice");
    let posted = server.client.post(server.url(SELF)).form(&[("token", token.as_str()), ("f", "json")]);
    assert!(posted.send().await.expect("an answer").text().await.expect("text").contains("alice"));

    let two = ask(&server, |r| r.bearer_auth("bob").query(&[("token", &token)])).await;
    assert_eq!(error(&two).1, "The request carries two different tokens.");
    let twice = ask(&server, |r| r.bearer_auth(&token).query(&[("token", &token)])).await;
    assert_eq!(twice["username"], "alice");
}

#[tokio::test]
async fn a_token_for_another_address_is_refused() {
    let server = with_alice().await;
    let form = [("username", "alice"), ("password", "correct horse"), ("client", "ip"), ("ip", "192.0.2.7")];
    let given = generate(&server, &form).await;
    let token = given["token"].as_str().expect("a token");
    assert_eq!(error(&ask(&server, |r| r.bearer_auth(token)).await).0, 498);
}

#[tokio::test]
async fn expired_and_invented_tokens_are_invalid() {
    let server = Server::start().await;
    server.put_token("old", "bob", Duration::ZERO, TokenBinding::None).await;
    for token in ["old", "invented"] {
        let answer = server.post(token, "/community/users/bob/createTask", &hourly(&[])).await;
        let (code, message, _) = error(&answer);
        assert_eq!((code, message.as_str()), (498, "Invalid token."), "{token}");
    }
    server.assert_nothing_stored("bad tokens").await;
    let without = server.client.post(server.url("/community/users/bob/createTask")).form(&[("f", "json")]);
    assert!(without.send().await.expect("an answer").text().await.expect("text").contains("\"code\":499"));
}

#[tokio::test]
async fn wrong_passwords_and_unknown_users_get_one_answer() {
    let server = with_alice().await;
    let wrong = generate(&server, &[("username", "alice"), ("password", "wrong")]).await;
    assert_eq!(
        error(&wrong),
        (400, "Unable to generate token.".to_owned(), "Invalid username or password.".to_owned())
    );
    for form in [
        [("username", "nobody"), ("password", "wrong")],
        [("username", "a\u{301}lice"), ("password", "correct horse")],
        [("username", "alice"), ("password", "correct horse ")],
    ] {
        assert_eq!(generate(&server, &form).await, wrong);
    }
    assert_eq!(generate(&server, &[("username", "alice"), ("password", &"x".repeat(100_000))]).await, wrong);
}

#[tokio::test]
async fn guessing_locks_the_name_for_a_while() {
    let server = with_alice().await;
    let right = [("username", "alice"), ("password", "correct horse")];
    assert!(generate(&server, &right).await["token"].is_string());
    let mut wrong = Value::Null;
    for _ in 0..5 {
        wrong = generate(&server, &[("username", "ALICE"), ("password", "wrong")]).await;
    }
    assert_eq!(generate(&server, &right).await, wrong);
}

#[tokio::test]
async fn a_token_is_asked_for_in_a_body() {
    let server = with_alice().await;
    assert_eq!(error(&server.get("bob", "/generateToken?username=alice&password=x").await).0, 405);
    let request =
        server.client.post(server.url("/generateToken?username=alice&password=correct+horse&f=json"));
    let text = request.send().await.expect("an answer").text().await.expect("text");
    assert!(text.contains("'username' must be in the body"), "{text}");
    assert!(!text.contains("correct"), "{text}");
    for (form, name) in [
        (vec![("password", "x")], "username"),
        (vec![("username", "x")], "password"),
        (vec![("username", "x"), ("password", "x"), ("client", "referer")], "referer"),
        (vec![("username", "x"), ("password", "x"), ("client", "ip"), ("ip", "x")], "ip"),
        (vec![("username", "x"), ("password", "x"), ("client", "x")], "client"),
        (vec![("username", "x"), ("password", "x"), ("expiration", "1e400")], "expiration"),
        (vec![("username", "x"), ("password", "x"), ("expiration", "0")], "expiration"),
    ] {
        let (code, message, _) = error(&generate(&server, &form).await);
        assert_eq!(code, 400);
        assert!(message.contains(&format!("'{name}'")), "{message}");
    }
    let long = [("username", "alice"), ("password", "correct horse"), ("expiration", "2000000000")];
    let expires = generate(&server, &long).await["expires"].as_i64().expect("a moment");
    let days = (expires - isochrone_store::Clock::SYSTEM.now().0) as f64 / 86_400_000.0;
    assert!((14.9..=15.0).contains(&days), "{days}");
}

#[tokio::test]
async fn clients_find_the_portal_and_themselves() {
    let server = Server::start().await;
    let info = server.client.get(format!("http://{}/portal/sharing/rest/info?f=json", server.address));
    let info: Value = info.send().await.expect("an answer").json().await.expect("json");
    let base = format!("http://{}/portal", server.address);
    assert_eq!(info["owningSystemUrl"], base);
    assert_eq!(info["authInfo"]["tokenServicesUrl"], format!("{base}/sharing/rest/generateToken"));
    let behind = Config { public_url: Some("https://gis.example/portal/".to_owned()), ..Config::default() };
    let behind = Server::with(behind).await.get("bob", "/info").await;
    assert_eq!(behind["owningSystemUrl"], "https://gis.example/portal");
    let portal = server.get("NBadmin", "/portals/self").await;
    assert_eq!(portal["user"]["role"], "org_admin");
    assert_eq!(portal["portalHostname"], server.address.to_string());
    let privileges = portal["user"]["privileges"].as_array().expect("a list");
    assert!(privileges.iter().any(|name| name.as_str().is_some_and(|name| name.contains("portal:admin"))));
    let anonymous = server.client.get(server.url("/portals/self?f=json")).send().await.expect("an answer");
    let anonymous: Value = anonymous.json().await.expect("json");
    assert_eq!(anonymous.get("user"), None);
    assert_eq!(server.get("bob", "/").await["enterpriseVersion"], "11.3.0");
}

/// The first link of a page whose text is `label`, with its entities undone.
fn link(page: &str, label: &str) -> String {
    let end = page.find(&format!("\">{label}</a>")).unwrap_or_else(|| panic!("no link {label}: {page}"));
    let begin = page[..end].rfind("href=\"").expect("an href") + 6;
    page[begin..end].replace("&amp;", "&")
}

#[tokio::test]
async fn a_browser_signs_in_with_a_form_and_follows_links() {
    let server = with_alice().await;
    server.put_token("alice", "alice", Duration::from_mins(5), TokenBinding::None).await;
    server.create("alice", &hourly(&[("title", "Hourly sums")])).await;
    let open = async |path: String| {
        let answer = server.client.get(path).send().await.expect("an answer");
        let policy = answer.headers()["content-security-policy"].to_str().expect("text").to_owned();
        (answer.text().await.expect("text"), policy)
    };
    let (refused, policy) = open(server.url("/community/self")).await;
    assert!(refused.contains("Token Required") && refused.contains("<form method=\"post\""), "{refused}");
    assert!(policy.contains("form-action 'self'"), "{policy}");
    for path in ["/generateToken", "/generateToken?f=html"] {
        let (asked, policy) = open(server.url(path)).await;
        assert!(
            asked.contains("name=\"password\" type=\"password\"") && !asked.contains("?token="),
            "{asked}"
        );
        assert!(asked.contains("name=\"client\" value=\"requestip\""), "{asked}");
        assert!(policy.contains("form-action 'self'"), "{policy}");
    }
    let (told, _) = open(server.url("/generateToken?f=html&username=alice&password=correct+horse")).await;
    assert!(told.contains("405") && !told.contains("?token=") && !told.contains("correct"), "{told}");

    let send = async |password: &str| {
        let form = [("username", "alice"), ("password", password), ("f", "html"), ("client", "requestip")];
        let given = server.client.post(server.url("/generateToken")).form(&form).send().await;
        given.expect("an answer").text().await.expect("text")
    };
    let mistyped = send("correct hose").await;
    assert!(mistyped.contains("Invalid username") && mistyped.contains("<form method"), "{mistyped}");
    let given = send("correct horse").await;
    let origin = server.url("").replace("/sharing/rest", "");
    let on = link(&given, "Continue");
    assert!(on.starts_with("/sharing/rest?token=") && on.ends_with("&f=html"), "{on}");
    let (root, policy) = open(format!("{origin}{on}")).await;
    assert!(policy.contains("form-action 'none'"), "{policy}");
    let (me, _) = open(format!("{origin}{}", link(&root, "Me"))).await;
    assert!(me.contains("alice") && !me.contains("Token Required"), "{me}");
    let (tasks, _) = open(format!("{origin}{}", link(&me, "Tasks"))).await;
    assert!(tasks.contains("Hourly sums"), "{tasks}");
    let (task, _) = open(format!("{origin}{}", link(&tasks, "Hourly sums"))).await;
    assert!(task.contains("cronSchedule"), "{task}");
    let (up, _) = open(format!("{origin}{}", link(&task, "tasks"))).await;
    assert!(up.contains("Hourly sums"), "{up}");
}

#[tokio::test]
async fn a_token_is_bound_to_the_client_behind_the_trusted_proxy() {
    use isochrone_portal::client_address::{ForwardedHeader, TrustedProxies};
    let loopback = vec!["127.0.0.1".parse().expect("an address")];
    let trusted_proxies = TrustedProxies::new(loopback, ForwardedHeader::Auto);
    let server = Server::with(Config { trusted_proxies, ..Config::default() }).await;
    server.add_user("alice", Role::Publisher, &passwords::Hasher::new(1).hash("correct horse").await).await;
    let form = [("username", "alice"), ("password", "correct horse"), ("f", "json")];
    let from = |request: reqwest::RequestBuilder, client: &str| request.header("X-Forwarded-For", client);
    let request = from(server.client.post(server.url("/generateToken")).form(&form), "198.51.100.7");
    let given: Value = request.send().await.expect("an answer").json().await.expect("json");
    let token = given["token"].as_str().expect("a token");
    for (client, good) in [("198.51.100.7", true), ("1.1.1.1, 198.51.100.7", true), ("198.51.100.8", false)] {
        let answer = ask(&server, |r| from(r.bearer_auth(token), client)).await;
        assert_eq!(answer["username"] == "alice", good, "{client}: {answer}");
        let native = format!("http://{}/api/v1/users/alice", server.address);
        let request = from(server.client.get(native).bearer_auth(token), client);
        assert_eq!(request.send().await.expect("an answer").status().is_success(), good, "{client}");
    }
}
