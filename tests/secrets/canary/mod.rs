//! A distinct canary in each place where a secret can be put; then each is looked for in all that Isochrone writes.
//! What is allowed stands in the table of `canaries`, and nothing else is.

mod accounts;
mod canaries;
mod found;
mod job_server;
mod notebook;
mod tap;
#[cfg(feature = "otlp")]
mod traces;
mod work;

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use isochrone_sandbox::SimulatedGpServer;
use isochrone_testkit::{RabbitServer, RedisServer, Server, ServerOptions};

use crate::places::redis_contents;
use crate::{BINARY, KEY};
use canaries::*;
use found::{Places, ask_commands, check, metrics};
use job_server::JobServer;
use tap::tap;
use work::work;

fn admin() -> Result<SocketAddr> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn embedded_no_canary_is_anywhere_but_where_it_belongs() -> Result<()> {
    let (dir, admin, gis, jobs) =
        (tempfile::tempdir()?, admin()?, SimulatedGpServer::start().await?, JobServer::start().await?);
    let config = dir.path().join("isochrone.toml");
    std::fs::write(&config, configuration(&jobs.url))?;
    let options = ServerOptions::new(BINARY, dir.path().join("data"))
        .env("ISOCHRONE_CONFIG", config.display())
        .env("ISOCHRONE_SECRETS_KEY", KEY)
        .env("ISOCHRONE__LOG__FILTER", "trace")
        .env("ISOCHRONE__ADMIN__LISTEN", admin)
        .env("ISOCHRONE__EGRESS__SERVERS", format!("{},http://{NOWHERE}", gis.url()));
    let options = options.env("ISOCHRONE_ADMIN_TOKEN", ADMIN_TOKEN).shared_python()?;
    #[cfg(feature = "otlp")]
    let (collector, traces) = traces::collector().await?;
    #[cfg(feature = "otlp")]
    let options = options.env("OTEL_EXPORTER_OTLP_ENDPOINT", collector);
    let mut places = Places::default();
    let server = Server::start(&options).await?.sign_in().await?;
    // What is in its memory is in no core file.
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.pid()))?;
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap_or_default();
    ensure!(core.split_whitespace().skip(4).take(2).eq(["0", "0"]), "{core}");
    accounts::change_log(&mut places, admin).await?;
    let made = work(&mut places, &server, &options, &gis).await?;
    ensure!(jobs.orders.lock().expect("no test panics with it").len() >= 2, "the orders came");
    metrics(&mut places, admin).await?;
    ask_commands(&mut places, &options)?;
    ensure!(server.terminate().await?, "it ends");
    places.files(dir.path())?;
    #[cfg(feature = "otlp")]
    {
        let sent = traces.lock().expect("no test panics with it").clone();
        ensure!(!sent.is_empty(), "traces were sent");
        places.add("traces", sent);
    }
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
    std::fs::write(&config, configuration(&jobs.url))?;
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
    let worker = process("worker").command(&["worker", "--slots", "2"]).shared_python()?;
    let worker = Server::start(&worker).await?;
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
    // Not among what is looked through: it is the operator's own.
    let beside = tempfile::tempdir()?;
    let with_file = |name: &str, text: String| -> Result<ServerOptions> {
        let file = beside.path().join(name);
        std::fs::write(&file, text)?;
        Ok(plain.clone().env("ISOCHRONE_CONFIG", file.display()))
    };
    let broken_file = with_file("broken", format!("[portal]\npassword = \"{PORTAL_PASSWORD}\n"))?;
    let listed = with_file("listed", format!("[notebook.environment]\nA = [\"{SERVICE_TOKEN}\"]\n"))?;
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
        ("broken file", &broken_file),
        ("list for a variable", &listed),
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
