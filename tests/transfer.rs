//! Tasks that move from one Isochrone to another, as lines of JSON.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use isochrone_testkit::ServerOptions;
use isochrone_testkit::servers::RedisServer;
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_isochrone");

struct House {
    _dir: tempfile::TempDir,
    options: ServerOptions,
}

/// An empty house with these users, all of them publishers.
fn house(users: &[&str]) -> Result<House> {
    let dir = tempfile::tempdir()?;
    let house = House { options: ServerOptions::new(BINARY, dir.path().join("data")), _dir: dir };
    add_users(&house.options, users)?;
    Ok(house)
}

fn add_users(options: &ServerOptions, users: &[&str]) -> Result<()> {
    for name in users {
        let added =
            options.cli(&["user", "add", name, "--role", "publisher", "--password-stdin"], "a good one\n")?;
        ensure!(added.status.success(), "{}", text(&added.stderr));
    }
    Ok(())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Makes a task on the command line; gives its id.
fn create(options: &ServerOptions, owner: &str, more: &[&str]) -> Result<String> {
    let base = ["task", "create", "--type", "ExecuteReport", "--owner", owner, "--hour", "3"];
    let cron = ["--minute", "0", "--day-of-month", "*", "--month", "*", "--day-of-week", "?"];
    let made = options.cli_json(&[&base[..], &cron, more].concat())?;
    Ok(made["id"].as_str().with_context(|| format!("{made}"))?.to_owned())
}

/// The exported tasks by their ids, and the export itself.
fn export(options: &ServerOptions) -> Result<(BTreeMap<String, Value>, String)> {
    let exported = options.cli(&["export"], "")?;
    ensure!(exported.status.success(), "{}", text(&exported.stderr));
    let lines = text(&exported.stdout);
    let mut tasks = BTreeMap::new();
    for line in lines.lines() {
        let task: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        tasks.insert(task["id"].as_str().context("an id")?.to_owned(), task);
    }
    Ok((tasks, lines))
}

/// Imports lines; gives whether all were taken, the tally and what was said.
fn import(options: &ServerOptions, more: &[&str], lines: &str) -> Result<(bool, Value, String)> {
    let imported = options.cli(&[&["--output", "json", "import"], more].concat(), lines)?;
    let said = text(&imported.stderr);
    let tally = serde_json::from_slice(&imported.stdout).with_context(|| said.clone())?;
    Ok((imported.status.success(), tally, said))
}

/// How many were imported, unchanged, replaced, refused.
fn counts(tally: &Value) -> [u64; 4] {
    let count = |name: &str| tally[name].as_u64().unwrap_or(u64::MAX);
    let refused = tally["refused"].as_array().map_or(u64::MAX, |refused| refused.len() as u64);
    [count("imported"), count("unchanged"), count("replaced"), refused]
}

/// Three tasks of two users: one that has run twice, one that is paused, one with dates.
fn three_tasks(options: &ServerOptions) -> Result<[String; 3]> {
    let parameters =
        r#"{"reportType":"org", "reportSubType":"users",  "big":123456789012345678901234567890}"#;
    let ran = create(
        options,
        "ann",
        &["--title", "Übersicht", "--parameters", parameters, "--max-occurrences", "5"],
    )?;
    for _ in 0..2 {
        options.cli_json(&["task", "run", &ran])?;
    }
    let paused = create(options, "bob", &["--parameters", "{}"])?;
    options.cli_json(&["task", "disable", &paused])?;
    let dates = ["--parameters", "{\"a\":\n1}", "--start", "1700000000000", "--end", "4102444800000"];
    let dated = create(options, "bob", &dates)?;
    Ok([ran, paused, dated])
}

/// What of a task does not depend on the moment.
fn lasting(task: &Value) -> Value {
    let mut task = task.clone();
    for passing in ["updated", "nextStart", "runIntervalSeconds"] {
        task[passing] = Value::Null;
    }
    task
}

#[test]
fn tasks_move_to_another_house_with_all_that_matters() -> Result<()> {
    let (old, new) = (house(&["ann", "bob"])?, house(&["ann", "bob"])?);
    let [ran, paused, dated] = three_tasks(&old.options)?;
    let (before, lines) = export(&old.options)?;
    assert_eq!(before.len(), 3);

    let (good, tally, said) = import(&new.options, &[], &lines)?;
    assert!(good && counts(&tally) == [3, 0, 0, 0], "{tally} {said}");
    let (after, again) = export(&new.options)?;
    for (id, task) in &before {
        assert_eq!(lasting(&after[id]), lasting(task));
    }
    assert!(again.contains("123456789012345678901234567890"), "no number is rounded: {again}");
    assert_eq!(after[&ran]["occurrences"], 2);
    assert_eq!((&after[&paused]["active"], &after[&paused]["nextStart"]), (&json!(false), &Value::Null));
    assert!(after[&dated]["nextStart"].as_i64() > after[&dated]["updated"].as_i64(), "from now on: {again}");

    let (good, tally, _) = import(&new.options, &[], &lines)?;
    assert!(good && counts(&tally) == [0, 3, 0, 0], "a second time does nothing: {tally}");
    let (good, tally, said) = import(&new.options, &[], &format!("\u{feff}{lines}"))?;
    assert!(good && counts(&tally) == [0, 3, 0, 0], "nor with a byte order mark: {tally} {said}");
    Ok(())
}

#[test]
fn a_file_serves_as_well_and_one_owner_can_be_picked() -> Result<()> {
    let (old, new) = (house(&["ann", "bob"])?, house(&["ann", "bob"])?);
    let [ran, ..] = three_tasks(&old.options)?;
    let file = old.options.data_dir.join("tasks.jsonl");
    let file = file.to_str().context("a path of text")?;
    ensure!(old.options.cli(&["export", "--owner", "ann", file], "")?.status.success());
    let (good, tally, _) = import(&new.options, &[file], "")?;
    assert!(good && counts(&tally) == [1, 0, 0, 0], "{tally}");
    assert_eq!(export(&new.options)?.0.into_keys().collect::<Vec<_>>(), [ran]);
    let missing = new.options.cli(&["import", "nowhere.jsonl"], "")?;
    ensure!(!missing.status.success() && text(&missing.stderr).contains("nowhere.jsonl"));
    Ok(())
}

#[test]
fn another_task_of_the_same_id_is_refused_unless_it_shall_be_replaced() -> Result<()> {
    let house = house(&["ann", "bob"])?;
    let [ran, ..] = three_tasks(&house.options)?;
    let (before, lines) = export(&house.options)?;
    let changed = lines.replace("Übersicht", "Overview").replace(r#""occurrences":2"#, r#""occurrences":1"#);

    let (good, tally, said) = import(&house.options, &[], &changed)?;
    assert!(!good && counts(&tally) == [0, 2, 0, 1], "{tally}");
    assert!(said.contains("'id'") && said.contains(&ran), "{said}");
    assert_eq!(export(&house.options)?.0, before, "nothing of it was done");

    let (good, tally, said) = import(&house.options, &["--replace"], &changed)?;
    assert!(good && counts(&tally) == [0, 2, 1, 0], "{tally} {said}");
    let after = export(&house.options)?.0;
    assert_eq!(after[&ran]["title"], "Overview");
    assert_eq!(after[&ran]["occurrences"], 2, "its runs were made, whoever says otherwise");

    let (_, tally, said) = import(&house.options, &["--replace"], &lines.replace("\"bob\"", "\"ann\""))?;
    assert_eq!(counts(&tally), [0, 0, 1, 2], "a task stays its owner's: {said}");
    assert!(said.contains("'owner'"), "{said}");
    Ok(())
}

#[test]
fn a_line_that_is_wrong_is_named_and_keeps_no_other_one_out() -> Result<()> {
    let (old, new) = (house(&["ann", "bob"])?, house(&["ann"])?);
    let [ran, ..] = three_tasks(&old.options)?;
    let (tasks, _) = export(&old.options)?;
    let with = |change: &dyn Fn(&mut Value)| {
        let mut task = tasks[&ran].clone();
        task["id"] = "5a6d0a1f4f3f4c7c8d0b6f0e6f0a7b1c".into();
        change(&mut task);
        task.to_string()
    };
    let wrong: [(&str, String); 8] = [
        ("it is no JSON object", "nonsense".to_owned()),
        ("'hour'", with(&|task| task["cronSchedule"]["hour"] = "25".into())),
        ("'type'", with(&|task| task["type"] = "ExecuteCoffee".into())),
        ("'id'", with(&|task| task["id"] = "5".into())),
        ("'userId': there is no user 'bob'", with(&|task| task["userId"] = "bob".into())),
        ("'parameters'", with(&|task| task["parameters"] = json!([1]))),
        ("'overlapPolicy'", with(&|task| task["overlapPolicy"] = "never".into())),
        ("'endDate'", with(&|task| task["endDate"] = (-5).into())),
    ];
    let good = tasks[&ran].to_string();
    let lines = wrong.iter().map(|(_, line)| line.as_str()).chain(["", &good]).collect::<Vec<_>>().join("\n");
    let (all, tally, said) = import(&new.options, &[], &lines)?;
    assert!(!all && counts(&tally) == [1, 0, 0, 8], "{tally}");
    for ((number, (told, _)), line) in (1..).zip(&wrong).zip(said.lines()) {
        assert!(line.starts_with(&format!("line {number}: {told}")), "{line}");
    }
    assert_eq!(export(&new.options)?.0.into_keys().collect::<Vec<_>>(), [ran]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn they_move_from_the_embedded_store_to_redis_and_back() -> Result<()> {
    let redis = RedisServer::start().await?;
    let (small, back) = (house(&["ann", "bob"])?, house(&["ann", "bob"])?);
    three_tasks(&small.options)?;
    let (before, lines) = export(&small.options)?;

    let big = house(&[])?;
    let fleet = big.options.clone().env("ISOCHRONE_REDIS_URL", redis.url());
    add_users(&fleet, &["ann", "bob"])?;
    for expected in [[3, 0, 0, 0], [0, 3, 0, 0]] {
        let (good, tally, said) = import(&fleet, &[], &lines)?;
        assert!(good && counts(&tally) == expected, "{tally} {said}");
    }
    let changed = lines.replace("Übersicht", "Overview");
    assert_eq!(counts(&import(&fleet, &[], &changed)?.1), [0, 2, 0, 1]);
    assert_eq!(counts(&import(&fleet, &["--replace"], &changed)?.1), [0, 2, 1, 0]);

    let (_, lines) = export(&fleet)?;
    assert_eq!(counts(&import(&back.options, &[], &lines)?.1), [3, 0, 0, 0]);
    for (id, mut task) in export(&back.options)?.0 {
        if task["title"] == "Overview" {
            task["title"] = "Übersicht".into();
        }
        assert_eq!(lasting(&task), lasting(&before[&id]));
    }
    Ok(())
}

/// As a clock that was an hour ahead for some seconds has left it.
#[test]
fn a_task_that_a_wrong_clock_has_silenced_is_planned_from_now_on() -> Result<()> {
    let house = house(&["ann"])?;
    let every_minute = ["--minute", "*", "--hour", "*"];
    let id = house.options.cli_json(
        &[
            &["task", "create", "--type", "ExecuteReport", "--owner", "ann"][..],
            &["--day-of-month", "*", "--month", "*", "--day-of-week", "?"],
            &["--parameters", r#"{"reportType":"org","reportSubType":"users","title":"U"}"#],
            &every_minute,
        ]
        .concat(),
    )?;
    let id = id["id"].as_str().context("an id")?.to_owned();
    let hour = isochrone_store::Clock::SYSTEM.now().0 / 60_000 * 60_000 + 3_600_000;
    let db = rusqlite::Connection::open(house.options.data_dir.join("isochrone.db"))?;
    let sql = "UPDATE tasks SET next_fire = ?1 + 60000,
                                body = json_set(body, '$.lastFire', ?1, '$.nextFire', ?1 + 60000)";
    ensure!(db.execute(sql, [hour])? == 1);
    let replanned = house.options.cli_json(&["task", "replan", "--all"])?;
    ensure!(replanned[0]["id"] == id.as_str() && replanned[1].is_null(), "{replanned}");
    let planned = |task: &Value| -> Result<bool> {
        let next: String = db.query_row("SELECT body FROM tasks", [], |row| row.get(0))?;
        let body: Value = serde_json::from_str(&next)?;
        ensure!(task["id"] == id.as_str(), "{task}");
        Ok(body["nextFire"].as_i64().context("it fires")? < hour - 3_000_000)
    };
    ensure!(planned(&replanned[0])?);
    let again = house.options.cli_json(&["task", "replan", "--all"])?;
    ensure!(again.as_array().is_some_and(Vec::is_empty), "{again}");
    ensure!(planned(&house.options.cli_json(&["task", "replan", &id])?)?, "one that is as it should be");
    Ok(())
}
