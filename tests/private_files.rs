//! What the server keeps is its user's alone, whatever mask it was started with.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use isochrone_testkit::{ADMIN_PASSWORD, Server, ServerOptions, eventually};
use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_isochrone");
const REST: &str = "/sharing/rest";

/// Starts the binary with a mask that hides nothing.
fn unmasked(dir: &Path) -> Result<ServerOptions> {
    let program = dir.join("unmasked");
    fs::write(&program, format!("#!/bin/sh\numask 000\nexec '{BINARY}' \"$@\"\n"))?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    Ok(ServerOptions::new(program, dir.join("data")))
}

/// The paths below that others than their owner may use, and how many there are in all.
fn open_to_others(path: &Path, open: &mut Vec<String>) -> Result<usize> {
    let metadata = fs::symlink_metadata(path)?;
    if metadata.permissions().mode() & 0o077 != 0 && !metadata.is_symlink() {
        open.push(format!("{:o} {}", metadata.permissions().mode(), path.display()));
    }
    let mut seen = 1;
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            // SQLite's log may go meanwhile.
            seen += open_to_others(&entry?.path(), open).unwrap_or_default();
        }
    }
    Ok(seen)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_file_is_its_owners_alone() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let options = unmasked(dir.path())?;
    let server = Server::start(&options).await?.sign_in().await?;
    // An artifact and a part of an upload.
    let cron = [("minute", "0"), ("hour", "0"), ("dayOfMonth", "29"), ("month", "2"), ("dayOfWeek", "?")];
    let report =
        [("type", "ExecuteReport"), ("parameters", r#"{"reportType":"org","reportSubType":"users"}"#)];
    let task = server.create_task(&[&cron[..], &report].concat()).await?;
    let task = format!("{REST}/community/users/admin/tasks/{task}");
    server.post(&format!("{task}/run"), &[]).await?;
    eventually("the run to end", async || {
        let runs = server.get(&format!("{task}/runs"), &[]).await?;
        Ok((runs["runs"][0]["status"] == "succeeded").then_some(()))
    })
    .await?;
    let form = [("username", "admin"), ("password", ADMIN_PASSWORD)];
    let given = server.post(&format!("{REST}/generateToken"), &form).await?;
    let token = given["token"].as_str().context("a token")?.to_owned();
    let content = format!("{}{REST}/content/users/admin", server.url);
    let client = reqwest::Client::new();
    let begun = [
        ("title", "Long"),
        ("type", "Notebook"),
        ("filename", "long.ipynb"),
        ("multipart", "true"),
        ("f", "json"),
    ];
    let begun: Value = client
        .post(format!("{content}/addItem"))
        .bearer_auth(&token)
        .form(&begun)
        .send()
        .await?
        .json()
        .await?;
    let item = begun["id"].as_str().with_context(|| format!("{begun}"))?;
    let part = reqwest::multipart::Part::bytes(vec![b' '; 5 << 20]).file_name("long.ipynb");
    let form = reqwest::multipart::Form::new().text("f", "json").text("partNum", "1").part("file", part);
    let add = client.post(format!("{content}/items/{item}/addPart")).bearer_auth(&token).multipart(form);
    let added: Value = add.send().await?.json().await?;
    assert_eq!(added["success"], true, "{added}");

    let mut open = Vec::new();
    let seen = open_to_others(&options.data_dir, &mut open)?;
    assert!(open.is_empty(), "{open:#?}");
    for kept in ["isochrone.db", "isochrone.db-wal", "tls/key.pem", "artifacts"] {
        assert!(options.data_dir.join(kept).exists(), "{kept}");
    }
    assert!(seen > 8, "{seen}");
    Ok(())
}

/// A key that was there with looser rights does not keep them.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_made_anew_is_private() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let options = unmasked(dir.path())?;
    let key = options.data_dir.join("tls").join("key.pem");
    fs::create_dir_all(options.data_dir.join("tls"))?;
    fs::write(&key, "half a key")?;
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644))?;
    let _server = Server::start(&options).await?;
    assert_eq!(fs::metadata(&key)?.permissions().mode() & 0o777, 0o600);
    assert!(fs::read_to_string(&key)?.contains("PRIVATE KEY"));
    Ok(())
}
