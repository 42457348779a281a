//! The artifacts' folder belongs to one installation: a start with another's is refused, and deletes nothing.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use isochrone_testkit::{RedisServer, Server, ServerOptions, eventually};
use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_isochrone");
const TASKS: &str = "/sharing/rest/community/users/admin/tasks";
const ID_FILE: &str = "isochrone-installation";

struct Fixture {
    dir: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Result<Fixture> {
        Ok(Fixture { dir: tempfile::tempdir()? })
    }

    fn artifacts(&self) -> PathBuf {
        self.dir.path().join("artifacts")
    }

    /// An installation of this name, with the artifacts' folder that all have.
    fn options(&self, name: &str) -> ServerOptions {
        ServerOptions::new(BINARY, self.dir.path().join(name))
            .env("ISOCHRONE__ARTIFACTS__DIR", self.artifacts().display())
    }

    /// All files there but the one that says whose they are.
    fn files(&self) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        collect(&self.artifacts(), &mut found)?;
        found.retain(|file| !file.ends_with(ID_FILE));
        found.sort();
        Ok(found)
    }
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { collect(&path, found)? } else { found.push(path) }
    }
    Ok(())
}

/// What a start with these options says, which must fail.
fn refusal(options: &ServerOptions) -> Result<String> {
    let output = options.cli(&options.command.iter().map(String::as_str).collect::<Vec<_>>(), "")?;
    let told = String::from_utf8(output.stderr)?;
    ensure!(!output.status.success(), "it started: {told}");
    ensure!(told.contains("artifacts.dir"), "{told}");
    Ok(told)
}

/// The address of a report that was just made.
async fn report(server: &Server) -> Result<String> {
    let parameters = r#"{"reportType":"org","reportSubType":"content","title":"Tasks"}"#;
    let form = [
        ("type", "ExecuteReport"),
        ("parameters", parameters),
        ("minute", "0"),
        ("hour", "0"),
        ("dayOfMonth", "1"),
        ("month", "1"),
        ("dayOfWeek", "?"),
    ];
    let task = server.create_task(&form).await?;
    let run = server.post(&format!("{TASKS}/{task}/run"), &[]).await?;
    let run = run["runId"].as_str().with_context(|| format!("run now: {run}"))?;
    let at = format!("{TASKS}/{task}/runs/{run}");
    let ended = eventually("a report", async || {
        let run: Value = server.get(&at, &[]).await?;
        Ok((run["status"] == "succeeded").then_some(run))
    })
    .await?;
    let name = ended["artifacts"][0]["name"].as_str().with_context(|| format!("an artifact: {ended}"))?;
    Ok(format!("{at}/artifacts/{name}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn another_installations_folder_is_refused_and_stays_as_it_is() -> Result<()> {
    let (fixture, redis) = (Fixture::new()?, RedisServer::start().await?);
    let first = fixture.options("first");
    let server = Server::start(&first).await?.sign_in().await?;
    let artifact = report(&server).await?;
    ensure!(server.terminate().await?);
    let files = fixture.files()?;
    ensure!(!files.is_empty(), "a run left something");

    // A new data directory, a Redis, and the same Redis by another prefix.
    let by_redis = |prefix: &str| {
        fixture
            .options("second")
            .env("ISOCHRONE_REDIS_URL", redis.url())
            // It comes to no connection.
            .env("ISOCHRONE_AMQP_URL", "amqp://guest:guest@127.0.0.1:1/%2f")
            .env("ISOCHRONE__REDIS__PREFIX", prefix)
    };
    for other in [fixture.options("new"), by_redis("one"), by_redis("two")] {
        let told = refusal(&other)?;
        ensure!(told.contains("another installation") && told.contains("--data-dir"), "{told}");
        // The command line writes into the folder, too.
        let output = other.cli(&["task", "list"], "")?;
        ensure!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    assert_eq!(fixture.files()?, files);

    // Its own still is: also after a copy of the data directory was put back.
    let server = Server::start(&first).await?.sign_in().await?;
    ensure!(server.bytes(&artifact).await?.starts_with(b"Title,"));
    ensure!(server.terminate().await?);
    let status = std::process::Command::new("cp")
        .arg("-a")
        .args([fixture.dir.path().join("first"), fixture.dir.path().join("restored")])
        .status()?;
    ensure!(status.success());
    let server = Server::start(&first).await?.sign_in().await?;
    let later = report(&server).await?;
    ensure!(server.terminate().await?);
    let files = fixture.files()?;
    let server = Server::start(&fixture.options("restored")).await?.sign_in().await?;
    ensure!(server.bytes(&artifact).await?.starts_with(b"Title,"));
    ensure!(!server.bytes(&later).await?.starts_with(b"Title,"), "the backup does not know it");
    ensure!(server.terminate().await?);
    assert_eq!(fixture.files()?, files, "what it does not know is not its own to delete");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_says_nothing_is_taken_only_where_the_store_knows_its_runs() -> Result<()> {
    let fixture = Fixture::new()?;
    let own = fixture.options("own");
    let server = Server::start(&own).await?.sign_in().await?;
    report(&server).await?;
    ensure!(server.terminate().await?);
    let id_file = fixture.artifacts().join(ID_FILE);
    let id = std::fs::read_to_string(&id_file)?;
    std::fs::remove_file(&id_file)?;
    let files = fixture.files()?;

    let told = refusal(&fixture.options("other"))?;
    ensure!(told.contains("knows none of its runs") && told.contains(ID_FILE), "{told}");
    ensure!(!id_file.exists());

    let server = Server::start(&own).await?;
    ensure!(server.terminate().await?);
    assert_eq!(std::fs::read_to_string(&id_file)?, id);
    let log = std::fs::read_to_string(own.data_dir.with_extension("log"))?;
    ensure!(log.contains("belongs to it from now on"), "{log}");

    for nonsense in ["", "nonsense", &"0".repeat(4_000)] {
        std::fs::write(&id_file, nonsense)?;
        let told = refusal(&own)?;
        ensure!(told.contains("no installation's id"), "{told}");
    }
    assert_eq!(fixture.files()?, files);
    Ok(())
}
