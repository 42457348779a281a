//! The command line, as its users type it.

use anyhow::{Context, Result, ensure};
use isochrone_testkit::{Server, ServerOptions};
use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_isochrone");

struct Place {
    dir: tempfile::TempDir,
    options: ServerOptions,
}

fn place() -> Result<Place> {
    let dir = tempfile::tempdir()?;
    let options = ServerOptions::new(BINARY, dir.path().join("data"));
    Ok(Place { dir, options })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn cron_next_answers_json_lines() -> Result<()> {
    let place = place()?;
    let questions = concat!(
        r#"{"minute":"*/10","hour":"*","dayOfMonth":"*","month":"*","dayOfWeek":"?","after":1691451979521,"count":2}"#,
        "\n",
        r#"{"minute":"0","hour":"0","dayOfMonth":"*","month":"*","dayOfWeek":"*","after":0,"count":1}"#,
        "\n",
        r#"{"minute":"0","hour":"9","dayOfMonth":"LW","month":"*","dayOfWeek":"?","after":1691451979521,"count":1}"#,
        "\nnonsense\n\n"
    );
    let answered = place.options.cli(&["cron", "next", "--stdin"], questions)?;
    let answers: Vec<Value> =
        text(&answered.stdout).lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    assert_eq!(answers.len(), 5, "an answer a line, an empty one too");
    assert_eq!(answers[0].to_string(), r#"{"valid":true,"next":[1691452200000,1691452800000]}"#);
    assert_eq!(answers[1]["valid"], false, "not repaired here: {}", answers[1]);
    assert!(answers[1]["error"].as_str().unwrap_or_default().contains("dayOfWeek"));
    assert_eq!(answers[2]["next"][0], 1_693_472_400_000_i64);
    assert_eq!(answers[3]["valid"], false);
    ensure!(!place.options.data_dir.exists(), "it needs no data directory");
    Ok(())
}

#[test]
fn cron_next_says_a_schedule_in_words() -> Result<()> {
    let place = place()?;
    let told = place.options.cli(&["cron", "next", "--count", "3", "0", "9", "?", "*", "MON-FRI"], "")?;
    let told = text(&told.stdout);
    assert!(told.starts_with("at 09:00 UTC on Monday to Friday\n"), "{told}");
    assert_eq!(told.lines().count(), 4);
    let refused = place.options.cli(&["cron", "next", "75", "*", "*", "*", "?"], "")?;
    ensure!(!refused.status.success());
    assert!(text(&refused.stderr).contains("minute: '75'"), "{}", text(&refused.stderr));
    Ok(())
}

#[test]
fn a_task_lives_its_life_on_the_command_line() -> Result<()> {
    let Place { dir: _dir, options } = place()?;
    let password = options.cli(&["user", "add", "admin", "--role", "admin", "--password-stdin"], "pw\n")?;
    ensure!(password.status.success(), "{}", text(&password.stderr));
    let parameters = r#"{"reportType":"org","reportSubType":"users","title":"U"}"#;
    let made = options.cli_json(&[
        "task",
        "create",
        "--type",
        "ExecuteReport",
        "--title",
        "Users",
        "--parameters",
        parameters,
        "--minute",
        "0",
        "--hour",
        "3",
        "--day-of-month",
        "*",
        "--month",
        "*",
        "--day-of-week",
        "?",
        "--max-occurrences",
        "3",
    ])?;
    let id = made["id"].as_str().with_context(|| format!("{made}"))?;
    assert_eq!(made["schedule"], "at 03:00 UTC every day");
    assert_eq!(options.cli_json(&["task", "list"])?.as_array().map(Vec::len), Some(1));
    let changed = options.cli_json(&["task", "update", id, "--hour", "4"])?;
    assert_eq!(changed["cronSchedule"]["hour"], "4");
    assert_eq!(options.cli_json(&["task", "disable", id])?["state"], "paused");
    assert_eq!(options.cli_json(&["task", "enable", id])?["state"], "active");

    let explained = text(&options.cli(&["task", "explain", id], "")?.stdout);
    assert!(explained.contains("is active. It fires next at"), "{explained}");
    let run = options.cli_json(&["task", "run", id])?;
    assert_eq!(run["status"], "scheduled");
    let run = run["id"].as_str().context("a run id")?;
    assert_eq!(options.cli_json(&["run", "cancel", run])?["status"], "skipped");
    assert_eq!(options.cli_json(&["run", "show", run])?["reason"], "cancelled");

    // Five days have five fires at 04:00; two of the three occurrences are left.
    let day = 86_400_000_i64;
    let from = made["created"].as_i64().context("a time")? - 5 * day;
    let to = (from + 5 * day).to_string();
    let filled = options.cli_json(&["task", "backfill", id, "--from", &from.to_string(), "--to", &to])?;
    assert_eq!(filled.as_array().map(Vec::len), Some(2), "{filled}");
    assert_eq!(options.cli_json(&["task", "show", id])?["occurrences"], 3);

    let deleted = options.cli(&["task", "delete", id], "")?;
    ensure!(deleted.status.success());
    let gone = options.cli(&["task", "show", id], "")?;
    ensure!(!gone.status.success());
    assert!(text(&gone.stderr).contains("task"), "{}", text(&gone.stderr));
    Ok(())
}

#[test]
fn what_is_wrong_on_the_command_line_is_told() -> Result<()> {
    let place = place()?;
    let missing = place.options.cli(&["task", "list"], "")?;
    assert!(text(&missing.stderr).contains("there is no data directory"), "{}", text(&missing.stderr));
    let create = |more: &[&str]| {
        let base = ["task", "create", "--type", "ExecuteNotebook", "--hour", "*", "--month", "*"];
        place.options.cli(&[&base[..], more].concat(), "")
    };
    let refused = create(&["--day-of-month", "*", "--day-of-week", "?"])?;
    assert!(text(&refused.stderr).contains("--minute is required"), "{}", text(&refused.stderr));
    Ok(())
}

#[test]
fn the_configuration_says_where_each_value_came_from() -> Result<()> {
    let place = place()?;
    let file = place.dir.path().join("isochrone.toml");
    std::fs::write(&file, "[worker]\nslots = 7\n[log]\nfilter = \"warn\"\n")?;
    let options = place.options.clone().env("ISOCHRONE__LOG__FILTER", "debug");
    let file = file.to_str().context("a path of text")?;
    let shown = options.cli_json(&["--config", file, "config", "show"])?;
    let setting = |key: &str| {
        let settings = shown.as_array().into_iter().flatten();
        settings.into_iter().find(|setting| setting["key"] == key).cloned().unwrap_or_default()
    };
    assert_eq!(setting("worker.slots")["value"], 7);
    assert!(setting("worker.slots")["from"].as_str().unwrap_or_default().ends_with("isochrone.toml"));
    assert_eq!(setting("log.filter")["value"], "debug");
    assert_eq!(setting("log.filter")["from"], "ISOCHRONE__LOG__FILTER");
    assert_eq!(setting("data_dir")["from"], "--data-dir");
    assert_eq!(setting("http.listen")["from"], "default");
    assert_eq!(setting("admin_password")["value"], "(hidden)");
    ensure!(!shown.to_string().contains(isochrone_testkit::ADMIN_PASSWORD));

    std::fs::write(file, "[worker]\nslotz = 7\n")?;
    let refused = place.options.cli(&["--config", file, "config", "check"], "")?;
    ensure!(!refused.status.success());
    assert!(text(&refused.stderr).contains("slotz"), "{}", text(&refused.stderr));
    Ok(())
}

#[test]
fn a_password_of_digits_is_a_password_and_never_shown() -> Result<()> {
    let place = place()?;
    let options = place.options.clone().env("ISOCHRONE__ADMIN_PASSWORD", "20241234");
    let shown = options.cli(&["config", "show"], "")?;
    ensure!(shown.status.success(), "{}", text(&shown.stderr));
    let bad = options.env("ISOCHRONE__ADMIN_PASSWORD", "[20241234]").cli(&["config", "check"], "")?;
    for output in [shown, bad] {
        ensure!(!text(&[output.stdout, output.stderr].concat()).contains("20241234"));
    }
    Ok(())
}

#[test]
fn a_limit_on_active_tasks_holds() -> Result<()> {
    let Place { dir: _dir, options } = place()?;
    let options = options.env("ISOCHRONE__LIMITS__ACTIVE_TASKS_PER_USER", 1);
    let added = options.cli(&["user", "add", "admin", "--role", "admin", "--password-stdin"], "pw\n")?;
    ensure!(added.status.success(), "{}", text(&added.stderr));
    let create = [
        "task",
        "create",
        "--type",
        "ExecuteReport",
        "--parameters",
        "{}",
        "--minute",
        "0",
        "--hour",
        "0",
        "--day-of-month",
        "1",
        "--month",
        "*",
        "--day-of-week",
        "?",
    ];
    options.cli_json(&create)?;
    let second = options.cli(&create, "")?;
    ensure!(!second.status.success());
    assert!(text(&second.stderr).contains("active"), "{}", text(&second.stderr));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_one_data_directory_is_refused() -> Result<()> {
    let place = place()?;
    let _first = Server::start(&place.options).await?;
    let second = place.options.cli(&["up", "--http", "127.0.0.1:0"], "")?;
    ensure!(!second.status.success());
    assert!(text(&second.stderr).contains("another process"), "{}", text(&second.stderr));
    Ok(())
}

#[test]
fn plain_http_is_for_loopback_only() -> Result<()> {
    let place = place()?;
    let refused = place.options.cli(&["up", "--http", "0.0.0.0:0"], "")?;
    ensure!(!refused.status.success());
    assert!(text(&refused.stderr).contains("loopback"), "{}", text(&refused.stderr));
    Ok(())
}

#[test]
fn the_doctor_looks_at_everything() -> Result<()> {
    let place = place()?;
    let checks = place.options.cli_json(&["doctor"])?;
    let checks: Vec<&str> =
        checks.as_array().context("checks")?.iter().filter_map(|check| check["what"].as_str()).collect();
    assert_eq!(checks, ["store", "server", "disk", "clock", "notebooks", "sandbox", "task types"]);
    Ok(())
}
