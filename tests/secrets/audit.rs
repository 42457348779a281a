//! The audit log: what was done to it behind Isochrone's back is found.

use anyhow::{Context, Result, ensure};
use isochrone_testkit::fleet::{Fleet, never};
use isochrone_testkit::{Server, ServerOptions};
use serde_json::Value;

use crate::{BINARY, KEY};

/// Whether the log is whole, and what is said of it.
fn verify(options: &ServerOptions, more: &[&str]) -> Result<(bool, Value)> {
    let done = options.cli(&[&["--output", "json", "audit", "verify"], more].concat(), "")?;
    let report: Value = serde_json::from_slice(&done.stdout)
        .with_context(|| String::from_utf8_lossy(&done.stderr).into_owned())?;
    assert_eq!(done.status.success(), report["whole"] == true, "{report}");
    Ok((done.status.success(), report))
}

fn problem(report: &Value) -> String {
    report["problems"][0].as_str().unwrap_or_default().to_owned()
}

fn sql(options: &ServerOptions, text: &str) -> Result<()> {
    let db = rusqlite::Connection::open(options.data_dir.join("isochrone.db"))?;
    Ok(db.execute_batch(text)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn in_sqlite_an_edited_log_is_found() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let options = ServerOptions::new(BINARY, dir.path().join("data")).env("ISOCHRONE_SECRETS_KEY", KEY);
    let server = Server::start(&options).await?.sign_in().await?;
    for _ in 0..4 {
        server.create_task(&never("audited")).await?;
    }
    ensure!(server.terminate().await?, "it ends");
    let (whole, report) = verify(&options, &[])?;
    let (entries, head) = (report["entries"].as_u64().context("a count")?, report["head"].clone());
    let head = head.as_str().context("a head")?.to_owned();
    assert!(whole && entries >= 6 && report["plain"] == 0, "{report}");
    let log = std::fs::read_to_string(dir.path().join("data.log"))?;
    assert!(log.contains("the audit log ends here") && log.contains("\"head\":\"0-"), "{log}");
    assert!(verify(&options, &["--head", &head])?.0);

    let file = options.data_dir.join("isochrone.db");
    // All in one file.
    sql(&options, "PRAGMA wal_checkpoint(TRUNCATE);")?;
    let kept = std::fs::read(&file)?;
    for (done, found) in [
        ("UPDATE audit SET body = replace(body, 'audited', 'innocent') WHERE number = 4", "entry 4 is not as it was"),
        ("DELETE FROM audit WHERE number BETWEEN 3 AND 4", "entries 3 to 4 are missing"),
        ("DELETE FROM audit WHERE number = 1", "entries 1 to 1 are missing"),
        (
            "UPDATE audit SET number = -3 WHERE number = 3; UPDATE audit SET number = 3 WHERE number = 4;
             UPDATE audit SET number = 4 WHERE number = -3",
            "entry 3 was written as entry 4",
        ),
        (
            "UPDATE audit SET number = -number WHERE number > 3; UPDATE audit SET number = 1 - number WHERE number < 0;
             INSERT INTO audit SELECT 4, at, body, key, digest FROM audit WHERE number = 3",
            "entry 4 was written as entry 3",
        ),
        ("DELETE FROM audit WHERE number = (SELECT max(number) FROM audit)", "its end was cut off"),
        ("UPDATE audit SET key = NULL WHERE number = 5", "entry 5 is without a key"),
    ] {
        sql(&options, done)?;
        let (whole, report) = verify(&options, &[])?;
        assert!(!whole && problem(&report).contains(found), "{done}: {report}");
        std::fs::write(&file, &kept)?;
        for beside in ["isochrone.db-wal", "isochrone.db-shm"] {
            drop(std::fs::remove_file(options.data_dir.join(beside)));
        }
    }
    // The end and what the store says of it: a head that was noted elsewhere tells.
    sql(
        &options,
        "DELETE FROM audit WHERE number = (SELECT max(number) FROM audit);
         UPDATE audit_chain SET (number, digest) = (SELECT number, digest FROM audit ORDER BY number DESC LIMIT 1)",
    )?;
    assert!(verify(&options, &[])?.0, "the rest is whole");
    let (whole, report) = verify(&options, &["--head", &head])?;
    assert!(!whole && problem(&report).contains("its end was cut off"), "{report}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn in_redis_an_edited_log_is_found() -> Result<()> {
    let mut fleet = Fleet::start(BINARY, 1).await?;
    fleet.env("ISOCHRONE_SECRETS_KEY", KEY);
    let (one, two) = (fleet.scheduler().await?, fleet.scheduler().await?);
    let (a, b) = (never("a"), never("b"));
    for _ in 0..3 {
        tokio::try_join!(one.create_task(&a), two.create_task(&b))?;
    }
    let options = fleet.options();
    let (whole, report) = verify(&options, &[])?;
    assert!(whole && report["plain"] == 0 && report["entries"].as_u64() >= Some(9), "{report}");
    let head = report["head"].as_str().context("a head")?.to_owned();

    let client = redis::Client::open(fleet.redis.url())?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    // Users and sign-ins: more than one entry.
    let log = "isochrone:{iso:g}:audit";
    let members: Vec<(String, f64)> =
        redis::cmd("ZRANGE").arg(log).arg(0).arg(-1).arg("WITHSCORES").query_async(&mut connection).await?;
    let (member, score) = members.first().context("an entry")?;
    let edited = member.replace("\"actor\":\"", "\"actor\":\"not-");
    assert_ne!(member, &edited);
    let mut swap = async |gone: &str, come: &str| -> Result<()> {
        let _: () = redis::cmd("ZREM").arg(log).arg(gone).query_async(&mut connection).await?;
        if !come.is_empty() {
            let _: () = redis::cmd("ZADD").arg(log).arg(score).arg(come).query_async(&mut connection).await?;
        }
        Ok(())
    };
    swap(member, &edited).await?;
    let (whole, report) = verify(&options, &[])?;
    assert!(!whole && problem(&report).contains("is not as it was written"), "{report}");
    swap(&edited, "").await?;
    let (whole, report) = verify(&options, &[])?;
    assert!(!whole && problem(&report).contains("missing"), "{report}");
    swap("", member).await?;
    assert!(verify(&options, &["--head", &head])?.0, "as it was");
    Ok(())
}
