//! Users on the command line, and what becomes of what they own.

use std::process::Output;

use anyhow::{Context, Result, ensure};
use isochrone_testkit::{ADMIN_PASSWORD, Server, ServerOptions, eventually};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_isochrone");
const PASSWORD: &str = "rain on a tin roof";

struct Place {
    _dir: tempfile::TempDir,
    options: ServerOptions,
}

fn place() -> Result<Place> {
    let dir = tempfile::tempdir()?;
    let options = ServerOptions::new(BINARY, dir.path().join("data"));
    Ok(Place { _dir: dir, options })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Place {
    fn user(&self, args: &[&str], stdin: &str) -> Result<Output> {
        self.options.cli(&[&["user"], args].concat(), stdin)
    }

    fn add(&self, name: &str, role: &str) -> Result<()> {
        self.good(&["add", name, "--role", role, "--password-stdin"])
    }

    fn good(&self, args: &[&str]) -> Result<()> {
        let output = self.user(args, PASSWORD)?;
        ensure!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        Ok(())
    }

    /// Is refused with exit code 1 and these words, and changes no user.
    fn refused(&self, args: &[&str], stdin: &str, told: &str) -> Result<()> {
        let before = self.options.cli_json(&["user", "list"])?;
        let output = self.user(args, stdin)?;
        ensure!(output.status.code() == Some(1), "{args:?}: {:?}", output.status);
        let said = text(&output.stderr);
        ensure!(said.contains(told) && said.lines().count() == 1, "{args:?}: {said}");
        let password = stdin.trim();
        ensure!(password.len() < 8 || !said.contains(password), "{args:?}: the password is not repeated");
        assert_eq!(self.options.cli_json(&["user", "list"])?, before, "{args:?}");
        Ok(())
    }
}

async fn sign_in(server: &Server, name: &str, password: &str) -> Result<Value> {
    let form = [("username", name), ("password", password), ("f", "json")];
    let url = format!("{}/sharing/rest/generateToken", server.url);
    Ok(reqwest::Client::new().post(url).form(&form).send().await?.json().await?)
}

#[test]
fn a_weak_password_is_refused_wherever_one_is_set() -> Result<()> {
    let place = place()?;
    place.add("ann.quux", "publisher")?;
    for (weak, told) in [
        ("1\n", "at least 8 characters"),
        ("\n", "at least 8 characters"),
        ("P@ssw0rd123!\n", "tried first"),
        ("Summer2026\n", "tried first"),
        ("Quux2026\n", "name"),
    ] {
        place.refused(&["add", "quux", "--role", "admin", "--password-stdin"], weak, told)?;
        place.refused(&["password", "ANN.quux", "--password-stdin"], weak, told)?;
    }
    let long = "kJ7&vQz2".repeat(129) + "\n";
    place.refused(&["password", "ann.quux", "--password-stdin"], &long, "at most 1024 bytes")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_with_a_weak_first_password_names_the_setting() -> Result<()> {
    let place = place()?;
    let weak = place.options.clone().env("ISOCHRONE_ADMIN_PASSWORD", "Admin123");
    let refused =
        tokio::task::spawn_blocking(move || weak.cli(&["up", "--http", "127.0.0.1:0"], "")).await??;
    let said = text(&refused.stderr);
    ensure!(!refused.status.success() && said.contains("ISOCHRONE_ADMIN_PASSWORD"), "{said}");
    ensure!(said.contains("tried first") && !said.contains("Admin123"), "{said}");
    // Nothing is left that a good one would not repair; and it is good for the first user only.
    let server = Server::start(&place.options).await?;
    ensure!(sign_in(&server, "admin", ADMIN_PASSWORD).await?["token"].is_string());
    ensure!(server.terminate().await?);
    let later = place.options.clone().env("ISOCHRONE_ADMIN_PASSWORD", "Admin123");
    let server = Server::start(&later).await?;
    ensure!(sign_in(&server, "admin", ADMIN_PASSWORD).await?["token"].is_string());
    Ok(())
}

#[test]
fn who_is_there_is_not_added_again() -> Result<()> {
    let place = place()?;
    place.add("Admin", "admin")?;
    place.add("bob", "publisher")?;
    for name in ["Admin", "admin", "ADMIN"] {
        let args = ["add", name, "--role", "publisher", "--password-stdin"];
        place.refused(&args, "another good one\n", "there is a user 'Admin' already")?;
    }
    place.refused(&["add", "a b", "--role", "admin", "--password-stdin"], PASSWORD, "no user name")?;
    for last in [&["role", "ADMIN", "viewer"][..], &["disable", "admin"], &["delete", "admin"]] {
        place.refused(last, "", "the last administrator")?;
    }
    for nobody in [&["role", "zoe", "admin"][..], &["disable", "zoe"], &["enable", "zoe"], &["delete", "zoe"]]
    {
        place.refused(nobody, "", "there is no user 'zoe'")?;
    }
    place.good(&["role", "BOB", "admin"])?;
    place.good(&["disable", "Admin"])?;
    place.refused(&["role", "bob", "viewer"], "", "the last administrator")?;
    let users = place.options.cli_json(&["user", "list"])?;
    assert_eq!((&users[0]["name"], &users[0]["role"]), (&json!("Admin"), &json!("admin")));
    ensure!(users[0]["disabled"].is_i64() && users[1]["disabled"].is_null(), "{users}");
    place.good(&["enable", "admin"])?;
    place.good(&["delete", "bob"])?;
    assert_eq!(place.options.cli_json(&["user", "list"])?.as_array().map(Vec::len), Some(1));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_to_a_user_dies_with_the_password_and_with_the_user() -> Result<()> {
    let place = place()?;
    place.add("ann", "publisher")?;
    let server = Server::start(&place.options).await?;
    let me = async |token: &str| -> Result<Value> {
        let url = format!("{}/sharing/rest/community/self?f=json", server.url);
        Ok(reqwest::Client::new()
            .get(url)
            .bearer_auth(token)
            .header("Referer", "http")
            .send()
            .await?
            .json()
            .await?)
    };
    let token = async || -> Result<String> {
        let given = sign_in(&server, "ann", PASSWORD).await?;
        Ok(given["token"].as_str().with_context(|| format!("{given}"))?.to_owned())
    };
    let first = token().await?;
    let key = place.options.cli_json(&["user", "key", "ann", "--title", "nightly"])?;
    let key = key["key"].as_str().context("a key")?;
    for good in [&*first, key] {
        assert_eq!(me(good).await?["username"], "ann");
    }
    // The same password again is another one all the same.
    place.good(&["password", "ANN", "--password-stdin"])?;
    for void in [&*first, key] {
        assert_eq!(me(void).await?["error"]["code"], 498);
    }
    let second = token().await?;
    place.good(&["disable", "ann"])?;
    assert_eq!(me(&second).await?["error"]["code"], 498);
    ensure!(sign_in(&server, "ann", PASSWORD).await?["error"].is_object());
    let refused = place.user(&["key", "ann", "--title", "t"], "")?;
    ensure!(!refused.status.success() && text(&refused.stderr).contains("disabled"));
    place.good(&["enable", "ann"])?;
    assert_eq!(me(&second).await?["error"]["code"], 498, "what was void stays void");
    let third = token().await?;
    place.good(&["delete", "ann"])?;
    assert_eq!(me(&third).await?["error"]["code"], 498);
    place.add("ann", "viewer")?;
    assert_eq!(me(&third).await?["error"]["code"], 498, "who comes later is somebody else");
    Ok(())
}

fn report(place: &Place, owner: &str) -> Result<String> {
    let parameters = r#"{"reportType":"org","reportSubType":"users","title":"U"}"#;
    let create = ["task", "create", "--type", "ExecuteReport", "--owner", owner, "--parameters", parameters];
    let cron = ["--minute", "0", "--hour", "0", "--day-of-month", "29", "--month", "2", "--day-of-week", "?"];
    let task = place.options.cli_json(&[&create[..], &cron].concat())?;
    Ok(task["id"].as_str().context("an id")?.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_task_of_a_disabled_user_runs_and_none_is_left_without_an_owner() -> Result<()> {
    let place = place()?;
    for name in ["ann", "bob"] {
        place.add(name, "admin")?;
    }
    let server = Server::start(&place.options).await?;
    let (task, file) = (report(&place, "ann")?, place.options.data_dir.with_extension("ipynb"));
    std::fs::write(&file, "{}")?;
    let item = place.options.cli_json(&["item", "add", &file.to_string_lossy(), "--owner", "ann"])?;
    let ended = async || -> Result<Value> {
        let run = place.options.cli_json(&["task", "run", &task])?;
        let run = run["id"].as_str().context("an id")?.to_owned();
        eventually("the run to end", || async {
            let run = place.options.cli_json(&["run", "show", &run])?;
            Ok((!run["ended"].is_null()).then_some(run))
        })
        .await
    };
    place.good(&["disable", "ann"])?;
    for _ in 0..6 {
        let run = ended().await?;
        assert_eq!(
            (&run["status"], &run["reason"]),
            (&json!("submitfailed"), &json!("owner_disabled")),
            "{run}"
        );
    }
    let shown = place.options.cli_json(&["task", "show", &task])?;
    assert_eq!((&shown["state"], &shown["consecutiveFailures"]), (&json!("active"), &json!(0)), "{shown}");
    place.good(&["enable", "ann"])?;
    assert_eq!(ended().await?["status"], "succeeded");

    place.refused(&["delete", "ann"], "", "owns 1 tasks and 1 items")?;
    for heir in ["ANN", "zoe"] {
        place.refused(&["delete", "ann", "--tasks-to", heir], "", "")?;
    }
    place.good(&["delete", "ann", "--tasks-to", "BOB"])?;
    assert_eq!(place.options.cli_json(&["task", "show", &task])?["owner"], "bob");
    let items = place.options.cli_json(&["item", "list", "--owner", "bob"])?;
    assert_eq!(items[0]["id"], item["id"]);
    assert_eq!(ended().await?["status"], "succeeded");
    ensure!(server.terminate().await?);
    Ok(())
}
