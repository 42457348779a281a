//! What a process tells of itself, as Prometheus and a collector of logs read it.

#![allow(clippy::float_cmp)] // What is counted is whole.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, Result, ensure};
use isochrone_domain::TaskId;
use isochrone_store::FleetStore;
use isochrone_testkit::fleet::{DrillServer, Fleet, Script, TASKS, minutely, never};
use isochrone_testkit::{Server, ServerOptions, eventually};
use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_isochrone");

/// Dashboards and alerts are written against these.
const CONTRACT: [&str; 41] = [
    "fires_total",
    "runs_total",
    "run_attempts_total",
    "run_retries_total",
    "dead_letters_total",
    "publish_total",
    "broker_reconnects_total",
    "redelivered_total",
    "leases_lost_total",
    "duties_failed_total",
    "items_deferred_total",
    "fenced_writes_total",
    "http_requests_total",
    "auth_failures_total",
    "connections_refused_total",
    "upstream_requests_total",
    "fire_lateness_seconds",
    "run_queue_wait_seconds",
    "run_duration_seconds",
    "publish_confirm_seconds",
    "lease_renew_seconds",
    "store_operation_seconds",
    "http_request_duration_seconds",
    "build_info",
    "runs_in_progress",
    "runs_queued",
    "worker_slots",
    "consumers",
    "last_success_timestamp_seconds",
    "outbox_pending",
    "outbox_oldest_seconds",
    "broker_connected",
    "broker_blocked",
    "scheduler_leader",
    "clock_offset_seconds",
    "audit_entries",
    "audit_head",
    "store_up",
    "heartbeat_age_seconds",
    "certificate_expiry_timestamp_seconds",
    "process_cpu_seconds_total",
];

/// A port that was free a moment ago.
fn admin() -> Result<SocketAddr> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

struct Scrape(String);

impl Scrape {
    async fn of(admin: SocketAddr) -> Result<Scrape> {
        let answer = reqwest::get(format!("http://{admin}/metrics")).await?.error_for_status()?;
        let media = answer.headers()["content-type"].to_str()?.to_owned();
        ensure!(media.starts_with("text/plain; version=0.0.4"), "{media}");
        Ok(Scrape(answer.text().await?))
    }

    /// The value of a series with these labels, in any order; none: there is no such series.
    fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels: Vec<_> = labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
        let mut lines = self.0.lines().filter(|line| !line.starts_with('#'));
        let line = lines.find(|line| {
            let rest = line.strip_prefix("isochrone_").and_then(|line| line.strip_prefix(name));
            rest.is_some_and(|rest| rest.starts_with(['{', ' ']))
                && labels.iter().all(|label| line.contains(label))
        })?;
        line.rsplit(' ').next()?.parse().ok()
    }

    fn names(&self) -> BTreeSet<String> {
        let told = self.0.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let names = told.filter_map(|told| told.split(' ').next());
        names.map(|name| name.trim_start_matches("isochrone_").to_owned()).collect()
    }
}

/// Waits until the series has a value that fits.
async fn reaches(
    admin: SocketAddr,
    name: &str,
    labels: &[(&str, &str)],
    fits: impl Fn(f64) -> bool,
) -> Result<Scrape> {
    eventually(&format!("{name} {labels:?}"), async || {
        let scrape = Scrape::of(admin).await?;
        Ok(scrape.value(name, labels).is_some_and(&fits).then_some(scrape))
    })
    .await
}

async fn run_now(server: &Server, task: TaskId) -> Result<()> {
    let answer = server.post(&format!("{TASKS}/{task}/run"), &[]).await?;
    ensure!(answer["success"] == true, "{answer}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_counts_what_it_does_and_its_log_says_whose_lines_are_whose() -> Result<()> {
    let (dir, drill, admin) = (tempfile::tempdir()?, DrillServer::start().await?, admin()?);
    // A minute takes two seconds.
    let options = ServerOptions::new(BINARY, dir.path().join("data"))
        .env("ISOCHRONE__WORKER__DRILL_URL", drill.url())
        .env("ISOCHRONE__ADMIN__LISTEN", admin)
        .clock(30);
    let server = Server::start(&options).await?.sign_in().await?;
    let good: TaskId = server.create_task(&never("good")).await?.parse()?;
    let bad: TaskId = server.create_task(&never("bad")).await?.parse()?;
    drill.script(move |begun| Script {
        hold_ms: if begun.task == good || begun.task == bad { 0 } else { 60_000 },
        succeed: begun.task != bad,
    });
    let kind = ("type", "ExecuteReport");
    let before = Scrape::of(admin).await?;
    for outcome in ["succeeded", "failed", "submitfailed", "skipped"] {
        let counted = before.value("runs_total", &[kind, ("outcome", outcome)]);
        ensure!(counted == Some(0.0), "{outcome} begins at 0: {counted:?}");
    }

    run_now(&server, good).await?;
    run_now(&server, bad).await?;
    reaches(admin, "runs_total", &[kind, ("outcome", "succeeded")], |count| count == 1.0).await?;
    reaches(admin, "runs_total", &[kind, ("outcome", "failed")], |count| count == 1.0).await?;
    // Its first run has not ended when its second minute comes.
    let mut long = minutely("long");
    long.retain(|(name, _)| *name != "overlapPolicy");
    server.create_task(&long).await?;
    let overlap = [kind, ("outcome", "skipped"), ("reason", "skipped_overlap")];
    let after = reaches(admin, "fires_total", &overlap, |count| count >= 1.0).await?;
    let value = |name, labels: &[(&str, &str)]| after.value(name, labels);
    ensure!(value("runs_total", &[kind, ("outcome", "skipped")]) >= Some(1.0), "{}", after.0);
    ensure!(value("fires_total", &[kind, ("outcome", "run"), ("reason", "on_time")]) == Some(1.0));
    ensure!(value("run_attempts_total", &[kind, ("result", "failed")]) == Some(1.0));
    ensure!(value("run_retries_total", &[kind]) == Some(0.0));
    ensure!(value("run_duration_seconds_count", &[kind, ("outcome", "succeeded")]) == Some(1.0));
    ensure!(value("run_queue_wait_seconds_count", &[kind]) == Some(3.0), "{}", after.0);
    ensure!(value("runs_in_progress", &[kind]) == Some(1.0));
    ensure!(value("publish_total", &[("result", "ack")]) == Some(3.0));
    ensure!(value("scheduler_leader", &[]) == Some(1.0));
    ensure!(value("broker_connected", &[]) == Some(1.0));
    ensure!(value("store_up", &[]) == Some(1.0));
    let run = "/sharing/rest/community/users/{user}/tasks/{task}/run";
    let asked = [("route", run), ("method", "POST"), ("code", "200")];
    ensure!(value("http_requests_total", &asked) == Some(2.0), "{}", after.0);

    // ArcGIS's errors come with status 200; what is counted is their code.
    let wrong = [("username", "admin"), ("password", "wrong")];
    server.post("/sharing/rest/generateToken", &wrong).await?;
    let after = reaches(admin, "auth_failures_total", &[("kind", "password")], |count| count == 1.0).await?;
    let asked = [("route", "/sharing/rest/generateToken"), ("code", "400")];
    ensure!(after.value("http_requests_total", &asked) == Some(1.0), "{}", after.0);

    let log = std::fs::read_to_string(options.data_dir.with_extension("log"))?;
    let lines = log.lines().filter(|line| line.starts_with('{'));
    let lines = lines.map(serde_json::from_str::<Value>).collect::<std::result::Result<Vec<_>, _>>()?;
    for message in ["attempt begins", "attempt ended"] {
        let line = lines.iter().find(|line| line["msg"] == message).context(message)?;
        ensure!(line["attempt"] == 1, "{line}");
        for field in ["ts", "level", "target", "run_id", "task_id", "worker"] {
            ensure!(line[field].is_string(), "{field} is missing: {line}");
        }
    }
    let fired = lines.iter().find(|line| line["msg"] == "fired").context("a fire's line")?;
    ensure!(fired["run_id"].is_string() && fired["task_id"].is_string(), "{fired}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_logs_filter_can_be_changed_while_it_runs() -> Result<()> {
    let (dir, admin) = (tempfile::tempdir()?, admin()?);
    let options = ServerOptions::new(BINARY, dir.path().join("data")).env("ISOCHRONE__ADMIN__LISTEN", admin);
    let server = Server::start(&options).await?.sign_in().await?;
    let (url, http) = (format!("http://{admin}/log-filter"), reqwest::Client::new());
    ensure!(reqwest::get(&url).await?.text().await? == "info\n");
    let file = options.data_dir.join("admin.token");
    ensure!(std::fs::metadata(&file)?.permissions().mode() & 0o777 == 0o600, "others can read it");
    let token = std::fs::read_to_string(&file)?;
    let put = |body: &'static str| http.put(&url).bearer_auth(token.trim()).body(body);
    for (what, request, status) in [
        ("no token", http.put(&url).body("off"), 401),
        ("another token", http.put(&url).bearer_auth("0".repeat(64)).body("off"), 401),
        ("a name that was made to lead here", put("off").header("host", "evil.example.com"), 403),
        ("a foreign page", put("off").header("origin", "http://evil.example.com"), 403),
    ] {
        let answer = request.send().await?;
        ensure!(answer.status() == status, "{what}: {}", answer.status());
    }
    ensure!(reqwest::get(&url).await?.text().await? == "info\n", "what is refused changes nothing");
    for probe in ["livez", "readyz", "metrics"] {
        let answer =
            http.get(format!("http://{admin}/{probe}")).header("host", "isochrone.monitoring.svc").send();
        ensure!(answer.await?.status() == 200, "{probe} answers whoever asks");
    }
    let refused = put("info,=[").send().await?;
    ensure!(refused.status() == 400, "{}", refused.text().await?);
    ensure!(reqwest::get(&url).await?.text().await? == "info\n", "what can't be read changes nothing");
    let changed = put("isochrone_scheduler=debug,info").send().await?;
    ensure!(changed.status() == 200, "{}", changed.text().await?);
    ensure!(reqwest::get(&url).await?.text().await? == "isochrone_scheduler=debug,info\n");
    let task: TaskId = server.create_task(&never("quiet")).await?.parse()?;
    run_now(&server, task).await?;
    let log = options.data_dir.with_extension("log");
    eventually("a line of level DEBUG", async || {
        Ok(std::fs::read_to_string(&log)?.contains(r#""level":"DEBUG""#).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_tells_everything_of_the_contract() -> Result<()> {
    let mut fleet = Fleet::start(BINARY, 1).await?;
    let admins = [admin()?, admin()?, admin()?];
    let [leads, follows, works] = admins;
    fleet.env("ISOCHRONE__ADMIN__LISTEN", leads);
    let leader = fleet.scheduler().await?;
    reaches(leads, "scheduler_leader", &[], |leads| leads == 1.0).await?;
    fleet.env("ISOCHRONE__ADMIN__LISTEN", follows);
    let _follower = fleet.scheduler().await?;
    fleet.env("ISOCHRONE__ADMIN__LISTEN", works);
    let _worker = fleet.worker(4).await?;
    let task: TaskId = leader.create_task(&never("once")).await?.parse()?;
    run_now(&leader, task).await?;
    reaches(works, "runs_total", &[("outcome", "succeeded"), ("type", "ExecuteReport")], |n| n == 1.0)
        .await?;
    reaches(leads, "heartbeat_age_seconds", &[], |age| age >= 0.0).await?;

    let mut told = BTreeSet::new();
    for admin in admins {
        told.extend(Scrape::of(admin).await?.names());
    }
    let missing: Vec<_> = CONTRACT.iter().filter(|name| !told.contains(**name)).collect();
    ensure!(missing.is_empty(), "missing: {missing:?}");
    let follower = Scrape::of(follows).await?;
    ensure!(follower.value("scheduler_leader", &[]) == Some(0.0), "one stands by");
    ensure!(follower.value("outbox_pending", &[]).is_none(), "what is the leader's is told once");
    ensure!(follower.value("heartbeat_age_seconds", &[]).is_none(), "the same");
    let worker = Scrape::of(works).await?;
    ensure!(worker.value("certificate_expiry_timestamp_seconds", &[]).is_none(), "it has none");
    ensure!(worker.value("worker_slots", &[("type", "ExecuteReport")]) == Some(4.0), "{}", worker.0);

    // A heartbeat went by the broker to the worker, which tells of it in the store.
    let store = fleet.store().await?;
    eventually("a heartbeat at the worker", async || {
        let members = store.members().await?;
        Ok(members.iter().find_map(|present| present.member.heartbeat))
    })
    .await?;

    reaches(works, "consumers", &[("type", "ExecuteReport")], |able| able == 1.0).await?;
    fleet.rabbit.stop().await?;
    for admin in admins {
        reaches(admin, "broker_connected", &[], |connected| connected == 0.0).await?;
    }
    reaches(works, "consumers", &[("type", "ExecuteReport")], |able| able == 0.0).await?;
    fleet.rabbit.restart().await?;
    for admin in admins {
        reaches(admin, "broker_connected", &[], |connected| connected == 1.0).await?;
        reaches(admin, "broker_reconnects_total", &[], |count| count >= 1.0).await?;
    }
    Ok(())
}

/// Needs `--features otlp`.
#[cfg(feature = "otlp")]
#[tokio::test(flavor = "multi_thread")]
async fn a_collector_gets_a_runs_trace() -> Result<()> {
    use std::sync::{Arc, Mutex, PoisonError};

    let (dir, got) = (tempfile::tempdir()?, Arc::new(Mutex::new(Vec::new())));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    let keep = Arc::clone(&got);
    let take = async move |body: axum::body::Bytes| {
        keep.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&body);
    };
    let collector = axum::Router::new().route("/v1/traces", axum::routing::post(take));
    tokio::spawn(async move { axum::serve(listener, collector).await });
    let drill = DrillServer::start().await?;
    let options = ServerOptions::new(BINARY, dir.path().join("data"))
        .env("ISOCHRONE__WORKER__DRILL_URL", drill.url())
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        .clock(30);
    let server = Server::start(&options).await?.sign_in().await?;
    server.create_task(&minutely("traced")).await?;
    let begun = eventually("an attempt", async || Ok(drill.begun().into_iter().next())).await?;
    ensure!(server.terminate().await?, "it ended badly");
    let got = got.lock().unwrap_or_else(PoisonError::into_inner);
    let has = |part: &[u8]| got.windows(part.len()).any(|window| window == part);
    ensure!(has(begun.run.as_bytes()), "the run's trace is not there");
    ensure!(has(b"fire") && has(b"attempt"), "a span is missing");
    Ok(())
}
