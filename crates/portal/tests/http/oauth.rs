//! OAuth 2.0 as ArcGIS's clients go its way, and as others must not.

use std::time::Duration;

use isochrone_domain::Role;
use isochrone_portal::{Config, passwords};
use isochrone_store::{AccountStore, TaskStore, TokenHash};
use reqwest::Response;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::server::{Server, error};

const PASSWORD: &str = "correct horse";
const HERE: &str = "http://127.0.0.1:9999/back";
/// RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

struct Way {
    server: Server,
    browser: reqwest::Client,
}

impl Way {
    async fn new() -> Way {
        Way::with(Config::default()).await
    }

    async fn with(config: Config) -> Way {
        let server = Server::with(config).await;
        server.add_user("alice", Role::Publisher, &passwords::Hasher::new(1).hash(PASSWORD).await).await;
        let browser = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        Way { server, browser: browser.build().expect("a client") }
    }

    /// One whose `desk` sends no challenge, by the operator's leave.
    async fn without_pkce() -> Way {
        Way::with(Config { without_pkce: vec!["desk".to_owned()], ..Config::default() }).await
    }

    async fn page(&self, query: &[(&str, &str)]) -> String {
        let request = self.browser.get(self.server.url("/oauth2/authorize")).query(query);
        request.send().await.expect("an answer").text().await.expect("text")
    }

    /// What is in the page for programs.
    async fn info(&self, query: &[(&str, &str)]) -> Value {
        info(&self.page(query).await)
    }

    async fn sign_in(&self, state: &Value, password: &str) -> Response {
        let form =
            [("oauth_state", state.as_str().expect("text")), ("username", "alice"), ("password", password)];
        // Not below `rest`, as the Python client has it.
        let url = self.server.url("/oauth2/signin").replace("/rest/", "/");
        self.browser.post(url).form(&form).send().await.expect("an answer")
    }

    async fn code(&self, more: &[(&str, &str)]) -> String {
        let query =
            [&[("response_type", "code"), ("client_id", "desk"), ("redirect_uri", HERE)], more].concat();
        let info = self.info(&query).await;
        let to = location(&self.sign_in(&info["oauth_state"], PASSWORD).await);
        to.split_once("code=").expect("a code").1.split('&').next().expect("a part").to_owned()
    }

    async fn token(&self, form: &[(&str, &str)]) -> Value {
        let request = self.browser.post(self.server.url("/oauth2/token")).form(form);
        let text = request.send().await.expect("an answer").text().await.expect("text");
        serde_json::from_str(&text).expect("json though no format was asked for")
    }

    async fn name_of(&self, token: &str) -> Value {
        self.server.get(token, "/community/self").await["username"].clone()
    }
}

fn info(page: &str) -> Value {
    // The client takes the first braces of the page.
    let (_, rest) = page.split_once("var oAuthInfo = ").expect("the info");
    assert_eq!(page.find('{'), Some(page.len() - rest.len()), "{page}");
    serde_json::from_str(rest.split_once(";\n").expect("its end").0).expect("json")
}

fn location(response: &Response) -> String {
    assert_eq!(response.status(), 302);
    response.headers()["location"].to_str().expect("text").to_owned()
}

#[tokio::test]
async fn a_token_comes_behind_the_hash() {
    let way = Way::new().await;
    let query = [
        ("response_type", "token"),
        ("client_id", "pythonapi"),
        ("redirect_uri", HERE),
        ("state", "a b&c"),
        ("expiration", "600"),
        ("allow_verification", "false"),
    ];
    let info = way.info(&query).await;
    assert_eq!((&info["client_id"], &info["contextPath"]), (&json!("pythonapi"), &json!("/sharing")));
    let to = location(&way.sign_in(&info["oauth_state"], PASSWORD).await);
    let (address, answer) = to.split_once('#').expect("a fragment");
    assert_eq!(address, HERE);
    assert!(
        answer.ends_with("&expires_in=36000&username=alice&ssl=true&persist=false&state=a+b%26c"),
        "{answer}"
    );
    let token =
        answer.strip_prefix("access_token=").and_then(|rest| rest.split('&').next()).expect("a token");
    assert_eq!(way.name_of(token).await, "alice");
}

#[tokio::test]
async fn a_wrong_password_gets_the_page_again() {
    let way = Way::new().await;
    let info = way.info(&[("response_type", "token"), ("client_id", "<b>"), ("redirect_uri", HERE)]).await;
    let again = way.sign_in(&info["oauth_state"], "wrong").await;
    assert_eq!(again.status(), 200);
    let policy = again.headers()["content-security-policy"].to_str().expect("text").to_owned();
    assert!(policy.contains("form-action 'self' http://127.0.0.1:9999;"), "{policy}");
    let page = again.text().await.expect("text");
    assert!(!page.contains("<b>"), "{page}");
    let told = self::info(&page);
    assert_eq!(told["messages"], json!(["Invalid username or password."]));
    assert_eq!(told["code"], "OAUTH_0015");
    assert_eq!(told["client_id"], "<b>");
    assert_eq!(way.sign_in(&told["oauth_state"], PASSWORD).await.status(), 302, "and another try");
}

#[tokio::test]
async fn tokens_are_sent_nowhere_else() {
    let way =
        Way::with(Config { redirect_uris: vec!["https://app.example/cb".to_owned()], ..Config::default() })
            .await;
    let own = format!("http://{}/x", way.server.address);
    for good in
        [HERE, "http://localhost", "https://app.example/cb", "urn:ietf:wg:oauth:2.0:oob", own.as_str()]
    {
        way.info(&[("response_type", "token"), ("client_id", "a"), ("redirect_uri", good)]).await;
    }
    let (mut bad_state, good) = (None, ("redirect_uri", HERE));
    for bad in
        ["https://evil.example/", "https://app.example/cb/2", "http://localhost.evil.example", "javascript:1"]
    {
        let page = way.page(&[("response_type", "token"), ("client_id", "a"), ("redirect_uri", bad)]).await;
        assert!(page.contains("Invalid redirect_uri") && !page.contains("oauth_state"), "{page}");
        // Nor where the state was changed on its way.
        let info = way.info(&[("response_type", "token"), ("client_id", "a"), good]).await;
        let state =
            info["oauth_state"].as_str().expect("text").replace(&hex::encode(HERE), &hex::encode(bad));
        bad_state = Some(json!(state));
        let answer = way.sign_in(bad_state.as_ref().expect("just set"), PASSWORD).await;
        assert_eq!(answer.status(), 200);
        assert!(answer.text().await.expect("text").contains("Invalid redirect_uri"));
    }
    assert!(bad_state.is_some());
    let junk = way.sign_in(&json!("00ff"), PASSWORD).await.text().await.expect("text");
    assert!(junk.contains("oauth_state"), "{junk}");
}

#[tokio::test]
async fn a_code_is_turned_in_once_by_who_asked() {
    let way = Way::new().await;
    let turn_in = async |code: &str, client: &str, redirect: &str, verifier: &str| {
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("client_id", client),
            ("code", code),
            ("redirect_uri", redirect),
        ];
        if !verifier.is_empty() {
            form.push(("code_verifier", verifier));
        }
        way.token(&form).await
    };
    let proof = [("code_challenge", CHALLENGE), ("code_challenge_method", "S256")];
    let code = way.code(&proof).await;
    let given = turn_in(&code, "desk", HERE, VERIFIER).await;
    assert_eq!(way.name_of(given["access_token"].as_str().expect("a token")).await, "alice");
    assert_eq!((&given["username"], &given["expires_in"]), (&json!("alice"), &json!(1_800)));
    assert_eq!(
        (&given["token_type"], &given["refresh_token_expires_in"]),
        (&json!("bearer"), &json!(1_209_600))
    );
    assert!(error(&turn_in(&code, "desk", HERE, VERIFIER).await).1.contains("'code'"), "a second time");
    for (client, redirect, verifier, names) in [
        ("other", HERE, VERIFIER, "'code'"),
        ("desk", "http://127.0.0.1:9998/back", VERIFIER, "'code'"),
        ("desk", HERE, CHALLENGE, "'code_verifier'"),
        ("desk", HERE, "", "'code_verifier'"),
    ] {
        let code = way.code(&proof).await;
        let refused = turn_in(&code, client, redirect, verifier).await;
        assert!(error(&refused).1.contains(names), "{client} {redirect} {verifier}: {refused}");
        // Whoever fails has used it up.
        assert_eq!(error(&turn_in(&code, "desk", HERE, VERIFIER).await).0, 400);
    }
}

#[tokio::test]
async fn a_code_needs_a_challenge_by_s256() {
    let way = Way::without_pkce().await;
    let ask = |client: &'static str, redirect: &'static str| {
        [("response_type", "code"), ("client_id", client), ("redirect_uri", redirect)]
    };
    let oob = "urn:ietf:wg:oauth:2.0:oob";
    let s256 = ("code_challenge_method", "S256");
    for (query, named) in [
        (ask("app", HERE).to_vec(), "code_challenge"),
        ([&ask("app", HERE)[..], &[("code_challenge", VERIFIER)]].concat(), "code_challenge_method"),
        (
            [&ask("app", HERE)[..], &[("code_challenge", VERIFIER), ("code_challenge_method", "plain")]]
                .concat(),
            "code_challenge_method",
        ),
        (
            [&ask("app", HERE)[..], &[("code_challenge", CHALLENGE), ("code_challenge_method", "s256")]]
                .concat(),
            "S256",
        ),
        ([&ask("app", HERE)[..], &[("code_challenge", "short"), s256]].concat(), "code_challenge"),
        ([&ask("app", HERE)[..], &[s256]].concat(), "code_challenge"),
        // Nor where none is needed: what is sent must hold.
        (
            [&ask("desk", HERE)[..], &[("code_challenge", VERIFIER), ("code_challenge_method", "plain")]]
                .concat(),
            "code_challenge_method",
        ),
        (
            [&ask("app", oob)[..], &[("code_challenge", VERIFIER), ("code_challenge_method", "plain")]]
                .concat(),
            "code_challenge_method",
        ),
    ] {
        let page = way.page(&query).await;
        assert!(page.contains(named) && !page.contains("oauth_state"), "{query:?}: {page}");
    }
    // Nor where the challenge was taken out of the state on its way.
    let good = [&ask("app", HERE)[..], &[("code_challenge", CHALLENGE), s256]].concat();
    let state = way.info(&good).await["oauth_state"].as_str().expect("text").to_owned();
    let mut asked: Value = serde_json::from_slice(&hex::decode(&state).expect("hex")).expect("json");
    for challenge in [Value::Null, json!({"Plain": VERIFIER}), json!({"Sha256": CHALLENGE})] {
        asked["challenge"] = challenge;
        let changed = json!(hex::encode(asked.to_string()));
        let answer = way.sign_in(&changed, PASSWORD).await;
        assert_eq!(answer.status(), 200);
        let told = answer.text().await.expect("text");
        assert!(told.contains("code_challenge") || told.contains("oauth_state"), "{told}");
    }
    // Whom the operator lists, and the implicit way.
    let code = way.code(&[("state", "s")]).await;
    let form = [("grant_type", "authorization_code"), ("client_id", "desk"), ("redirect_uri", HERE)];
    let given = way.token(&[&form[..], &[("code", &*code)]].concat()).await;
    assert!(given["access_token"].is_string(), "{given}");
    way.info(&[("response_type", "token"), ("client_id", "app"), ("redirect_uri", HERE)]).await;
    // A verifier without a challenge: somebody took the challenge out.
    let code = way.code(&[]).await;
    let refused = way.token(&[&form[..], &[("code", &*code), ("code_verifier", VERIFIER)]].concat()).await;
    assert!(error(&refused).1.contains("'code_verifier'"), "{refused}");
}

#[tokio::test]
async fn a_refresh_token_renews_until_the_password_changes() {
    let way = Way::without_pkce().await;
    let code = way.code(&[]).await;
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", "desk"),
        ("code", &code),
        ("redirect_uri", HERE),
    ];
    let refresh = way.token(&form).await["refresh_token"].as_str().expect("a token").to_owned();
    let renew = async |grant: &str, client: &str, refresh: &str| {
        way.token(&[("grant_type", grant), ("client_id", client), ("refresh_token", refresh)]).await
    };
    let renewed = renew("refresh_token", "desk", &refresh).await;
    assert_eq!(way.name_of(renewed["access_token"].as_str().expect("a token")).await, "alice");
    assert_eq!(renewed.get("refresh_token"), None, "the one goes on");
    assert_eq!(error(&renew("refresh_token", "other", &refresh).await).0, 400);
    assert_eq!(error(&renew("refresh_token", "desk", "00").await).0, 400);
    assert!(error(&renew("password", "desk", &refresh).await).1.contains("'grant_type'"));
    let exchanged = renew("exchange_refresh_token", "desk", &refresh).await;
    let newer = exchanged["refresh_token"].as_str().expect("a token");
    assert_eq!(error(&renew("refresh_token", "desk", &refresh).await).0, 400, "it was exchanged");
    assert!(renew("refresh_token", "desk", newer).await["access_token"].is_string());
    way.server.add_user("alice", Role::Publisher, &passwords::Hasher::new(1).hash("another").await).await;
    assert_eq!(error(&renew("refresh_token", "desk", newer).await).0, 400);
}

#[tokio::test]
async fn a_program_without_an_address_reads_the_title() {
    let way = Way::new().await;
    let oob = "urn:ietf:wg:oauth:2.0:oob";
    let info =
        way.info(&[("response_type", "code"), ("client_id", "arcgispro"), ("redirect_uri", oob)]).await;
    let to = location(&way.sign_in(&info["oauth_state"], PASSWORD).await);
    let page = way.browser.get(&to).send().await.expect("an answer").text().await.expect("text");
    let code = to.split_once("code=").expect("a code").1;
    assert!(page.contains(&format!("<title>SUCCESS code={code}</title>")), "{page}");
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", "arcgispro"),
        ("code", code),
        ("redirect_uri", oob),
    ];
    assert!(way.token(&form).await["access_token"].is_string());
    assert_eq!(error(&way.token(&form).await).0, 400, "it is of one use");
    let bad = way.browser.get(way.server.url("/oauth2/approval")).query(&[("code", "<script>")]).send().await;
    assert!(bad.expect("an answer").text().await.expect("text").contains("code"), "no page for that");
}

#[tokio::test]
async fn a_code_without_a_challenge_lives_for_two_minutes() {
    let way = Way::new().await;
    let oob = "urn:ietf:wg:oauth:2.0:oob";
    let ask = [("response_type", "code"), ("client_id", "arcgispro"), ("redirect_uri", oob)];
    let proof = [("code_challenge", CHALLENGE), ("code_challenge_method", "S256")];
    for (query, minutes) in [(ask.to_vec(), 2), ([&ask[..], &proof].concat(), 10)] {
        let before = way.server.store.now().await.expect("a clock");
        let info = way.info(&query).await;
        let to = location(&way.sign_in(&info["oauth_state"], PASSWORD).await);
        let code = to.split_once("code=").expect("a code").1;
        let hash = TokenHash(Sha256::digest(code).into());
        let grant = way.server.store.grant(hash).await.expect("a store").expect("a grant");
        let life = Duration::from_millis((grant.expires.0 - before.0).unsigned_abs());
        let expected = Duration::from_mins(minutes);
        assert!(life >= expected && life < expected + Duration::from_secs(20), "{life:?}");
    }
}

#[tokio::test]
async fn no_token_is_sent_to_a_host_that_somebody_made_up() {
    let names = vec!["gis.example.com".to_owned()];
    let own_url = "https://gis.example.com/portal".to_owned();
    let way = Way::with(Config { names, own_url, ..Config::default() }).await;
    let ask = async |host: &str, redirect: &str| {
        let target = format!(
            "/portal/sharing/rest/oauth2/authorize?response_type=token&client_id=a&redirect_uri={redirect}"
        );
        let head = format!(
            "GET {target} HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-Host: evil.example.com\r\nConnection: close\r\n\r\n"
        );
        way.server.raw(head.as_bytes()).await.1
    };
    let own = ask("gis.example.com", "http://gis.example.com/x").await;
    assert!(own.contains("oauth_state"), "{own}");
    for host in
        ["evil.example.com", "gis.example.com.evil.example.com", "10.0.0.1", "localhost@evil.example.com"]
    {
        let page = ask(host, &format!("http://{host}/x")).await;
        assert!(page.contains("Invalid redirect_uri") && !page.contains("oauth_state"), "{host}: {page}");
    }
    let page = ask("gis.example.com", "http://evil.example.com/x").await;
    assert!(page.contains("Invalid redirect_uri"), "X-Forwarded-Host is nobody's word: {page}");
    // Nor does it stand in links.
    for path in [
        "/portal/sharing/rest/info?f=json",
        "/portal/sharing/rest/portals/self?f=json",
        "/portal/sharing/rest?f=html",
    ] {
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: evil.example.com\r\nX-Forwarded-Host: evil.example.com\r\nAuthorization: Bearer bob\r\nConnection: close\r\n\r\n"
        );
        let (head, body) = way.server.raw(head.as_bytes()).await;
        assert!(!head.contains("evil") && !body.contains("evil"), "{path}: {head} {body}");
    }
    let info = way.server.raw(b"GET /portal/sharing/rest/info?f=json HTTP/1.1\r\nHost: evil.example.com\r\nConnection: close\r\n\r\n").await.1;
    assert!(info.contains("https://gis.example.com/portal"), "{info}");
}

#[tokio::test]
async fn administrators_list_users_and_others_do_not() {
    let way = Way::new().await;
    let all = way.server.get("GPadmin", "/portals/self/users?start=2&num=2").await;
    assert_eq!((&all["total"], &all["nextStart"]), (&json!(6), &json!(4)), "{all}");
    assert_eq!(all["users"].as_array().map(Vec::len), Some(2));
    assert_eq!(error(&way.server.get("bob", "/portals/self/users").await).0, 403);
    for name in ["description", "preferredView", "thumbnail"] {
        assert_eq!(all["users"][0].get(name), Some(&Value::Null), "{name}: clients look it up");
    }
    let counts = way.server.get("GPadmin", "/portals/self/users/counts?type=role").await;
    let counted: u64 =
        counts["results"].as_array().expect("a list").iter().filter_map(|kind| kind["count"].as_u64()).sum();
    assert_eq!(
        (counted, &counts["nextStart"]),
        (all["total"].as_u64().expect("a number"), &json!(-1)),
        "{counts}"
    );
    let types = way.server.get("GPadmin", "/portals/self/users/counts?type=userLicenseType").await;
    assert_eq!(types["results"], json!([{"key": "creatorUT", "count": counted}]));
    assert_eq!(
        way.server.get("GPadmin", "/portals/self/users/counts?type=appBundle").await["results"],
        json!([])
    );
    assert_eq!(error(&way.server.get("GPadmin", "/portals/self/users/counts?type=x").await).0, 400);
    let roles = way.server.get("bob", "/portals/self/roles").await;
    assert_eq!((&roles["total"], &roles["roles"]), (&json!(0), &json!([])));
}

#[tokio::test]
async fn a_key_gets_tokens_and_a_revoked_one_none() {
    let way = Way::without_pkce().await;
    let (key, id) = way.server.add_key("alice", Duration::from_hours(24 * 300)).await;
    assert_eq!(way.name_of(&key).await, "alice");
    let form = |id: &str, key: &str| {
        let fields = [("client_id", id), ("client_secret", key), ("grant_type", "client_credentials")];
        fields.map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    let ask = async |id: &str, key: &str| {
        let form = form(id, key);
        let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (&**name, &**value)).collect();
        way.token(&form).await
    };
    let given = ask(&id, &key).await;
    assert_eq!((&given["username"], &given["expires_in"]), (&json!("alice"), &json!(1800)));
    assert_eq!(given["refresh_token"], Value::Null, "the key itself renews");
    let access = given["access_token"].as_str().expect("a token").to_owned();
    assert_eq!(way.name_of(&access).await, "alice");
    for (id, key) in [("0000000000000000", &*key), (&*id, "isokey-00"), (&*id, &*access)] {
        assert_eq!(error(&ask(id, key).await).0, 400);
    }

    let revoke = async |token: &str| {
        let request = way.browser.post(way.server.url("/oauth2/revokeToken"));
        let sent = request.form(&[("auth_token", token), ("client_id", "desk")]).send().await;
        sent.expect("an answer").json::<Value>().await.expect("json")
    };
    assert_eq!(revoke(&access).await, json!({"success": true}));
    assert_eq!(revoke(&access).await, json!({"success": true}), "it is of no use already");
    assert_eq!(error(&way.server.get(&access, "/community/self").await).0, 498);
    assert_eq!(way.name_of(&key).await, "alice");
    revoke(&key).await;
    assert_eq!(error(&way.server.get(&key, "/community/self").await).0, 498);
    assert_eq!(error(&ask(&id, &key).await).0, 400);

    let code = way.code(&[]).await;
    let turned_in = [("client_id", "desk"), ("grant_type", "authorization_code"), ("redirect_uri", HERE)];
    let given = way.token(&[&turned_in[..], &[("code", &*code)]].concat()).await;
    let refresh = given["refresh_token"].as_str().expect("a refresh token");
    revoke(refresh).await;
    let again = [("client_id", "desk"), ("grant_type", "refresh_token"), ("refresh_token", refresh)];
    assert_eq!(error(&way.token(&again).await).0, 400);
}
