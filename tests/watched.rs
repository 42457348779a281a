//! A fleet under a small load, watched by a real Prometheus with the rules of deploy/prometheus: what dashboards ask for
//! is there, and alerts fire when their faults are made.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use isochrone_testkit::fleet::{Fleet, Script, TASKS, create_minutely};
use isochrone_testkit::servers::PrometheusServer;
use isochrone_testkit::{Server, eventually_within};
use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_isochrone");
/// Rates need some scrapes, and the load takes its time.
const WITHIN: Duration = Duration::from_mins(2);
/// A minute of the fleet takes three seconds.
const SPEED: u32 = 20;

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(name)
}

/// A port that was free a moment ago.
fn admin() -> Result<SocketAddr> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// Every expression of the dashboards, as a browser would ask for it.
fn expressions() -> Result<Vec<String>> {
    let mut found = Vec::new();
    for file in std::fs::read_dir(deploy("grafana/dashboards"))? {
        let board: Value = serde_json::from_slice(&std::fs::read(file?.path())?)?;
        collect(&board, &mut found);
    }
    let plain = |text: &String| text.replace("$__rate_interval", "1m").replace("$type", ".*");
    let mut found: Vec<String> = found.iter().map(plain).collect();
    found.sort();
    found.dedup();
    Ok(found)
}

fn collect(board: &Value, found: &mut Vec<String>) {
    match board {
        Value::Object(fields) => {
            found.extend(fields.get("expr").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| collect(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, found)),
        _ => {}
    }
}

/// What the rules record, and the expressions of the alerts.
fn rules() -> Result<(Vec<String>, Vec<String>)> {
    let of = |file: &str, key: &str| -> Result<Vec<String>> {
        let text = std::fs::read_to_string(deploy(file))?;
        let names = text.lines().filter_map(|line| line.trim_start().strip_prefix(key));
        Ok(names.map(|name| name.trim().to_owned()).collect())
    };
    Ok((of("prometheus/rules/recording.yml", "- record:")?, of("prometheus/rules/alerts.yml", "- alert:")?))
}

struct Watched {
    fleet: Fleet,
    scheduler: Server,
    worker: Server,
    prometheus: PrometheusServer,
}

/// A fleet of which about every third run fails.
async fn watched() -> Result<Watched> {
    let mut fleet = Fleet::start(BINARY, SPEED).await?;
    fleet.drill.script(|begun| Script { hold_ms: 20, succeed: begun.run.as_bytes()[15] % 3 > 0 });
    let admins = [admin()?, admin()?];
    fleet.env("ISOCHRONE__ADMIN__LISTEN", admins[0]);
    let scheduler = fleet.scheduler().await?;
    fleet.env("ISOCHRONE__ADMIN__LISTEN", admins[1]);
    let worker = fleet.worker(4).await?;
    for n in 0..5 {
        create_minutely(&scheduler, &format!("watched {n}"), &[("maxConsecutiveFailures", "-1")]).await?;
    }
    let prometheus = PrometheusServer::start(&admins, &deploy("prometheus/rules")).await?;
    Ok(Watched { fleet, scheduler, worker, prometheus })
}

/// Waits until the alert fires, or until it does not.
async fn until(prometheus: &PrometheusServer, alert: &str, fires: bool) -> Result<()> {
    eventually_within(WITHIN, &format!("{alert}: {fires}"), async || {
        let firing = prometheus.firing().await?.iter().any(|name| name == alert);
        Ok((firing == fires).then_some(()))
    })
    .await
}

async fn without_data(prometheus: &PrometheusServer, wanted: &[&String]) -> Result<Vec<String>> {
    // Not faster than it is scraped.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut without = Vec::new();
    for expression in wanted {
        if prometheus.query(expression).await?.is_empty() {
            without.push((*expression).clone());
        }
    }
    Ok(without)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_expression_has_data_and_alerts_fire_for_their_faults() -> Result<()> {
    let Watched { mut fleet, scheduler, worker, prometheus } = watched().await?;
    let (records, alerts) = rules()?;
    let asked = expressions()?;
    ensure!(asked.len() > 30 && records.len() > 5 && alerts.len() > 15, "some are not found");
    let wanted: Vec<&String> = asked.iter().chain(&records).collect();
    let everything = eventually_within(WITHIN, "data for every expression", async || {
        // A client of the API, too.
        scheduler.get(TASKS, &[]).await?;
        Ok(without_data(&prometheus, &wanted).await?.is_empty().then_some(()))
    })
    .await;
    ensure!(everything.is_ok(), "without data: {:#?}", without_data(&prometheus, &wanted).await?);

    until(&prometheus, "RunFailureRatio", true).await?;
    for fault in ["BrokerDisconnected", "NoWorkersForType", "StoreDown", "NoSchedulerLeader"] {
        until(&prometheus, fault, false).await?;
    }
    fleet.rabbit.stop().await?;
    until(&prometheus, "BrokerDisconnected", true).await?;
    fleet.rabbit.restart().await?;
    until(&prometheus, "BrokerDisconnected", false).await?;
    worker.kill()?;
    until(&prometheus, "NoWorkersForType", true).await?;
    fleet.redis.stop().await?;
    until(&prometheus, "StoreDown", true).await?;
    fleet.redis.restart().await?;
    until(&prometheus, "StoreDown", false).await?;
    until(&prometheus, "NoSchedulerLeader", false).await?;
    scheduler.kill()?;
    until(&prometheus, "NoSchedulerLeader", true).await
}
