//! What is wrong is told at start, in one line that names the setting, and no secret is in it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result, ensure};
use isochrone_testkit::{RabbitServer, RedisServer, Server, ServerOptions};

/// Nobody listens there.
const NOBODY: &str = "127.0.0.1:1";
const SECRET: &str = "hunter2secret";

/// The one line that a worker with these settings ends with.
fn refusal(dir: &std::path::Path, settings: &[(&str, &str)]) -> Result<String> {
    let mut options = ServerOptions::new(env!("CARGO_BIN_EXE_isochrone"), dir.join("data"));
    for (name, value) in settings {
        options = options.env(name, value);
    }
    let output = options.cli(&["worker"], "")?;
    let told = String::from_utf8(output.stderr)?;
    ensure!(!output.status.success(), "it started: {told}");
    ensure!(!told.contains(SECRET), "a secret was told: {told}");
    let last = told.lines().filter(|line| line.starts_with("isochrone: ")).collect::<Vec<_>>();
    ensure!(last.len() == 1, "not one line: {told}");
    Ok(last.first().context("a line")?.to_string())
}

fn require_password(redis: SocketAddr) -> Result<()> {
    let mut redis = TcpStream::connect(redis)?;
    redis.write_all(format!("CONFIG SET requirepass {SECRET}\r\n").as_bytes())?;
    let mut answer = [0; 5];
    redis.read_exact(&mut answer)?;
    ensure!(&answer == b"+OK\r\n", "Redis takes no password");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_setting_is_named() -> Result<()> {
    let (redis, rabbit) = tokio::try_join!(RedisServer::start(), RabbitServer::start())?;
    require_password(redis.address())?;
    let dir = tempfile::tempdir()?;
    let good_redis = format!("redis://:{SECRET}@{}/", redis.address());
    let weak = RedisServer::start_with(&[("appendfsync", "everysec")]).await?;
    let broker = rabbit.address();
    let cases: Vec<(String, String, &[&str])> = vec![
        (String::new(), rabbit.url(), &["redis.url"]),
        (good_redis.clone(), String::new(), &["amqp.url", "ISOCHRONE_AMQP_URL"]),
        (format!("redis://:{SECRET}@{NOBODY}/"), rabbit.url(), &["redis.url", "nothing listens"]),
        (format!("redis://:not{SECRET}@{}/", redis.address()), rabbit.url(), &["redis.url", "password"]),
        (format!("ftp://x:{SECRET}@y"), rabbit.url(), &["redis.url"]),
        (weak.url(), rabbit.url(), &["redis.url", "appendfsync", "always"]),
        (good_redis.clone(), format!("amqp://guest:{SECRET}@{broker}/%2f"), &["amqp.url", "password"]),
        (good_redis.clone(), format!("amqp://guest:guest@{broker}/nowhere"), &["amqp.url", "virtual host"]),
        (good_redis.clone(), format!("amqps://guest:{SECRET}@{broker}/%2f"), &["amqp.url"]),
        (good_redis, format!("http://guest:{SECRET}@{broker}/"), &["amqp.url", "URL"]),
    ];
    for (redis_url, amqp_url, words) in cases {
        let settings = [("ISOCHRONE_REDIS_URL", &*redis_url), ("ISOCHRONE_AMQP_URL", &*amqp_url)];
        let told = refusal(dir.path(), &settings)?;
        for word in words {
            assert!(told.contains(word), "{word} for {redis_url} {amqp_url}: {told}");
        }
    }
    Ok(())
}

/// What a start on something that does not fit says: one sentence with the setting and the way out.
#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_refused_in_one_sentence() -> Result<()> {
    let (redis, rabbit) = tokio::try_join!(RedisServer::start(), RabbitServer::start())?;
    let newer = RedisServer::start().await?;
    newer.command("SET isochrone:{iso:g}:layout 4711").await?;
    let (alone, limited) = tokio::try_join!(RedisServer::start(), RedisServer::start())?;
    let _replicas = tokio::try_join!(alone.start_replica(&[]), limited.start_replica(&[]))?;
    limited.command("CONFIG SET min-replicas-to-write 1").await?;
    limited.command("ACL SETUSER isochrone on >secret ~* +@all -wait").await?;
    let may_not_wait = format!("redis://isochrone:secret@{}/", limited.address());
    let dir = tempfile::tempdir()?;
    let foreign = dir.path().join("foreign");
    std::fs::create_dir(&foreign)?;
    std::fs::write(foreign.join("isochrone-installation"), format!("{}\n", "0a1b2c3d".repeat(4)))?;
    let strange = dir.path().join("strange");
    std::fs::create_dir_all(strange.join("runs"))?;
    std::fs::write(strange.join("runs/something"), "something")?;

    let own = dir.path().join("own");
    let cases: [(&str, &std::path::Path, &[&str]); 6] = [
        (
            &redis.url(),
            &foreign,
            &["artifacts.dir", "another installation", "set artifacts.dir to a folder of"],
        ),
        (
            &redis.url(),
            &strange,
            &["artifacts.dir", "none of its runs", "set artifacts.dir to an empty folder"],
        ),
        (&newer.url(), &own, &["redis.url", "layout is 4711", "start a newer isochrone"]),
        (
            &alone.url(),
            &own,
            &["redis.url", "`min-replicas-to-write` is `0`", "CONFIG SET min-replicas-to-write 1"],
        ),
        (&alone.url(), &own, &["redis.url", "or set redis.allow_weak_durability"]),
        (&may_not_wait, &own, &["redis.url", "can't be waited for", "ACL SETUSER name +wait"]),
    ];
    for (redis_url, artifacts, words) in cases {
        let artifacts = artifacts.display().to_string();
        let settings = [
            ("ISOCHRONE_REDIS_URL", redis_url),
            ("ISOCHRONE_AMQP_URL", &rabbit.url()),
            ("ISOCHRONE__ARTIFACTS__DIR", &artifacts),
        ];
        let told = refusal(dir.path(), &settings)?;
        for word in words {
            assert!(told.contains(word), "{word}: {told}");
        }
        assert!(!told.contains(". ") && !told.contains("? "), "not one sentence: {told}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_of_a_newer_version_is_refused_in_one_sentence() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let options = ServerOptions::new(env!("CARGO_BIN_EXE_isochrone"), dir.path().join("data"));
    ensure!(Server::start(&options).await?.terminate().await?, "it ends");
    let database = rusqlite::Connection::open(options.data_dir.join("isochrone.db"))?;
    database.pragma_update(None, "user_version", 4_711)?;
    drop(database);
    let output = options.cli(&options.command.iter().map(String::as_str).collect::<Vec<_>>(), "")?;
    let told = String::from_utf8(output.stderr)?;
    ensure!(!output.status.success(), "it started: {told}");
    let told = told.lines().find(|line| line.starts_with("isochrone: ")).context("a line")?;
    for word in ["data_dir (", "version 4711", "start a newer isochrone"] {
        assert!(told.contains(word), "{word}: {told}");
    }
    Ok(())
}
