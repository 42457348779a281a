//! A distinct canary in each place where a secret can be put; then each is looked for in all that Isochrone writes.
//! What is allowed stands in the tables, and nothing else is.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Output;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, ensure};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use futures::StreamExt;
use isochrone_sandbox::SimulatedGpServer;
use isochrone_testkit::fleet::TASKS;
use isochrone_testkit::{ADMIN_PASSWORD, RabbitServer, RedisServer, Server, ServerOptions, eventually};
use lapin::options::{BasicConsumeOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use serde_json::Value;

use crate::places::{holds, redis_contents};
use crate::{BINARY, KEY};

/// Nothing listens there.
const NOWHERE: &str = "127.0.0.1:9";
const ITEM: &str = "029b61ca770e428d9468a2a55f40b9fb";
const PARAMETER: &str = "canary-parameter-9f31";
const BAD_PARAMETER: &str = "canary-bad-parameter-9f31";
const QUERY: &str = "canary-query-9f31";
const USERINFO: &str = "canary-userinfo-9f31";
const UNLISTED: &str = "canary-unlisted-9f31";
const JOBS_TOKEN: &str = "canary-jobs-token-9f31";
const HANDLE: &str = "canary-handle-9f31";
const PASSWORD: &str = "canary-password-9f31";
const WRONG_PASSWORD: &str = "canary-wrong-password-9f31";
const PORTAL_PASSWORD: &str = "canary-portal-password-9f31";
const CLIENT_SECRET: &str = "canary-client-secret-9f31";
const API_KEY: &str = "canary-portal-key-9f31";
const NOTEBOOK_SECRET: &str = "canary-notebook-9f31";
const REDIS_PASSWORD: &str = "canary-redis-9f31";
const AMQP_PASSWORD: &str = "canary-amqp-9f31";

/// Where a canary may be, by a part of the place's name.
const ALLOWED: &[(&str, &str)] = &[
    // The operator wrote it there.
    ("token of [http_jobs]", "isochrone.toml"),
    ("notebook's secret", "isochrone.toml"),
    // Shown to the task's owner, over the API.
    ("parameter", "runs shown"),
];

/// What was written somewhere, by the place's name.
#[derive(Default)]
struct Places(BTreeMap<String, Vec<u8>>);

impl Places {
    fn add(&mut self, place: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.0.entry(place.into()).or_default().extend(bytes.into());
    }

    /// A command's words to people.
    fn said(&mut self, place: &str, output: &Output) {
        self.add(place, output.stdout.clone());
        self.add(place, output.stderr.clone());
    }

    /// Every file below a folder.
    fn files(&mut self, dir: &Path) -> Result<()> {
        let mut folders = vec![dir.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder)? {
                let entry = entry?;
                match entry.file_type()? {
                    kind if kind.is_dir() => folders.push(entry.path()),
                    kind if kind.is_file() => {
                        self.add(entry.path().display().to_string(), std::fs::read(entry.path())?);
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Looks for each canary in each place. `allowed`: the cells in which it may be, by the canary's name and a part
    /// of the place's.
    fn check(&self, canaries: &[(&str, &str)], allowed: &[(&str, &str)]) {
        let mut wrong = Vec::new();
        for (name, canary) in canaries {
            for (place, bytes) in &self.0 {
                let may = allowed.iter().any(|(of, part)| of == name && place.contains(part));
                if holds(bytes, canary) && !may {
                    let at = bytes.windows(canary.len()).position(|window| window == canary.as_bytes());
                    let at = at.unwrap_or_default();
                    let around = &bytes[at.saturating_sub(120)..(at + canary.len() + 40).min(bytes.len())];
                    wrong.push(format!("{name} in {place}: {}", String::from_utf8_lossy(around)));
                }
            }
        }
        assert!(wrong.is_empty(), "{} leaks:\n{}", wrong.len(), wrong.join("\n"));
        assert!(self.0.values().any(|bytes| !bytes.is_empty()), "nothing was looked at");
    }
}

/// A server that takes jobs, and whose jobs' addresses hold a secret; it repeats a token that it refuses.
struct JobServer {
    url: String,
    orders: Arc<Mutex<Vec<Value>>>,
}

impl JobServer {
    async fn start() -> Result<JobServer> {
        let orders: Arc<Mutex<Vec<Value>>> = Arc::default();
        let taken = Arc::clone(&orders);
        let take = async move |request: Request| {
            let token = request.headers().get("authorization").map(|value| value.as_bytes().to_vec());
            let token = String::from_utf8_lossy(&token.unwrap_or_default()).into_owned();
            let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap_or_default();
            let order: Value = serde_json::from_slice(&body).unwrap_or_default();
            let refused = order["parameters"]["refused"] == true;
            taken.lock().expect("no test panics with it").push(order);
            if refused || token != format!("Bearer {JOBS_TOKEN}") {
                return (StatusCode::FORBIDDEN, format!("bad token {token}")).into_response();
            }
            (StatusCode::ACCEPTED, [("location", format!("/jobs/1?sig={HANDLE}"))]).into_response()
        };
        let look = async || axum::Json(serde_json::json!({"status": "succeeded", "result": {"pages": 3}}));
        let router = axum::Router::new().route("/jobs", post(take)).route("/jobs/1", get(look));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/jobs", listener.local_addr()?);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(JobServer { url, orders })
    }
}

fn admin() -> Result<SocketAddr> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// createTask's form for work of this kind, with canaries in it.
fn form<'a>(kind: &'a str, parameters: &'a str, url: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut form = vec![("type", kind), ("itemId", ITEM), ("parameters", parameters)];
    form.extend([("minute", "0"), ("hour", "0"), ("dayOfMonth", "29"), ("month", "2"), ("dayOfWeek", "?")]);
    if !url.is_empty() {
        form.push(("taskURL", url));
    }
    form
}

/// Makes a task, runs it, waits for its end; gives the run and its log as the API shows them.
async fn carried_out(server: &Server, form: &[(&str, &str)]) -> Result<(Value, Value)> {
    let task = server.create_task(form).await?;
    let asked = server.post(&format!("{TASKS}/{task}/run"), &[]).await?;
    let run = asked["runId"].as_str().with_context(|| format!("{asked}"))?.to_owned();
    let path = format!("{TASKS}/{task}/runs/{run}");
    if form.iter().any(|(name, value)| *name == "taskURL" && value.contains(NOWHERE)) {
        // It would be tried for minutes: until it says so once.
        eventually("a line of the log", async || {
            let log = server.get(&format!("{path}/log"), &[]).await?;
            Ok(log.to_string().contains("\"text\"").then_some(()))
        })
        .await?;
        server.post(&format!("{path}/cancel"), &[]).await?;
    }
    let ended = eventually("the run to end", async || {
        let run = server.get(&path, &[]).await?;
        Ok(run["endTime"].is_i64().then_some(run))
    })
    .await?;
    let log = server.get(&format!("{path}/log"), &[("num", "1000")]).await?;
    Ok((ended, log))
}

/// The work of both tests: success, failure, servers that are away, bad input, wrong passwords.
async fn work(
    places: &mut Places,
    server: &Server,
    options: &ServerOptions,
    gis: &SimulatedGpServer,
) -> Result<Vec<(&'static str, String)>> {
    let parameters = format!(r#"{{"note": "{PARAMETER}", "seconds": 1}}"#);
    let refused = format!(r#"{{"note": "{PARAMETER}", "refused": true}}"#);
    let tool = format!("{}/server/rest/services/Tools/GPServer/Buffer", gis.url());
    let with_secrets = format!("{tool}?token={QUERY}").replace("http://", &format!("http://ann:{USERINFO}@"));
    let away = format!("http://ann:{USERINFO}@{NOWHERE}/a/GPServer/B?token={QUERY}");
    for (kind, parameters, url) in [
        ("UpdateInsightsWorkbook", &parameters, ""),
        ("UpdateInsightsWorkbook", &refused, ""),
        ("GPService", &parameters, with_secrets.as_str()),
        ("GPService", &parameters, away.as_str()),
        ("ExecuteReport", &parameters, ""),
    ] {
        let form = form(kind, parameters, url);
        match carried_out(server, &form).await {
            Ok((run, log)) => {
                places.add("runs shown", run.to_string());
                places.add("run logs", log.to_string());
            }
            // Refused when it is made, which its sender is told.
            Err(error) => places.add("refusals", format!("{error:#}")),
        }
    }
    // Bad input, each time with a secret in it.
    let unlisted = format!("https://ann:{UNLISTED}@unlisted.example.com/a/GPServer/B?token={UNLISTED}");
    let broken = format!("{{\"note\": \"{BAD_PARAMETER}\"");
    let listed = format!("[\"{BAD_PARAMETER}\"]");
    let mistyped = format!("{{\"service_url\": [\"{BAD_PARAMETER}\"]}}");
    for bad in [
        form("GPService", &parameters, &unlisted),
        form("UpdateInsightsWorkbook", &broken, ""),
        form("UpdateInsightsWorkbook", &listed, ""),
        form("ExecuteSceneCook", &mistyped, ""),
        form("GPService", &parameters, UNLISTED),
    ] {
        let answer = server.post(&format!("{TASKS}/createTask"), &bad).await?;
        ensure!(answer["taskId"].is_null(), "it was taken: {answer}");
        places.add("refusals", answer.to_string());
    }
    // Accounts: a password, a wrong one, a token, an API key.
    let added = options
        .cli(&["user", "add", "ann", "--role", "publisher", "--password-stdin"], &format!("{PASSWORD}\n"))?;
    ensure!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    places.said("commands", &added);
    for (user, password) in [("ann", PASSWORD), ("ann", WRONG_PASSWORD), ("nobody", WRONG_PASSWORD)] {
        let form = [("username", user), ("password", password), ("expiration", "60")];
        let answer = server.post("/sharing/rest/generateToken", &form).await?;
        if let Some(token) = answer["token"].as_str() {
            let key: Value = options.cli_json(&["user", "key", "ann", "--title", "a program"])?;
            let key = key["key"].as_str().context("a key")?.to_owned();
            for secret in [token, key.as_str()] {
                server.get("/sharing/rest/community/self", &[("token", secret)]).await?;
            }
            let secrets = vec![("token", token.to_owned()), ("API key", key)];
            for (user, password) in [("ann", WRONG_PASSWORD), ("nobody", WRONG_PASSWORD)] {
                let form = [("username", user), ("password", password)];
                let answer = server.post("/sharing/rest/generateToken", &form).await?;
                places.add("refusals", answer.to_string());
            }
            return Ok(secrets);
        }
    }
    anyhow::bail!("ann could not sign in")
}

/// What commands show of it all.
fn ask_commands(places: &mut Places, options: &ServerOptions) -> Result<()> {
    for command in [
        &["config", "show"][..],
        &["doctor"],
        &["audit", "list"],
        &["audit", "verify"],
        &["keys", "status"],
        &["keys", "rotate"],
        &["run", "list"],
        &["user", "list"],
        &["user", "keys", "ann"],
        &["fleet"],
        &["export"],
        // Not a secret but the wrong command: what is said of it.
        &["task", "show", "0123456789abcdef0123456789abcdef"],
    ] {
        places.said(&format!("isochrone {}", command.join(" ")), &options.cli(command, "")?);
    }
    Ok(())
}

async fn metrics(places: &mut Places, admin: SocketAddr) -> Result<()> {
    places.add("metrics", reqwest::get(format!("http://{admin}/metrics")).await?.bytes().await?);
    places.add("readyz", reqwest::get(format!("http://{admin}/readyz")).await?.bytes().await?);
    Ok(())
}

/// The fixed canaries, and those that a server made.
fn canaries(made: &[(&'static str, String)]) -> Vec<(&'static str, String)> {
    let fixed = [
        ("parameter", PARAMETER),
        ("bad parameter", BAD_PARAMETER),
        ("URL's query", QUERY),
        ("URL's user", USERINFO),
        ("unlisted URL", UNLISTED),
        ("token of [http_jobs]", JOBS_TOKEN),
        ("job's handle", HANDLE),
        ("password", PASSWORD),
        ("wrong password", WRONG_PASSWORD),
        ("admin's password", ADMIN_PASSWORD),
        ("portal's password", PORTAL_PASSWORD),
        ("client secret", CLIENT_SECRET),
        ("portal's key", API_KEY),
        ("notebook's secret", NOTEBOOK_SECRET),
        ("Redis's password", REDIS_PASSWORD),
        ("RabbitMQ's password", AMQP_PASSWORD),
        ("seal key", KEY),
    ];
    fixed.iter().map(|(name, canary)| (*name, (*canary).to_owned())).chain(made.to_vec()).collect()
}

fn check(places: &Places, made: &[(&'static str, String)], allowed: &[(&str, &str)]) {
    let canaries = canaries(made);
    let canaries: Vec<(&str, &str)> =
        canaries.iter().map(|(name, canary)| (*name, canary.as_str())).collect();
    places.check(&canaries, allowed);
}

#[tokio::test(flavor = "multi_thread")]
async fn embedded_no_canary_is_anywhere_but_where_it_belongs() -> Result<()> {
    let (dir, admin, gis, jobs) =
        (tempfile::tempdir()?, admin()?, SimulatedGpServer::start().await?, JobServer::start().await?);
    let config = dir.path().join("isochrone.toml");
    let text = format!(
        "[http_jobs.UpdateInsightsWorkbook]\nurl = \"{}\"\ntoken = \"{JOBS_TOKEN}\"\n[notebook.secrets.ann]\nDB_PASSWORD = \"{NOTEBOOK_SECRET}\"\n",
        jobs.url
    );
    std::fs::write(&config, text)?;
    let options = ServerOptions::new(BINARY, dir.path().join("data"))
        .env("ISOCHRONE_CONFIG", config.display())
        .env("ISOCHRONE_SECRETS_KEY", KEY)
        .env("ISOCHRONE__LOG__FILTER", "trace")
        .env("ISOCHRONE__ADMIN__LISTEN", admin)
        .env("ISOCHRONE__EGRESS__SERVERS", format!("{},http://{NOWHERE}", gis.url()));
    let mut places = Places::default();
    let server = Server::start(&options).await?.sign_in().await?;
    let made = work(&mut places, &server, &options, &gis).await?;
    ensure!(jobs.orders.lock().expect("no test panics with it").len() >= 2, "the orders came");
    metrics(&mut places, admin).await?;
    ask_commands(&mut places, &options)?;
    ensure!(server.terminate().await?, "it ends");
    places.files(dir.path())?;
    let log = std::fs::read_to_string(dir.path().join("data.log"))?;
    ensure!(log.contains("DEBUG") && log.contains("TRACE"), "all is logged");
    check(&places, &made, ALLOWED);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_fleet_no_canary_is_in_redis_in_messages_or_in_logs() -> Result<()> {
    let (redis, rabbit) = tokio::try_join!(RedisServer::start(), RabbitServer::start())?;
    redis.command(&format!("CONFIG SET requirepass {REDIS_PASSWORD}")).await?;
    let redis_url = redis.url().replace("redis://", &format!("redis://:{REDIS_PASSWORD}@"));
    let vhost = rabbit.vhost("canary").await?;
    rabbit.ctl(&["add_user", "isochrone", AMQP_PASSWORD]).await?;
    rabbit.ctl(&["set_permissions", "-p", "canary", "isochrone", ".*", ".*", ".*"]).await?;
    let amqp_url = format!("amqp://isochrone:{AMQP_PASSWORD}@{}/canary", rabbit.address());
    let tapped = tap(&rabbit, &vhost).await?;

    let (dir, admin, gis, jobs) =
        (tempfile::tempdir()?, admin()?, SimulatedGpServer::start().await?, JobServer::start().await?);
    let config = dir.path().join("isochrone.toml");
    let text = format!(
        "[http_jobs.UpdateInsightsWorkbook]\nurl = \"{}\"\ntoken = \"{JOBS_TOKEN}\"\n[notebook.secrets.ann]\nDB_PASSWORD = \"{NOTEBOOK_SECRET}\"\n",
        jobs.url
    );
    std::fs::write(&config, text)?;
    let process = |name: &str| {
        ServerOptions::new(BINARY, dir.path().join(name))
            .env("ISOCHRONE_CONFIG", config.display())
            .env("ISOCHRONE_SECRETS_KEY", KEY)
            .env("ISOCHRONE_REDIS_URL", &redis_url)
            .env("ISOCHRONE_AMQP_URL", &amqp_url)
            .env("ISOCHRONE__LOG__FILTER", "trace")
            .env("ISOCHRONE__ARTIFACTS__DIR", dir.path().join("artifacts").display())
            .env("ISOCHRONE__EGRESS__SERVERS", format!("{},http://{NOWHERE}", gis.url()))
    };
    let options = process("scheduler").env("ISOCHRONE__ADMIN__LISTEN", admin);
    let server = Server::start(&options.clone().command(&["scheduler", "--http", "127.0.0.1:0"]))
        .await?
        .sign_in()
        .await?;
    let worker = Server::start(&process("worker").command(&["worker", "--slots", "2"])).await?;
    let mut places = Places::default();
    let cli = process("commands");
    let made = work(&mut places, &server, &cli, &gis).await?;
    metrics(&mut places, admin).await?;
    ask_commands(&mut places, &cli)?;
    for (key, bytes) in redis_contents(&redis_url).await? {
        places.add(format!("Redis {key}"), bytes);
    }
    ensure!(places.0.keys().any(|place| place.contains(":task:")), "tasks were there");
    // The broker goes, and so does Redis's password: what is said then.
    redis.command(&format!("AUTH {REDIS_PASSWORD}")).await.ok();
    rabbit.close_all_connections().await?;
    tokio::try_join!(server.terminate(), worker.terminate())?;
    let messages = tapped.lock().expect("no test panics with it").clone();
    ensure!(messages.len() >= 3, "{} messages were seen", messages.len());
    for message in messages {
        places.add("messages", message);
    }
    places.files(dir.path())?;
    check(&places, &made, ALLOWED);
    Ok(())
}

/// Every message that the broker gets or delivers in a virtual host, with its properties.
async fn tap(rabbit: &RabbitServer, url: &str) -> Result<Arc<Mutex<Vec<Vec<u8>>>>> {
    rabbit.ctl(&["trace_on", "-p", "canary"]).await?;
    let connection = lapin::Connection::connect(url, lapin::ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let (name, none) = ("canary-tap", FieldTable::default());
    channel.queue_declare(name.into(), QueueDeclareOptions::default(), none.clone()).await?;
    let bound = QueueBindOptions::default();
    channel.queue_bind(name.into(), "amq.rabbitmq.trace".into(), "#".into(), bound, none.clone()).await?;
    let consuming = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    let mut consumer = channel.basic_consume(name.into(), "tap".into(), consuming, none).await?;
    let seen: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let messages = Arc::clone(&seen);
    tokio::spawn(async move {
        // Held until the test ends.
        let _held = (connection, channel);
        while let Some(Ok(delivery)) = consumer.next().await {
            let mut bytes = format!("{:?}", delivery.properties).into_bytes();
            bytes.extend(&delivery.data);
            messages.lock().expect("no test panics with it").push(bytes);
        }
    });
    Ok(seen)
}

#[test]
fn what_can_t_be_reached_or_refuses_is_told_without_its_password() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let plain = ServerOptions::new(BINARY, dir.path().join("data"));
    let mut places = Places::default();
    let fleet = plain
        .clone()
        .env("ISOCHRONE_REDIS_URL", format!("redis://:{REDIS_PASSWORD}@{NOWHERE}/"))
        .env("ISOCHRONE_AMQP_URL", format!("amqp://isochrone:{AMQP_PASSWORD}@{NOWHERE}/isochrone"));
    let odd = plain
        .clone()
        .env("ISOCHRONE_REDIS_URL", format!("redis://:{REDIS_PASSWORD}@[nonsense"))
        .env("ISOCHRONE_AMQP_URL", format!("amqp:/isochrone:{AMQP_PASSWORD}@%%%"));
    let portal = plain.clone().env("ISOCHRONE__PORTAL__URL", format!("https://{NOWHERE}/portal"));
    let by_password = portal
        .clone()
        .env("ISOCHRONE__PORTAL__USER", "siteadmin")
        .env("ISOCHRONE_PORTAL_PASSWORD", PORTAL_PASSWORD);
    let by_secret = portal
        .clone()
        .env("ISOCHRONE__PORTAL__CLIENT_ID", "app")
        .env("ISOCHRONE_PORTAL_CLIENT_SECRET", CLIENT_SECRET);
    let by_key = portal.clone().env("ISOCHRONE_PORTAL_API_KEY", API_KEY);
    let too_many = by_key.clone().env("ISOCHRONE_PORTAL_CLIENT_SECRET", CLIENT_SECRET);
    let spoiled_key = plain.clone().env("ISOCHRONE_SECRETS_KEY", &KEY[1..]);
    let wrong_kind = plain.clone().env("ISOCHRONE__ADMIN_PASSWORD", format!("[{PORTAL_PASSWORD}]"));
    for (what, options) in [
        ("fleet", &fleet),
        ("odd URLs", &odd),
        ("password", &by_password),
        ("client secret", &by_secret),
        ("API key", &by_key),
        ("too many", &too_many),
        ("spoiled key", &spoiled_key),
        ("wrong kind", &wrong_kind),
    ] {
        for command in [&["doctor"][..], &["config", "show"], &["task", "list"]] {
            let options = options.clone().env("ISOCHRONE__LOG__FILTER", "trace").env("RUST_BACKTRACE", 1);
            places.said(&format!("{what}: {}", command.join(" ")), &options.cli(command, "")?);
        }
    }
    places.files(dir.path())?;
    let own = [("spoiled seal key", KEY[1..].to_owned())];
    check(&places, &own, &[]);
    Ok(())
}
