//! What is wrong is told at start, in one line that names the setting, and no secret is in it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result, ensure};
use isochrone_testkit::{RabbitServer, RedisServer, ServerOptions};

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
