//! The command line, as its users type it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use isochrone_testkit::{Server, ServerOptions};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_isochrone");

struct Place {
    dir: tempfile::TempDir,
    options: ServerOptions,
}

fn place() -> Result<Place> {
    let dir = tempfile::tempdir()?;
    let options = ServerOptions::new(BINARY, dir.path().join("data"));
    Ok(Place { dir, options })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn cron_next_answers_json_lines() -> Result<()> {
    let place = place()?;
    let questions = concat!(
        r#"{"minute":"*/10","hour":"*","dayOfMonth":"*","month":"*","dayOfWeek":"?","after":1691451979521,"count":2}"#,
        "\n",
        r#"{"minute":"0","hour":"0","dayOfMonth":"*","month":"*","dayOfWeek":"*","after":0,"count":1}"#,
        "\n",
        r#"{"minute":"0","hour":"9","dayOfMonth":"LW","month":"*","dayOfWeek":"?","after":1691451979521,"count":1}"#,
        "\nnonsense\n\n"
    );
    let answered = place.options.cli(&["cron", "next", "--stdin"], questions)?;
    let answers: Vec<Value> =
        text(&answered.stdout).lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    assert_eq!(answers.len(), 5, "an answer a line, an empty one too");
    assert_eq!(answers[0].to_string(), r#"{"valid":true,"next":[1691452200000,1691452800000]}"#);
    assert_eq!(answers[1]["valid"], false, "not repaired here: {}", answers[1]);
    assert!(answers[1]["error"].as_str().unwrap_or_default().contains("dayOfWeek"));
    assert_eq!(answers[2]["next"][0], 1_693_472_400_000_i64);
    assert_eq!(answers[3]["valid"], false);
    ensure!(!place.options.data_dir.exists(), "it needs no data directory");
    Ok(())
}

#[test]
fn cron_next_says_a_schedule_in_words() -> Result<()> {
    let place = place()?;
    let told = place.options.cli(&["cron", "next", "--count", "3", "0", "9", "?", "*", "MON-FRI"], "")?;
    let told = text(&told.stdout);
    assert!(told.starts_with("at 09:00 UTC on Monday to Friday\n"), "{told}");
    assert_eq!(told.lines().count(), 4);
    let refused = place.options.cli(&["cron", "next", "75", "*", "*", "*", "?"], "")?;
    ensure!(!refused.status.success());
    assert!(text(&refused.stderr).contains("minute: '75'"), "{}", text(&refused.stderr));
    Ok(())
}

#[test]
fn a_task_lives_its_life_on_the_command_line() -> Result<()> {
    let Place { dir: _dir, options } = place()?;
    let password =
        options.cli(&["user", "add", "admin", "--role", "admin", "--password-stdin"], "a good one\n")?;
    ensure!(password.status.success(), "{}", text(&password.stderr));
    let parameters = r#"{"reportType":"org","reportSubType":"users","title":"U"}"#;
    let made = options.cli_json(&[
        "task",
        "create",
        "--type",
        "ExecuteReport",
        "--title",
        "Users",
        "--parameters",
        parameters,
        "--minute",
        "0",
        "--hour",
        "3",
        "--day-of-month",
        "*",
        "--month",
        "*",
        "--day-of-week",
        "?",
        "--max-occurrences",
        "3",
    ])?;
    let id = made["id"].as_str().with_context(|| format!("{made}"))?;
    assert_eq!(made["schedule"], "at 03:00 UTC every day");
    assert_eq!(options.cli_json(&["task", "list"])?.as_array().map(Vec::len), Some(1));
    let changed = options.cli_json(&["task", "update", id, "--hour", "4"])?;
    assert_eq!(changed["cronSchedule"]["hour"], "4");
    assert_eq!(options.cli_json(&["task", "disable", id])?["state"], "paused");
    assert_eq!(options.cli_json(&["task", "enable", id])?["state"], "active");

    let explained = text(&options.cli(&["task", "explain", id], "")?.stdout);
    assert!(explained.contains("is active. It fires next at"), "{explained}");
    let run = options.cli_json(&["task", "run", id])?;
    assert_eq!(run["status"], "scheduled");
    let run = run["id"].as_str().context("a run id")?;
    assert_eq!(options.cli_json(&["run", "cancel", run])?["status"], "skipped");
    assert_eq!(options.cli_json(&["run", "show", run])?["reason"], "cancelled");

    // Five days have five fires at 04:00; two of the three occurrences are left.
    let day = 86_400_000_i64;
    let from = made["created"].as_i64().context("a time")? - 5 * day;
    let to = (from + 5 * day).to_string();
    let filled = options.cli_json(&["task", "backfill", id, "--from", &from.to_string(), "--to", &to])?;
    assert_eq!(filled.as_array().map(Vec::len), Some(2), "{filled}");
    assert_eq!(options.cli_json(&["task", "show", id])?["occurrences"], 3);
    let again = options.cli(&["task", "backfill", id, "--from", &from.to_string(), "--to", &to], "")?;
    let said = text(&again.stderr);
    assert_eq!(said.matches("left out: ").count(), 5, "{said}");
    assert!(said.contains("has not ended") && said.contains("maxOccurrences"), "{said}");

    let bounded =
        options.cli_json(&["task", "update", id, "--start", "1589428800000", "--end", "1589428800000"])?;
    assert_eq!(bounded["state"], "completed");
    let unbounded = options.cli_json(&[
        "task",
        "update",
        id,
        "--start",
        "none",
        "--end",
        "none",
        "--max-occurrences",
        "none",
    ])?;
    assert_eq!(unbounded["state"], "active", "{unbounded}");
    for (option, wrong) in
        [("--minute", "1;15"), ("--minute", "1\u{2013}5"), ("--end", "soon"), ("--end", "1893456000")]
    {
        let refused = options.cli(&["task", "update", id, option, wrong], "")?;
        ensure!(!refused.status.success(), "{option} {wrong}");
    }

    let deleted = options.cli(&["task", "delete", id], "")?;
    ensure!(deleted.status.success());
    let gone = options.cli(&["task", "show", id], "")?;
    ensure!(!gone.status.success());
    assert!(text(&gone.stderr).contains("task"), "{}", text(&gone.stderr));
    Ok(())
}

#[test]
fn api_keys_are_made_listed_and_revoked() -> Result<()> {
    let Place { dir: _dir, options } = place()?;
    for name in ["ann", "bob"] {
        let added =
            options.cli(&["user", "add", name, "--role", "publisher", "--password-stdin"], "a good one\n")?;
        ensure!(added.status.success(), "{}", text(&added.stderr));
    }
    let made = options.cli_json(&["user", "key", "ANN", "--title", "nightly", "--days", "30"])?;
    assert_eq!(made["user"], "ann");
    let key = made["key"].as_str().context("a key")?;
    assert!(key.starts_with("isokey-") && key.len() > 64, "{key}");
    let listed = options.cli(&["user", "keys", "ann", "--output", "json"], "")?;
    assert!(!text(&listed.stdout).contains(key), "a key is shown once");
    let rows = options.cli_json(&["user", "keys", "ann"])?;
    assert_eq!((rows.as_array().map(Vec::len), &rows[0]["title"]), (Some(1), &"nightly".into()));
    let days = (rows[0]["expires"].as_i64().zip(rows[0]["created"].as_i64())).map(|(end, begin)| end - begin);
    assert_eq!(days, Some(30 * 86_400_000));
    assert_eq!(options.cli_json(&["user", "keys", "bob"])?.as_array().map(Vec::len), Some(0));
    let id = rows[0]["id"].as_str().context("an id")?;
    assert_eq!(made["id"], id);
    assert_eq!(options.cli_json(&["user", "revoke", id])?["user"], "ann");
    assert_eq!(options.cli_json(&["user", "keys", "ann"])?.as_array().map(Vec::len), Some(0));
    for (wrong, told) in [
        (["user", "revoke", id].as_slice(), id),
        (&["user", "key", "nobody", "--title", "x"], "nobody"),
        (&["user", "key", "ann", "--title", "x", "--days", "0"], "--days"),
    ] {
        let refused = options.cli(wrong, "")?;
        ensure!(!refused.status.success() && text(&refused.stderr).contains(told), "{wrong:?}");
    }
    Ok(())
}

#[test]
fn what_is_wrong_on_the_command_line_is_told() -> Result<()> {
    let place = place()?;
    let missing = place.options.cli(&["task", "list"], "")?;
    assert!(text(&missing.stderr).contains("there is no data directory"), "{}", text(&missing.stderr));
    let create = |more: &[&str]| {
        let base = ["task", "create", "--type", "ExecuteNotebook", "--hour", "*", "--month", "*"];
        place.options.cli(&[&base[..], more].concat(), "")
    };
    let refused = create(&["--day-of-month", "*", "--day-of-week", "?"])?;
    assert!(text(&refused.stderr).contains("--minute is required"), "{}", text(&refused.stderr));
    Ok(())
}

#[test]
fn the_configuration_says_where_each_value_came_from() -> Result<()> {
    let place = place()?;
    let file = place.dir.path().join("isochrone.toml");
    std::fs::write(&file, "[worker]\nslots = 7\n[log]\nfilter = \"warn\"\n")?;
    let options = place.options.clone().env("ISOCHRONE__LOG__FILTER", "debug");
    let file = file.to_str().context("a path of text")?;
    let shown = options.cli_json(&["--config", file, "config", "show"])?;
    let setting = |key: &str| {
        let settings = shown.as_array().into_iter().flatten();
        settings.into_iter().find(|setting| setting["key"] == key).cloned().unwrap_or_default()
    };
    assert_eq!(setting("worker.slots")["value"], 7);
    assert!(setting("worker.slots")["from"].as_str().unwrap_or_default().ends_with("isochrone.toml"));
    assert_eq!(setting("log.filter")["value"], "debug");
    assert_eq!(setting("log.filter")["from"], "ISOCHRONE__LOG__FILTER");
    assert_eq!(setting("data_dir")["from"], "--data-dir");
    assert_eq!(setting("http.listen")["from"], "default");
    assert_eq!(setting("admin_password")["value"], "(hidden)");
    ensure!(!shown.to_string().contains(isochrone_testkit::ADMIN_PASSWORD));

    std::fs::write(file, "[worker]\nslotz = 7\n")?;
    let refused = place.options.cli(&["--config", file, "config", "check"], "")?;
    ensure!(!refused.status.success());
    assert!(text(&refused.stderr).contains("slotz"), "{}", text(&refused.stderr));
    Ok(())
}

#[test]
fn a_password_of_digits_is_a_password_and_never_shown() -> Result<()> {
    let place = place()?;
    let options = place.options.clone().env("ISOCHRONE__ADMIN_PASSWORD", "20241234");
    let shown = options.cli(&["config", "show"], "")?;
    ensure!(shown.status.success(), "{}", text(&shown.stderr));
    let bad = options.env("ISOCHRONE__ADMIN_PASSWORD", "[20241234]").cli(&["config", "check"], "")?;
    for output in [shown, bad] {
        ensure!(!text(&[output.stdout, output.stderr].concat()).contains("20241234"));
    }
    Ok(())
}

/// `task create` for a type, once a month.
fn monthly(kind: &str) -> Vec<&str> {
    let item = ["--item", "029b61ca770e428d9468a2a55f40b9fb"];
    let cron = ["--minute", "0", "--hour", "0", "--day-of-month", "1", "--month", "*", "--day-of-week", "?"];
    ["task", "create", "--type", kind, "--parameters", "{}"].into_iter().chain(item).chain(cron).collect()
}

#[test]
fn limits_on_active_tasks_hold_and_can_be_lifted() -> Result<()> {
    let Place { dir: _dir, options } = place()?;
    let added =
        options.cli(&["user", "add", "admin", "--role", "admin", "--password-stdin"], "a good one\n")?;
    ensure!(added.status.success(), "{}", text(&added.stderr));
    let refused = |options: &ServerOptions, kind: &str| -> Result<String> {
        let answer = options.cli(&monthly(kind), "")?;
        ensure!(!answer.status.success());
        Ok(text(&answer.stderr))
    };
    options.cli_json(&monthly("ExecuteReport"))?;
    let one_each = options.clone().env("ISOCHRONE__LIMITS__ACTIVE_TASKS_PER_USER", 1);
    assert!(refused(&one_each, "ExecuteReport")?.contains("1 active tasks of type ExecuteReport"));
    // ArcGIS's own limit on notebooks.
    for _ in 0..20 {
        options.cli_json(&monthly("ExecuteNotebook"))?;
    }
    assert!(refused(&options, "ExecuteNotebook")?.contains("20 active tasks of type ExecuteNotebook"));
    let all = options.clone().env("ISOCHRONE__LIMITS__NOTEBOOK_TASKS_PER_USER", 0);
    all.cli_json(&monthly("ExecuteNotebook"))?;
    let of_all = all.clone().env("ISOCHRONE__LIMITS__NOTEBOOK_TASKS", 21);
    assert!(refused(&of_all, "ExecuteNotebook")?.contains("the limit per organization"));
    Ok(())
}

#[test]
fn the_operator_says_how_many_failures_disable_a_task() -> Result<()> {
    let Place { dir: _dir, options } = place()?;
    let added =
        options.cli(&["user", "add", "admin", "--role", "admin", "--password-stdin"], "a good one\n")?;
    ensure!(added.status.success(), "{}", text(&added.stderr));
    for (told, expected) in [(None, Some(5)), (Some(2), Some(2)), (Some(0), None)] {
        let options = match told {
            Some(told) => options.clone().env("ISOCHRONE__LIMITS__CONSECUTIVE_FAILURES", told),
            None => options.clone(),
        };
        let task = options.cli_json(&monthly("ExecuteReport"))?;
        assert_eq!(task["maxConsecutiveFailures"].as_u64(), expected, "{task}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_one_data_directory_is_refused() -> Result<()> {
    let place = place()?;
    let _first = Server::start(&place.options).await?;
    let second = place.options.cli(&["up", "--http", "127.0.0.1:0"], "")?;
    ensure!(!second.status.success());
    assert!(text(&second.stderr).contains("another process"), "{}", text(&second.stderr));
    Ok(())
}

#[test]
fn plain_http_is_for_loopback_only() -> Result<()> {
    let place = place()?;
    let refused = place.options.cli(&["up", "--http", "0.0.0.0:0"], "")?;
    ensure!(!refused.status.success());
    assert!(text(&refused.stderr).contains("loopback"), "{}", text(&refused.stderr));
    // With leave it gets past that, to what comes next.
    let options = place.options.clone().env("ISOCHRONE__HTTPS__CERT_FILE", "missing.pem");
    let refused = options.cli(&["up", "--http", "0.0.0.0:0", "--insecure-http"], "")?;
    assert!(text(&refused.stderr).contains("https.key_file"), "{}", text(&refused.stderr));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn https_has_a_certificate_of_its_own_or_the_operators() -> Result<()> {
    let place = place()?;
    let own = place.options.data_dir.join("tls/cert.pem");
    let server = Server::start(&place.options).await?;
    let made = std::fs::read(&own)?;
    let info: serde_json::Value =
        serde_json::from_str(&get(&made, &server.https_url, "/sharing/rest/info?f=json")?)?;
    assert_eq!(info["owningSystemUrl"], server.https_url, "it knows that it was reached over TLS");
    drop(server);
    // The same after a restart: clients may have pinned it.
    drop(Server::start(&place.options).await?);
    assert_eq!(std::fs::read(&own)?, made);

    let key = rcgen::KeyPair::generate()?;
    let cert = rcgen::CertificateParams::new(["127.0.0.1".to_owned()])?.self_signed(&key)?;
    let (cert_file, key_file) =
        (place.options.data_dir.join("own.pem"), place.options.data_dir.join("own.key"));
    std::fs::write(&cert_file, cert.pem())?;
    std::fs::write(&key_file, key.serialize_pem())?;
    let options = place.options.clone().env("ISOCHRONE__HTTPS__CERT_FILE", cert_file.display());
    let server =
        Server::start(&options.clone().env("ISOCHRONE__HTTPS__KEY_FILE", key_file.display())).await?;
    get(cert.pem().as_bytes(), &server.https_url, "/sharing/rest/info?f=json")?;
    drop(server);
    let wrong = options.env("ISOCHRONE__HTTPS__KEY_FILE", own.with_file_name("key.pem").display());
    let refused = wrong.cli(&["up", "--http", "127.0.0.1:0"], "")?;
    ensure!(!refused.status.success());
    assert!(text(&refused.stderr).contains("are no certificate and its key"), "{}", text(&refused.stderr));
    Ok(())
}

/// The body that a client gets which trusts this certificate and no other.
fn get(trusted: &[u8], url: &str, path: &str) -> Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted)?)?;
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let address: SocketAddr = url.strip_prefix("https://").context("no HTTPS")?.parse()?;
    let tls = ClientConnection::new(Arc::new(config), ServerName::from(address.ip()))?;
    let mut stream = StreamOwned::new(tls, TcpStream::connect(address)?);
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
    ensure!(head.starts_with("HTTP/1.1 200"), "{head}");
    Ok(body.to_owned())
}

#[test]
fn the_doctor_looks_at_everything() -> Result<()> {
    let place = place()?;
    let checks = place.options.cli_json(&["doctor"])?;
    let names = checks.as_array().context("checks")?.iter().filter_map(|check| check["what"].as_str());
    // Only where the tests run in a container that has a limit.
    let checks: Vec<&str> = names.filter(|name| *name != "memory").collect();
    assert_eq!(
        checks,
        [
            "store",
            "server",
            "disk",
            "clock",
            "notebooks",
            "packages",
            "sandbox",
            "network",
            "limits",
            "task types"
        ]
    );
    Ok(())
}

/// A list, as a variable of the environment has it.
const PACKAGES: &str = "ISOCHRONE__NOTEBOOK__PACKAGES";

#[test]
fn the_doctor_says_what_becomes_of_packages() -> Result<()> {
    let told = |packages: &str| -> Result<Value> {
        let Place { dir: _dir, options } = place()?;
        let checks = options.env(PACKAGES, packages).cli_json(&["doctor"])?;
        let found =
            checks.as_array().into_iter().flatten().find(|check| check["what"] == "packages").cloned();
        found.context("no line about packages")
    };
    let none = told("[]")?;
    ensure!(none["found"].as_str().is_some_and(|found| found.contains("on first use")), "{none}");
    let some = told("[\"GeoPandas == 1.0.1\"]")?;
    let words = ["geopandas==1.0.1: will be built in ", "when a worker starts"];
    ensure!(
        words.iter().all(|word| some["found"].as_str().is_some_and(|found| found.contains(word))),
        "{some}"
    );
    ensure!(some["verdict"] == "good", "{some}");
    Ok(())
}

#[test]
fn what_is_no_package_is_refused_with_its_setting() -> Result<()> {
    let Place { dir: _dir, options } = place()?;
    let options = options.env(PACKAGES, "[\"geopandas\", \"--index-url=https://evil.example.com\"]");
    let refused = options.cli(&["doctor"], "")?;
    let told = text(&refused.stderr);
    ensure!(!refused.status.success() && told.contains("notebook.packages[1]: "), "{told}");
    Ok(())
}
