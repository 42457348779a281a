//! Guessed passwords, users who are disabled, and what the audit log says of both.

use std::time::Duration;

use isochrone_domain::{Action, AuditEntry, EpochMillis, Role, UserChange};
use isochrone_portal::client_address::{ForwardedHeader, TrustedProxies};
use isochrone_portal::{Config, passwords};
use isochrone_store::{AuditStore, TokenBinding};
use serde_json::Value;

use crate::server::{Server, error};

const PASSWORD: &str = "correct horse";

/// A portal behind a proxy on this machine, with alice, who has a password.
async fn with_alice() -> Server {
    let loopback = vec!["127.0.0.1".parse().expect("an address")];
    let trusted_proxies = TrustedProxies::new(loopback, ForwardedHeader::Auto);
    let server = Server::with(Config { trusted_proxies, ..Config::default() }).await;
    server.add_user("alice", Role::Publisher, &passwords::Hasher::new(1).hash(PASSWORD).await).await;
    server
}

/// Signs in from a client's address; whether there was a token.
async fn sign_in(server: &Server, from: &str, name: &str, password: &str) -> bool {
    let form = [("username", name), ("password", password), ("f", "json")];
    let request = server.client.post(server.url("/generateToken")).header("X-Forwarded-For", from);
    let response = request.form(&form).send().await.expect("an answer");
    assert_eq!(response.status(), 200, "clients try again what has another status");
    let answer: Value = response.json().await.expect("json");
    if answer["token"].is_string() {
        return true;
    }
    let (code, message, detail) = error(&answer);
    assert_eq!(
        (code, message.as_str(), detail.as_str()),
        (400, "Unable to generate token.", "Invalid username or password.")
    );
    false
}

async fn refusals(server: &Server) -> Vec<AuditEntry> {
    let audit = server.store.audit(EpochMillis(0)..EpochMillis::MAX).await.expect("a log");
    audit.into_iter().filter(|entry| entry.action == Action::RefuseSignIn).collect()
}

#[tokio::test]
async fn an_address_that_tries_forty_names_is_stopped_and_named() {
    let server = with_alice().await;
    assert!(sign_in(&server, "198.51.100.1", "alice", PASSWORD).await);
    for number in 0..40 {
        assert!(!sign_in(&server, "203.0.113.9", &format!("user{number}"), "Password1").await);
    }
    assert!(!sign_in(&server, "203.0.113.9", "alice", PASSWORD).await, "that address waits");
    assert!(sign_in(&server, "198.51.100.1", "alice", PASSWORD).await, "the one she comes from does not");
    assert!(sign_in(&server, "198.51.100.2", "alice", PASSWORD).await, "nor any other");
    // The proxy's own requests have no address that could be at fault.
    let form = [("username", "alice"), ("password", PASSWORD), ("f", "json")];
    let of_proxy = server.client.post(server.url("/generateToken")).form(&form).send().await;
    let of_proxy: Value = of_proxy.expect("an answer").json().await.expect("json");
    assert!(of_proxy["token"].is_string(), "{of_proxy}");

    let noted = refusals(&server).await;
    assert_eq!(noted.len(), 41, "each name once");
    for number in 0..40 {
        let name = format!("user{number}");
        let entry = noted.iter().find(|entry| entry.actor == name).expect("it is noted");
        assert_eq!(entry.ip.as_deref(), Some("203.0.113.9"));
    }
    let reasons = |reason: &str| noted.iter().filter(|entry| entry.title == reason).count();
    assert_eq!((reasons("wrong name or password"), reasons("too many wrong ones")), (20, 21));
}

#[tokio::test]
async fn a_name_that_is_guessed_at_from_forty_addresses_is_still_its_users() {
    let server = with_alice().await;
    assert!(sign_in(&server, "198.51.100.1", "alice", PASSWORD).await);
    for number in 0..40 {
        assert!(!sign_in(&server, &format!("203.0.113.{number}"), "ALICE", "Password1").await);
        assert!(!sign_in(&server, &format!("203.0.113.{number}"), "alice", "Password2").await);
    }
    assert!(sign_in(&server, "198.51.100.1", "alice", PASSWORD).await);
    assert!(!sign_in(&server, "198.51.100.9", "alice", PASSWORD).await, "nobody knows her there");
    assert_eq!(server.get("bob", "/community/self").await["username"], "bob", "tokens go on");
}

#[tokio::test]
async fn whoever_goes_away_before_the_answer_has_guessed_as_well() {
    let server = with_alice().await;
    let form = [("username", "alice"), ("password", "Password1"), ("f", "json")];
    for _ in 0..20 {
        let request =
            server.client.post(server.url("/generateToken")).header("X-Forwarded-For", "203.0.113.9");
        // Sent, and given up.
        drop(request.form(&form).timeout(Duration::from_millis(5)).send().await);
    }
    assert!(!sign_in(&server, "203.0.113.9", "alice", PASSWORD).await);
}

#[tokio::test]
async fn keys_are_guessed_at_no_faster() {
    let server = with_alice().await;
    let (key, id) = server.add_key("bob", Duration::from_hours(1)).await;
    let ask = async |secret: &str| {
        let form = [("client_id", &*id), ("client_secret", secret), ("grant_type", "client_credentials")];
        let request = server.client.post(server.url("/oauth2/token")).form(&form);
        let answer: Value = request.send().await.expect("an answer").json().await.expect("json");
        answer["access_token"].is_string()
    };
    for _ in 0..40 {
        assert!(ask(&key).await, "a good one never counts");
    }
    for _ in 0..5 {
        assert!(!ask("isokey-guess").await);
    }
    assert!(!ask(&key).await);
    assert_eq!(server.get(&key, "/community/self").await["username"], "bob", "the key itself is a token");
    assert!(refusals(&server).await.iter().any(|entry| entry.actor == id));
}

#[tokio::test]
async fn a_name_can_be_anything_and_the_log_stays_readable() {
    let server = with_alice().await;
    let name = format!("a\u{1b}[2J\nalice signed in{}", "x".repeat(10_000));
    assert!(!sign_in(&server, "203.0.113.9", &name, "Password1").await);
    let noted = refusals(&server).await;
    assert_eq!(noted.len(), 1);
    assert!(noted[0].actor.starts_with("a\\u{1b}[2J\\nalice signed in"), "{}", noted[0].actor);
    assert!(noted[0].actor.len() < 200, "{}", noted[0].actor);
}

#[tokio::test]
async fn a_user_who_is_disabled_is_out_at_once() {
    let server = with_alice().await;
    server.put_token("alices", "alice", Duration::from_hours(1), TokenBinding::None).await;
    let (key, id) = server.add_key("alice", Duration::from_hours(1)).await;
    for token in ["alices", &key] {
        assert_eq!(server.get(token, "/community/self").await["username"], "alice");
    }
    let disable = |disabled| UserChange { disabled: Some(disabled), ..UserChange::default() };
    server.change_user("alice", disable(true)).await;
    let out = async || {
        for token in ["alices", &key] {
            assert_eq!(error(&server.get(token, "/community/self").await).0, 498);
        }
        let form = [("client_id", &*id), ("client_secret", &*key), ("grant_type", "client_credentials")];
        let answer = server.client.post(server.url("/oauth2/token")).form(&form).send().await;
        let answer: Value = answer.expect("an answer").json().await.expect("json");
        assert!(answer["error"].is_object(), "{answer}");
    };
    out().await;
    assert!(!sign_in(&server, "198.51.100.1", "alice", PASSWORD).await);
    assert!(refusals(&server).await.iter().any(|entry| entry.title == "the user is disabled"));
    assert_eq!(server.get("NBadmin", "/community/users/alice").await["disabled"], true);
    let form = crate::server::hourly(&[]);
    let made = server.post("NBadmin", "/community/users/alice/createTask", &form).await;
    assert_eq!(error(&made).1, "The user alice is disabled.", "{made}");

    server.change_user("alice", disable(false)).await;
    out().await;
    assert!(sign_in(&server, "198.51.100.1", "alice", PASSWORD).await, "it was never wrong");
}
