//! Users on the command line, and what becomes of what they own.

use std::process::Output;

use anyhow::{Context, Result, ensure};
use isochrone_testkit::fleet::{DrillServer, Script};
use isochrone_testkit::{ADMIN_PASSWORD, Server, ServerOptions, eventually};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_isochrone");
const PASSWORD: &str = "rain on a tin roof";

struct Fixture {
    _dir: tempfile::TempDir,
    options: ServerOptions,
}

fn fixture() -> Result<Fixture> {
    let dir = tempfile::tempdir()?;
    let options = ServerOptions::new(BINARY, dir.path().join("data"));
    Ok(Fixture { _dir: dir, options })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Fixture {
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
    let fixture = fixture()?;
    fixture.add("ann.quux", "publisher")?;
    for (weak, told) in [
        ("1\n", "at least 8 characters"),
        ("\n", "at least 8 characters"),
        ("P@ssw0rd123!\n", "tried first"),
        ("Summer2026\n", "tried first"),
        ("Quux2026\n", "name"),
    ] {
        fixture.refused(&["add", "quux", "--role", "admin", "--password-stdin"], weak, told)?;
        fixture.refused(&["password", "ANN.quux", "--password-stdin"], weak, told)?;
    }
    let long = "kJ7&vQz2".repeat(129) + "\n";
    fixture.refused(&["password", "ann.quux", "--password-stdin"], &long, "at most 1024 bytes")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_with_a_weak_first_password_names_the_setting() -> Result<()> {
    let fixture = fixture()?;
    let weak = fixture.options.clone().env("ISOCHRONE_ADMIN_PASSWORD", "Admin123");
    let refused =
        tokio::task::spawn_blocking(move || weak.cli(&["up", "--http", "127.0.0.1:0"], "")).await??;
    let said = text(&refused.stderr);
    ensure!(!refused.status.success() && said.contains("ISOCHRONE_ADMIN_PASSWORD"), "{said}");
    ensure!(said.contains("tried first") && !said.contains("Admin123"), "{said}");
    // Nothing is left that a good one would not repair; and it is good for the first user only.
    let server = Server::start(&fixture.options).await?;
    ensure!(sign_in(&server, "admin", ADMIN_PASSWORD).await?["token"].is_string());
    ensure!(server.terminate().await?);
    let later = fixture.options.clone().env("ISOCHRONE_ADMIN_PASSWORD", "Admin123");
    let server = Server::start(&later).await?;
    ensure!(sign_in(&server, "admin", ADMIN_PASSWORD).await?["token"].is_string());
    Ok(())
}

#[test]
fn who_is_there_is_not_added_again() -> Result<()> {
    let fixture = fixture()?;
    fixture.add("Admin", "admin")?;
    fixture.add("bob", "publisher")?;
    for name in ["Admin", "admin", "ADMIN"] {
        let args = ["add", name, "--role", "publisher", "--password-stdin"];
        fixture.refused(&args, "another good one\n", "there is a user 'Admin' already")?;
    }
    fixture.refused(&["add", "a b", "--role", "admin", "--password-stdin"], PASSWORD, "no user name")?;
    for last in [&["role", "ADMIN", "viewer"][..], &["disable", "admin"], &["delete", "admin"]] {
        fixture.refused(last, "", "the last administrator")?;
    }
    for nobody in [&["role", "zoe", "admin"][..], &["disable", "zoe"], &["enable", "zoe"], &["delete", "zoe"]]
    {
        fixture.refused(nobody, "", "there is no user 'zoe'")?;
    }
    fixture.good(&["role", "BOB", "admin"])?;
    fixture.good(&["disable", "Admin"])?;
    fixture.refused(&["role", "bob", "viewer"], "", "the last administrator")?;
    let users = fixture.options.cli_json(&["user", "list"])?;
    assert_eq!((&users[0]["name"], &users[0]["role"]), (&json!("Admin"), &json!("admin")));
    ensure!(users[0]["disabled"].is_i64() && users[1]["disabled"].is_null(), "{users}");
    fixture.good(&["enable", "admin"])?;
    fixture.good(&["delete", "bob"])?;
    assert_eq!(fixture.options.cli_json(&["user", "list"])?.as_array().map(Vec::len), Some(1));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_to_a_user_dies_with_the_password_and_with_the_user() -> Result<()> {
    let fixture = fixture()?;
    fixture.add("ann", "publisher")?;
    let server = Server::start(&fixture.options).await?;
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
    let key = fixture.options.cli_json(&["user", "key", "ann", "--title", "nightly"])?;
    let key = key["key"].as_str().context("a key")?;
    for good in [&*first, key] {
        assert_eq!(me(good).await?["username"], "ann");
    }
    // The same password again is another one all the same.
    fixture.good(&["password", "ANN", "--password-stdin"])?;
    for void in [&*first, key] {
        assert_eq!(me(void).await?["error"]["code"], 498);
    }
    let second = token().await?;
    fixture.good(&["disable", "ann"])?;
    assert_eq!(me(&second).await?["error"]["code"], 498);
    ensure!(sign_in(&server, "ann", PASSWORD).await?["error"].is_object());
    let refused = fixture.user(&["key", "ann", "--title", "t"], "")?;
    ensure!(!refused.status.success() && text(&refused.stderr).contains("disabled"));
    fixture.good(&["enable", "ann"])?;
    assert_eq!(me(&second).await?["error"]["code"], 498, "what was void stays void");
    let third = token().await?;
    fixture.good(&["delete", "ann"])?;
    assert_eq!(me(&third).await?["error"]["code"], 498);
    fixture.add("ann", "viewer")?;
    assert_eq!(me(&third).await?["error"]["code"], 498, "who comes later is somebody else");
    Ok(())
}

fn report(fixture: &Fixture, owner: &str) -> Result<String> {
    let parameters = r#"{"reportType":"org","reportSubType":"users","title":"U"}"#;
    let create = ["task", "create", "--type", "ExecuteReport", "--owner", owner, "--parameters", parameters];
    let cron = ["--minute", "0", "--hour", "0", "--day-of-month", "29", "--month", "2", "--day-of-week", "?"];
    let task = fixture.options.cli_json(&[&create[..], &cron].concat())?;
    Ok(task["id"].as_str().context("an id")?.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_task_of_a_disabled_user_runs_and_none_is_left_without_an_owner() -> Result<()> {
    let fixture = fixture()?;
    for name in ["ann", "bob"] {
        fixture.add(name, "admin")?;
    }
    let server = Server::start(&fixture.options).await?;
    let (task, file) = (report(&fixture, "ann")?, fixture.options.data_dir.with_extension("ipynb"));
    std::fs::write(&file, "{}")?;
    let item = fixture.options.cli_json(&["item", "add", &file.to_string_lossy(), "--owner", "ann"])?;
    let ended = async || -> Result<Value> {
        let run = fixture.options.cli_json(&["task", "run", &task])?;
        let run = run["id"].as_str().context("an id")?.to_owned();
        eventually("the run to end", || async {
            let run = fixture.options.cli_json(&["run", "show", &run])?;
            Ok((!run["ended"].is_null()).then_some(run))
        })
        .await
    };
    fixture.good(&["disable", "ann"])?;
    for _ in 0..6 {
        let run = ended().await?;
        assert_eq!(
            (&run["status"], &run["reason"]),
            (&json!("submitfailed"), &json!("owner_disabled")),
            "{run}"
        );
    }
    let shown = fixture.options.cli_json(&["task", "show", &task])?;
    assert_eq!((&shown["state"], &shown["consecutiveFailures"]), (&json!("active"), &json!(0)), "{shown}");
    fixture.good(&["enable", "ann"])?;
    assert_eq!(ended().await?["status"], "succeeded");

    // An owner who is only a viewer now: the same, until somebody else has the task.
    fixture.good(&["role", "ann", "viewer"])?;
    for _ in 0..6 {
        let run = ended().await?;
        assert_eq!(
            (&run["status"], &run["reason"]),
            (&json!("submitfailed"), &json!("owner_not_allowed")),
            "{run}"
        );
    }
    let shown = fixture.options.cli_json(&["task", "show", &task])?;
    assert_eq!((&shown["state"], &shown["consecutiveFailures"]), (&json!("active"), &json!(0)), "{shown}");
    assert!(
        fixture.options.cli_json(&["task", "hand-over", &task, "--to", "ann"]).is_err(),
        "not to a viewer"
    );
    assert_eq!(fixture.options.cli_json(&["task", "hand-over", &task, "--to", "bob"])?["owner"], "bob");
    assert_eq!(ended().await?["status"], "succeeded");
    fixture.good(&["role", "ann", "admin"])?;
    assert_eq!(fixture.options.cli_json(&["task", "hand-over", &task, "--to", "ann"])?["owner"], "ann");
    assert_eq!(ended().await?["status"], "succeeded");

    fixture.refused(&["delete", "ann"], "", "owns 1 tasks and 1 items")?;
    for heir in ["ANN", "zoe"] {
        fixture.refused(&["delete", "ann", "--tasks-to", heir], "", "")?;
    }
    fixture.good(&["delete", "ann", "--tasks-to", "BOB"])?;
    assert_eq!(fixture.options.cli_json(&["task", "show", &task])?["owner"], "bob");
    let items = fixture.options.cli_json(&["item", "list", "--owner", "bob"])?;
    assert_eq!(items[0]["id"], item["id"]);
    assert_eq!(ended().await?["status"], "succeeded");
    ensure!(server.terminate().await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_for_a_user_ends_when_the_user_is_disabled_or_deleted() -> Result<()> {
    let drill = DrillServer::start().await?;
    drill.script(|_| Script { hold_ms: 600_000, succeed: true });
    let mut fixture = fixture()?;
    fixture.options = fixture.options.env("ISOCHRONE__WORKER__DRILL_URL", drill.url());
    for name in ["ann", "bob", "zoe"] {
        fixture.add(name, "publisher")?;
    }
    let server = Server::start(&fixture.options).await?;
    let show = async |run: &str| fixture.options.cli_json(&["run", "show", run]);
    let begun = async |owner: &str| -> Result<(String, String)> {
        let task = report(&fixture, owner)?;
        let mut runs = Vec::new();
        for _ in 0..2 {
            let run = fixture.options.cli_json(&["task", "run", &task])?;
            runs.push(run["id"].as_str().context("an id")?.to_owned());
        }
        eventually("the run to execute", || async {
            Ok((show(&runs[0]).await?["status"] == "executing").then_some(()))
        })
        .await?;
        Ok((runs.remove(0), runs.remove(0)))
    };
    let ended = async |run: &str, status: &str| -> Result<()> {
        let run = eventually("the run to end", || async {
            let run = show(run).await?;
            Ok((!run["ended"].is_null()).then_some(run))
        })
        .await?;
        assert_eq!((&run["status"], &run["reason"]), (&json!(status), &json!("owner_disabled")), "{run}");
        Ok(())
    };
    let (of_ann, waiting) = begun("ann").await?;
    let (of_bob, _) = begun("bob").await?;
    let told = fixture.user(&["disable", "ann"], "")?;
    ensure!(text(&told.stderr).contains("2 runs"), "{}", text(&told.stderr));
    ended(&of_ann, "failed").await?;
    ended(&waiting, "skipped").await?;
    assert_eq!(show(&of_bob).await?["status"], "executing", "another's goes on");
    fixture.good(&["delete", "bob", "--tasks-to", "zoe"])?;
    ended(&of_bob, "failed").await?;
    ensure!(server.terminate().await?);
    Ok(())
}
