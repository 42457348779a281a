//! Keys come and go while a fleet works.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use isochrone_testkit::fleet::{Fleet, TASKS, never};
use isochrone_testkit::{Server, ServerOptions, eventually};
use serde_json::Value;

use crate::places::{files_with, holds, redis_contents};
use crate::{BINARY, KEY, NEXT_KEY};

const SECRET: &str = "canary-rotated-55aa";

fn with_secret() -> Vec<(&'static str, &'static str)> {
    let mut form = never("rotated");
    form.retain(|(name, _)| *name != "parameters");
    form.push((
        "parameters",
        r#"{"reportType":"org","reportSubType":"content","note":"canary-rotated-55aa"}"#,
    ));
    form
}

/// Keys in this order, the first one seals.
fn keys(options: &ServerOptions, keys: &[&str]) -> ServerOptions {
    options.clone().env("ISOCHRONE_SECRETS_KEY", keys.join("\n"))
}

/// How many secrets are sealed with the key that seals, and how many are in the clear.
fn counts(options: &ServerOptions) -> Result<(u64, u64)> {
    let status = options.cli_json(&["keys", "status"])?;
    let rows = status.as_array().context("a list")?.clone();
    let of = |wanted: &dyn Fn(&Value) -> bool| {
        rows.iter().filter(|row| wanted(row)).filter_map(|row| row["secrets"].as_u64()).sum()
    };
    Ok((of(&|row| row["seals"] == true && !row["key"].is_null()), of(&|row| row["key"].is_null())))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_in_the_clear_is_sealed_and_sealed_anew_and_the_old_key_may_go() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let plain = ServerOptions::new(BINARY, dir.path().join("data"));
    let server = Server::start(&plain).await?.sign_in().await?;
    let task = server.create_task(&with_secret()).await?;
    ensure!(server.terminate().await?, "it ends");
    assert!(!files_with(dir.path(), SECRET)?.is_empty(), "without a key it is in the clear");

    let (old, both, new) = (keys(&plain, &[KEY]), keys(&plain, &[NEXT_KEY, KEY]), keys(&plain, &[NEXT_KEY]));
    assert_eq!(counts(&old)?, (0, 1));
    let first = old.cli_json(&["keys", "rotate"])?;
    assert_eq!((&first["tasks"], &first["unchanged"]), (&Value::from(1), &Value::from(0)), "{first}");
    assert_eq!(counts(&old)?, (1, 0));

    let server = Server::start(&both).await?.sign_in().await?;
    let second = both.cli_json(&["keys", "rotate"])?;
    assert_eq!(
        (&second["tasks"], second["retired"].as_array().map(Vec::len)),
        (&Value::from(1), Some(1)),
        "{second}"
    );
    let again = both.cli_json(&["keys", "rotate"])?;
    assert_eq!((&again["tasks"], &again["unchanged"]), (&Value::from(0), &Value::from(1)), "{again}");
    let shown = server.get(&format!("{TASKS}/{task}"), &[]).await?;
    assert_eq!(shown["parameters"]["note"], SECRET);
    ensure!(server.terminate().await?, "it ends");

    let shown = new.cli_json(&["task", "show", &task])?;
    assert!(shown.to_string().contains(SECRET), "the old key is needed no more: {shown}");
    assert!(!old.cli(&["task", "list"], "")?.status.success(), "the old key alone opens nothing");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_seals_with_a_new_key_once_each_process_has_it() -> Result<()> {
    let mut fleet = Fleet::start(BINARY, 1).await?;
    let before = fleet.scheduler().await?;
    fleet.env("ISOCHRONE_SECRETS_KEY", KEY);
    let scheduler = fleet.scheduler().await?;
    let options = fleet.options();
    let task = scheduler.create_task(&with_secret()).await?;
    // One without the key is there: it must go on to read all.
    let shown = before.get(&format!("{TASKS}/{task}"), &[]).await?;
    assert_eq!(shown["parameters"]["note"], SECRET, "{shown}");
    let refused = options.cli(&["keys", "rotate"], "")?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("do not have the new key"), "{said}");

    ensure!(before.terminate().await?, "it ends");
    eventually("the key to be put to use", async || {
        let status = options.cli_json(&["keys", "status"])?;
        let mut rows = status.as_array().context("a list")?.iter();
        Ok(rows.any(|row| row["seals"] == true && !row["key"].is_null()).then_some(()))
    })
    .await?;
    options.cli_json(&["keys", "rotate"])?;
    for (key, bytes) in redis_contents(&fleet.redis.url()).await? {
        assert!(!holds(&bytes, SECRET), "{key}");
    }
    let mut late = fleet.options();
    late.environment.remove("ISOCHRONE_SECRETS_KEY");
    let refused = late.cli(&["worker"], "")?;
    assert!(!refused.status.success(), "a process without the key starts no more");
    Ok(())
}

#[test]
fn a_key_file_that_everybody_may_read_is_refused_and_what_others_may_read_is_told() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let options = ServerOptions::new(BINARY, dir.path().join("data"));
    let made = options.cli(&["keys", "generate"], "")?;
    let file = dir.path().join("seal.key");
    std::fs::write(&file, &made.stdout)?;
    let with_file = options.clone().env("ISOCHRONE_SECRETS_KEY_FILE", file.display());
    let mode = |file: &Path, mode| std::fs::set_permissions(file, std::fs::Permissions::from_mode(mode));
    mode(&file, 0o644)?;
    let refused = with_file.cli(&["config", "check"], "")?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("seal.key") && said.contains("0644"), "{said}");
    mode(&file, 0o600)?;
    ensure!(with_file.cli(&["config", "check"], "")?.status.success(), "a private one is good");

    let config = dir.path().join("isochrone.toml");
    std::fs::write(&config, "[portal]\napi_key = \"canary-config-77\"\n")?;
    mode(&config, 0o644)?;
    let password = dir.path().join("portal_password");
    std::fs::write(&password, "canary-file-77\n")?;
    mode(&password, 0o640)?;
    let told = options
        .env("ISOCHRONE_CONFIG", config.display())
        .env("ISOCHRONE_PORTAL_PASSWORD_FILE", password.display());
    let checks = told.cli(&["--output", "json", "doctor"], "")?;
    let checks: Vec<Value> = serde_json::from_slice(&checks.stdout)?;
    let check = checks.iter().find(|check| check["what"] == "secret files").context("the check")?;
    let found = check["found"].as_str().context("a text")?;
    assert_eq!(check["verdict"], "warning");
    for part in ["isochrone.toml", "0644", "portal_password", "0640"] {
        assert!(found.contains(part), "{part}: {found}");
    }
    Ok(())
}

#[test]
fn an_export_is_sealed_and_only_the_same_key_imports_it() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let house = |name: &str| ServerOptions::new(BINARY, dir.path().join(name));
    let (from, to, other) =
        (keys(&house("a"), &[KEY]), keys(&house("b"), &[NEXT_KEY, KEY]), keys(&house("c"), &[NEXT_KEY]));
    for options in [&from, &to, &other] {
        let added = options
            .cli(&["user", "add", "admin", "--role", "admin", "--password-stdin"], "longEnough-1\n")?;
        ensure!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    }
    let parameters = r#"{"reportType":"org","reportSubType":"users","note":"canary-rotated-55aa"}"#;
    let schedule =
        ["--hour", "3", "--minute", "0", "--day-of-month", "*", "--month", "*", "--day-of-week", "?"];
    let create = ["task", "create", "--type", "ExecuteReport", "--parameters", parameters];
    from.cli_json(&[&create[..], &schedule].concat())?;
    let export = |more: &[&str]| -> Result<String> {
        Ok(String::from_utf8(from.cli(&[&["export"], more].concat(), "")?.stdout)?)
    };
    let (sealed, plain) = (export(&[])?, export(&["--plain"])?);
    assert!(!sealed.contains(SECRET) && plain.contains(SECRET), "{sealed}");

    let refused = other.cli(&["import"], &format!("\n{sealed}"))?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && said.contains("line 2: 'parameters'") && said.contains("key"),
        "{said}"
    );
    let imported = to.cli(&["import"], &sealed)?;
    ensure!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
    let back = to.cli(&["export", "--plain"], "")?;
    assert!(String::from_utf8(back.stdout)?.contains(SECRET));
    // Taken to another task it is void.
    let id = sealed.split("\"id\":\"").nth(1).context("an id")?[..32].to_owned();
    let moved = sealed.replace(&id, &"0".repeat(32));
    let refused = to.cli(&["import"], &moved)?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("changed or moved"), "{said}");
    Ok(())
}
