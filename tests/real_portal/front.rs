//! In front of a portal: its users, its tokens, its items; only tasks are here.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use isochrone_sandbox::Fault;
use isochrone_testkit::{ADMIN_PASSWORD, Server, ServerOptions};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::tasks::{create, notebook, run_notebook};
use crate::{PASSWORD, in_front_of, place, simulated};

const ITEM: &str = "029b61ca770e428d9468a2a55f40b9fb";
const REST: &str = "/portal/sharing/rest";

/// A report that anybody may ask for who may make tasks.
const REPORT: [(&str, &str); 2] = [("type", "ExecuteReport"), ("parameters", "{}")];

fn code(answer: &Value) -> &Value {
    &answer["error"]["code"]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_portal_says_who_calls_and_what_they_may_do() -> Result<()> {
    let portal = simulated().await?;
    let place = in_front_of(&portal.url(), "siteadmin", PASSWORD, 0)?;
    let server = Server::start(&place.options).await?;
    let [admin, ann, vic] = ["siteadmin", "ann", "vic"].map(|user| portal.token(user, None));

    let made = create(&server, "ann", &ann, &REPORT).await?;
    assert_eq!(made["success"], true, "{made}");
    assert_eq!(code(&create(&server, "vic", &vic, &REPORT).await?), 403, "a viewer makes no tasks");
    assert_eq!(code(&create(&server, "ann", &vic, &REPORT).await?), 403, "nor does a stranger");
    let for_vic = create(&server, "vic", &admin, &REPORT).await?;
    assert_eq!(for_vic["success"], true, "for somebody who was never here: {for_vic}");
    assert_eq!(code(&create(&server, "nobody", &admin, &REPORT).await?), 400);
    assert_eq!(code(&create(&server, "ann", "made-up", &REPORT).await?), 498);

    let all = format!("{REST}/portals/self/allScheduledTasks");
    assert_eq!(server.get(&all, &[("token", &admin)]).await?["total"], 2);
    assert_eq!(code(&server.get(&all, &[("token", &ann)]).await?), 403);
    // A role of the organization's own, from one request to the next.
    portal.set_privileges("vic", "Zx81", &["premium:publisher:scheduleNotebooks"]);
    assert_eq!(create(&server, "vic", &vic, &REPORT).await?["success"], true);
    portal.remove_user("ann");
    assert_eq!(
        code(&server.get(&format!("{REST}/community/users/ann/tasks"), &[("token", &ann)]).await?),
        498
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_asked_about_once_and_holds_where_the_portal_says() -> Result<()> {
    let mut portal = simulated().await?;
    let place = in_front_of(&portal.url(), "siteadmin", PASSWORD, 600)?;
    let server = Server::start(&place.options).await?;
    let tasks = format!("{REST}/community/users/ann/tasks");
    let form =
        [("username", "ann"), ("password", "ann-password"), ("client", "referer"), ("referer", "https://x")];
    let given = server.post(&format!("{REST}/generateToken"), &form).await?;
    let token = given["token"].as_str().with_context(|| format!("{given}"))?;
    assert_eq!(code(&server.get(&tasks, &[("token", token)]).await?), 498, "it is bound to a site");
    let asked = portal.asked("community/self");
    for _ in 0..5 {
        let from = reqwest::Client::new().get(format!("{}{tasks}?f=json", server.url));
        let answer: Value =
            from.bearer_auth(token).header("referer", "https://x").send().await?.json().await?;
        assert_eq!(answer["total"], 0, "{answer}");
    }
    assert_eq!(portal.asked("community/self"), asked + 1);

    let wrong = [("username", "ann"), ("password", "guess")];
    let refused = server.post(&format!("{REST}/generateToken"), &wrong).await?;
    assert_eq!(refused["error"]["message"], "Unable to generate token.", "{refused}");

    // Who is known is served while the portal is away; who is not is told why.
    let (known, other) = (portal.token("ann", None), portal.token("ann", None));
    assert_eq!(server.get(&tasks, &[("token", &known)]).await?["total"], 0);
    for fault in [Fault::Http500, Fault::ErrorInBody, Fault::Page, Fault::Cut] {
        portal.plan_fault("community/self", 0, 1, fault);
        assert_eq!(code(&server.get(&tasks, &[("token", &other)]).await?), 503, "{fault:?}");
    }
    portal.stop().await;
    assert_eq!(code(&server.get(&tasks, &[("token", &other)]).await?), 503);
    assert_eq!(server.get(&tasks, &[("token", &known)]).await?["total"], 0);
    assert_eq!(code(&server.get(&format!("{REST}/content/items/{ITEM}"), &[]).await?), 503);
    portal.restart().await?;
    assert_eq!(server.get(&tasks, &[("token", &other)]).await?["total"], 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_passwords_are_counted_before_the_portal_sees_them() -> Result<()> {
    let portal = simulated().await?;
    let place = in_front_of(&portal.url(), "siteadmin", PASSWORD, 600)?;
    let server = Server::start(&place.options).await?;
    let before = portal.asked("generateToken");
    for number in 0..12 {
        let guess = format!("guess {number}");
        let wrong = [("username", "ann"), ("password", guess.as_str())];
        let refused = server.post(&format!("{REST}/generateToken"), &wrong).await?;
        assert_eq!(refused["error"]["message"], "Unable to generate token.", "{refused}");
    }
    assert_eq!(portal.asked("generateToken"), before + 5, "five of twelve");
    // Nor does it see them in the form of its own page.
    let form = [("oauth_state", "x"), ("username", "ann"), ("password", "guess")];
    for path in [format!("{REST}/oauth2/signin"), "/sharing/oauth2/signin".to_owned()] {
        let refused = server.post(&path, &form).await?;
        ensure!(refused["error"].is_object(), "{refused}");
    }
    assert_eq!(portal.asked("oauth2/signin"), 0);
    let good = [("username", "vic"), ("password", "vic-password")];
    let given = server.post(&format!("{REST}/generateToken"), &good).await?;
    ensure!(given["token"].is_string(), "others sign in: {given}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_task_goes_on_to_the_portal() -> Result<()> {
    let portal = simulated().await?;
    portal.add_item(ITEM, "ann", "private", &[], b"any bytes");
    let place = in_front_of(&portal.url(), "siteadmin", PASSWORD, 0)?;
    let server = Server::start(&place.options).await?;
    let [ann, vic] = ["ann", "vic"].map(|user| portal.token(user, None));
    let item = format!("{REST}/content/items/{ITEM}");
    assert_eq!(server.get(&item, &[("token", &ann)]).await?["owner"], "ann");
    assert_eq!(
        server.bytes(&format!("/sharing/rest/content/items/{ITEM}/data?f=json&token={ann}")).await?,
        b"any bytes"
    );
    assert_eq!(code(&server.get(&item, &[("token", &vic)]).await?), 400, "the portal's own refusal");
    assert_eq!(code(&server.get(&item, &[]).await?), 499);
    let me = server.get(&format!("{REST}/community/self"), &[("token", &ann)]).await?;
    assert_eq!(me["email"], "ann@example.com", "the portal's own words");

    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
    let authorize =
        format!("{}{REST}/oauth2/authorize?client_id=arcgisonline&response_type=code", server.url);
    let answer = client.get(authorize).send().await?;
    let to = answer.headers().get("location").context("a redirect")?.to_str()?;
    assert_eq!(
        to,
        format!("{}/sharing/rest/oauth2/authorize?client_id=arcgisonline&response_type=code", portal.url())
    );
    let jsonp = client.get(format!("{}{item}?f=json&callback=x&token={ann}", server.url)).send().await?;
    assert!(jsonp.text().await?.contains("JSONP"));
    // Nothing but the portal's API can be reached through it.
    let before = portal.asked("");
    let outside = client.get(format!("{}{REST}/%2e%2e/%2e%2e/home/x", server.url)).send().await?;
    assert!(outside.text().await?.contains("404"));
    assert_eq!(portal.asked(""), before);
    Ok(())
}

/// Sent byte for byte: clients' libraries would tidy it up.
async fn raw(server: &Server, method: &str, target: &str, headers: &str) -> Result<String> {
    let mut stream = TcpStream::connect(server.url.trim_start_matches("http://")).await?;
    let head = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{headers}Connection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await??;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_passed_on_that_the_portal_could_read_differently() -> Result<()> {
    let portal = simulated().await?;
    let place = in_front_of(&portal.url(), "siteadmin", PASSWORD, 0)?;
    let server = Server::start(&place.options).await?;
    let before = portal.asked("");
    for path in [
        // Out of the API.
        "..;/..;/..;/server/admin",
        "..;x=1/..;/home",
        "%252e%252e/%252e%252e/home",
        "..%2f..%2fhome",
        "..%252f..%252fhome",
        "..%5c..%5chome",
        "..\\..\\home",
        "%2e%2e%3b/home",
        "%c0%ae%c0%ae/home",
        "%u002e%u002e/home",
        "%ef%bc%8e%ef%bc%8e/home",
        "..%00/home",
        "../../home",
        "x/./y",
        "content/items;jsessionid=1/x",
        // Into what is answered here.
        "%2563ommunity/users/ann/createTask",
        "community%2fusers%2fann%2fcreateTask",
        "community/users/ann/create%2554ask",
        "community/users/ann/tasks.",
        "community/users/ann/tasks%20",
        "community/users/ann/tasks;x",
        "community/users/ann/tasks%3fx",
        "Community/Users/ann/CREATETASK",
        "generateToken%23x",
    ] {
        for prefix in ["/sharing/rest", "/portal/sharing/rest", "/portal/sharing/%72est"] {
            let answer = raw(&server, "GET", &format!("{prefix}/{path}?f=json"), "").await?;
            let refused = ["404", "400"].iter().any(|code| answer.contains(code));
            assert!(refused, "{prefix}/{path}: {answer}");
        }
    }
    let whole = raw(&server, "GET", "/portal/sharing/%72est/community/users/ann/tasks", "").await?;
    assert!(whole.contains("404"), "{whole}");
    for method in ["TRACE", "TRACK", "CONNECT", "DEBUG", "PROPFIND", "X"] {
        let answer = raw(&server, method, "/portal/sharing/rest/search?q=x", "").await?;
        assert!(
            answer.contains(" 405 ") || answer.contains(" 400 ") || answer.contains("405"),
            "{method}: {answer}"
        );
    }
    assert_eq!(portal.asked(""), before, "none of it came to the portal");
    // What clients do send, comes there.
    for path in [
        "search?q=a/../..;b",
        "content/users/ann/K%C3%B6ln%20maps",
        "community/groups/x/y.z..png",
        "content//items",
    ] {
        let before = portal.asked("");
        raw(&server, "GET", &format!("/portal/sharing/rest/{path}"), "").await?;
        assert_eq!(portal.asked(""), before + 1, "{path}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_reads_what_its_owner_may_read() -> Result<()> {
    let portal = simulated().await?;
    let source = notebook("print('read from the portal')");
    let private = "1".repeat(32);
    portal.add_item(ITEM, "siteadmin", "shared", &["mappers"], source.as_bytes());
    portal.add_item(&private, "siteadmin", "private", &[], source.as_bytes());
    let place = in_front_of(&portal.url(), "siteadmin", PASSWORD, 0)?;
    let server = Server::start(&place.options).await?;
    let ann = portal.token("ann", None);
    for item in [ITEM, &private] {
        let run = run_notebook(&server, "ann", &ann, item).await?;
        assert_eq!(run["reason"], "item_missing", "neither is ann's to read: {run}");
    }
    portal.join("ann", "mappers");
    // The administrator's token is taken back, and fetched again.
    portal.rotate_tokens();
    let ann = portal.token("ann", None);
    let run = run_notebook(&server, "ann", &ann, ITEM).await?;
    assert_eq!(run["status"], "succeeded", "{run}");
    Ok(())
}

/// What stands behind is an Isochrone here: a portal that really keeps what it is sent.
#[tokio::test(flavor = "multi_thread")]
async fn an_item_is_uploaded_through_it_and_runs() -> Result<()> {
    let behind = place()?;
    let portal = Server::start(&behind.options).await?;
    let front = in_front_of(&portal.url, "admin", ADMIN_PASSWORD, 30)?;
    let server = Server::start(&front.options).await?;
    let form = [("username", "admin"), ("password", ADMIN_PASSWORD)];
    let given = server.post(&format!("{REST}/generateToken"), &form).await?;
    let token = given["token"].as_str().with_context(|| format!("{given}"))?;
    // More than one piece of a body.
    let source = format!("text = '{}'\nprint('long enough', len(text))", "x".repeat(3 << 20));
    let file = reqwest::multipart::Part::bytes(notebook(&source).into_bytes()).file_name("long.ipynb");
    let form = reqwest::multipart::Form::new()
        .text("f", "json")
        .text("title", "Long")
        .text("type", "Notebook")
        .part("file", file);
    let add = reqwest::Client::new().post(format!("{}{REST}/content/users/admin/addItem", server.url));
    let added: Value = add.bearer_auth(token).multipart(form).send().await?.json().await?;
    let item = added["id"].as_str().with_context(|| format!("{added}"))?;
    let run = run_notebook(&server, "admin", token, item).await?;
    assert_eq!(run["status"], "succeeded", "{run}");
    let found = server.get(&format!("{REST}/search"), &[("q", "owner:admin"), ("token", token)]).await?;
    assert_eq!(found["results"][0]["id"], item, "{found}");
    Ok(())
}

#[test]
fn what_is_missing_or_is_not_done_in_front_is_told() -> Result<()> {
    let place = place()?;
    let half = place.options.clone().env("ISOCHRONE__PORTAL__URL", "https://gis.example.com/portal");
    let refused = half.cli(&["task", "list"], "")?;
    assert!(String::from_utf8_lossy(&refused.stderr).contains("portal.user"));
    let whole = half.env("ISOCHRONE__PORTAL__USER", "siteadmin").env("ISOCHRONE_PORTAL_PASSWORD", "secret-7");
    let told = |options: &ServerOptions, args: &[&str]| -> Result<String> {
        let output = options.cli(args, "pw\n")?;
        Ok(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let added = told(&whole, &["user", "add", "bob", "--role", "viewer", "--password-stdin"])?;
    assert!(added.contains("https://gis.example.com/portal"), "{added}");
    let shown = told(&whole, &["config", "show"])?;
    assert!(shown.contains("portal.password") && !shown.contains("secret-7"), "{shown}");
    let broken = told(&whole.env("ISOCHRONE__PORTAL__URL", "ftp://gis.example.com"), &["task", "list"])?;
    assert!(broken.contains("[portal]") && broken.contains("https"), "{broken}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_looks_at_the_portal() -> Result<()> {
    let portal = simulated().await?;
    let verdict_of = |options: &ServerOptions| -> Result<(Value, Value)> {
        let (_, checks, _) = crate::told(options, &["doctor"], "")?;
        let all = checks.as_array().or(checks["checks"].as_array()).context("a list")?.clone();
        let check = all.into_iter().find(|check| check["what"] == "portal").context("it is looked at")?;
        Ok((check["verdict"].clone(), check["found"].clone()))
    };
    let verdict = |user: &str, password: &str| -> Result<(Value, Value)> {
        verdict_of(&in_front_of(&portal.url(), user, password, 0)?.options)
    };
    let good = tokio::task::block_in_place(|| verdict("siteadmin", PASSWORD))?;
    assert_eq!(good.0, json!("good"), "{good:?}");
    for (user, password, told) in
        [("ann", "ann-password", "no administrator"), ("siteadmin", "guess", "token")]
    {
        let (verdict, found) = tokio::task::block_in_place(|| verdict(user, password))?;
        assert_eq!(verdict, "bad", "{found}");
        assert!(
            found.as_str().is_some_and(|found| found.contains(told) && !found.contains("guess")),
            "{found}"
        );
    }
    portal.add_app("cook", "cook-secret");
    let key = portal.token("siteadmin", None);
    for (id, secret, key, expected) in [
        (Some("cook"), Some("cook-secret"), None, "warning"),
        (Some("cook"), Some("guess"), None, "bad"),
        (None, None, Some(&*key), "good"),
    ] {
        let place = place()?;
        let mut options = place.options.clone().env("ISOCHRONE__PORTAL__URL", portal.url());
        for (name, value) in [
            ("ISOCHRONE__PORTAL__CLIENT_ID", id),
            ("ISOCHRONE_PORTAL_CLIENT_SECRET", secret),
            ("ISOCHRONE_PORTAL_API_KEY", key),
        ] {
            options = value.into_iter().fold(options, |options, value| options.env(name, value));
        }
        let (verdict, found) = tokio::task::block_in_place(|| verdict_of(&options))?;
        assert_eq!(verdict, expected, "{found}");
    }
    Ok(())
}
