//! Parameters that a notebook or a geoprocessing task does not declare are refused when the task is made, not in the
//! night when it runs.

use anyhow::{Context, Result, ensure};
use isochrone_sandbox::{SimulatedGpServer, SimulatedProcesses};
use isochrone_testkit::{ADMIN_PASSWORD, Server, ServerOptions, eventually_within};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_isochrone");
const TASKS: &str = "/sharing/rest/community/users/admin/tasks";

/// A server that may ask `gis`, and its data.
async fn server(gis: &str) -> Result<(tempfile::TempDir, Server)> {
    let dir = tempfile::tempdir()?;
    let options = ServerOptions::new(BINARY, dir.path().join("data"))
        .shared_python()?
        .env("ISOCHRONE__EGRESS__SERVERS", gis);
    let server = Server::start(&options).await?.sign_in().await?;
    Ok((dir, server))
}

fn notebook(tags: &[&str], source: &str) -> String {
    let cell = json!({"cell_type": "code", "id": "a", "execution_count": null, "metadata": {"tags": tags},
                      "source": source, "outputs": []});
    json!({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).to_string()
}

/// An item with this notebook.
async fn item(server: &Server, tags: &[&str], source: &str) -> Result<String> {
    let notebook = notebook(tags, source);
    let form = [("title", "n"), ("type", "Notebook"), ("text", notebook.as_str())];
    let added = server.post("/sharing/rest/content/users/admin/addItem", &form).await?;
    Ok(added["id"].as_str().with_context(|| format!("{added}"))?.to_owned())
}

/// What createTask answers for a task of this type and work, once a leap day.
async fn create(server: &Server, work: &[(&str, &str)]) -> Result<Value> {
    let yearly = [("minute", "0"), ("hour", "0"), ("dayOfMonth", "29"), ("month", "2"), ("dayOfWeek", "?")];
    let form = [yearly.as_slice(), work].concat();
    server.post("/sharing/rest/community/users/admin/createTask", &form).await
}

async fn tasks(server: &Server) -> Result<Value> {
    Ok(server.get(TASKS, &[]).await?["total"].clone())
}

fn is_refused(answer: &Value, words: &[&str]) -> Result<()> {
    ensure!(answer["error"]["code"] == 400, "{answer}");
    let text = answer["error"].to_string();
    ensure!(["parameters"].iter().chain(words).all(|word| text.contains(word)), "{words:?}: {answer}");
    Ok(())
}

const CELL: &str = "buffer: float = 10  # in metres\nlayers = ['roads']\nlabel = None\nexact = False\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_notebooks_parameters_are_checked_when_a_task_is_made_and_changed() -> Result<()> {
    let (_dir, server) = server("https://gis.example.com").await?;
    let item_id = item(&server, &["parameters"], CELL).await?;
    let notebook =
        |parameters| [("type", "ExecuteNotebook"), ("itemId", item_id.as_str()), ("parameters", parameters)];
    for (wrong, words) in [
        (r#"{"buffre": 5}"#, ["buffre", "buffer, layers, label, exact", "allowUnknownParameters"]),
        (
            r#"{"notebookParameters": {"Buffer": 5}, "saveInjectedParameters": true}"#,
            ["Buffer", "exact", "there are"],
        ),
        (r#"{"notebookParameters": "{\"x\": 5}"}"#, ["'x'", "exact", "there are"]),
        (r#"{"buffer": "wide"}"#, ["buffer", "wide", "number"]),
        (r#"{"layers": "roads"}"#, ["layers", "roads", "array"]),
        (r#"{"exact": "perhaps"}"#, ["exact", "perhaps", "boolean"]),
    ] {
        is_refused(&create(&server, &notebook(wrong)).await?, &words)?;
    }
    assert_eq!(tasks(&server).await?, 0, "nothing is stored");

    let good = r#"{"notebookParameters": {"buffer": "12.5", "layers": null, "label": [1], "exact": 1}}"#;
    let made = create(&server, &notebook(good)).await?;
    let task = made["taskId"].as_str().with_context(|| format!("{made}"))?;
    let update = format!("{TASKS}/{task}/update");
    is_refused(&server.post(&update, &[("parameters", r#"{"buffre": 1}"#)]).await?, &["buffre"])?;
    let allowed = [("parameters", r#"{"buffre": 1}"#), ("allowUnknownParameters", "true")];
    assert_eq!(server.post(&update, &allowed).await?["success"], true);
    assert_eq!(server.get(&format!("{TASKS}/{task}"), &[]).await?["allowUnknownParameters"], true);
    is_refused(&server.post(&update, &[("allowUnknownParameters", "false")]).await?, &["buffre"])?;

    // A task can still be renamed whose notebook declares others by now.
    let form = [("text", r#"{"cells":[],"metadata":{},"nbformat":4,"nbformat_minor":5}"#)];
    server.post(&format!("/sharing/rest/content/users/admin/items/{item_id}/update"), &form).await?;
    assert_eq!(server.post(&update, &[("title", "another")]).await?["success"], true);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_declares_them_any_are_taken_with_a_warning() -> Result<()> {
    let (_dir, server) = server("https://gis.example.com").await?;
    let made = |answer: Value, warning: &str| ensure_warned(&answer, &["'b'", warning]);
    for (tags, source, warning) in [
        (["x"], "a = 1", "no cell tagged 'parameters'"),
        (["parameters"], "if True:\n    a = 1", "does more than set values"),
        (["parameters"], "from settings import *", "does more than set values"),
    ] {
        let item = item(&server, &tags, source).await?;
        let work = [("type", "ExecuteNotebook"), ("itemId", item.as_str()), ("parameters", r#"{"b": 1}"#)];
        made(create(&server, &work).await?, warning)?;
    }
    let nowhere = [("type", "ExecuteNotebook"), ("itemId", NOWHERE)];
    ensure_made(&create(&server, &nowhere).await?)?;
    let given = create(&server, &[nowhere.as_slice(), &[("parameters", r#"{"b": 1}"#)]].concat()).await?;
    ensure_warned(&given, &["could not be checked", "there is no item", NOWHERE])
}

const NOWHERE: &str = "029b61ca770e428d9468a2a55f40b9fb";

/// The task is made, and nothing was left unchecked.
fn ensure_made(answer: &Value) -> Result<()> {
    ensure!(answer["success"] == true && answer["warnings"] == Value::Null, "{answer}");
    Ok(())
}

/// The task is made, with one warning that has these words.
fn ensure_warned(answer: &Value, words: &[&str]) -> Result<()> {
    let warnings = answer["warnings"].as_array().with_context(|| format!("{answer}"))?;
    let told = warnings.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n");
    ensure!(warnings.len() == 1 && words.iter().all(|word| told.contains(word)), "{words:?}: {answer}");
    ensure!(answer["success"] == true || answer["id"].is_string(), "{answer}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notebook_that_was_changed_since_is_not_run_with_what_it_does_not_know() -> Result<()> {
    let (_dir, server) = server("https://gis.example.com").await?;
    let item_id = item(&server, &["parameters"], CELL).await?;
    let work = [
        ("type", "ExecuteNotebook"),
        ("itemId", item_id.as_str()),
        ("parameters", r#"{"notebookParameters": {"buffer": 5}}"#),
        ("maxRetries", "3"),
    ];
    let made = create(&server, &work).await?;
    ensure_made(&made)?;
    let task = made["taskId"].as_str().with_context(|| format!("{made}"))?;
    for (cell, told) in [
        (
            "distance = 10\nlayers = []",
            "'parameters' have 'buffer', which is not declared; there are distance, layers.",
        ),
        ("buffer = ['wide']", "'parameters' have 'buffer' as 5; expected array."),
    ] {
        let changed = notebook(&["parameters"], cell);
        let update = format!("/sharing/rest/content/users/admin/items/{item_id}/update");
        ensure_made(&server.post(&update, &[("text", &changed)]).await?)?;
        let asked = server.post(&format!("{TASKS}/{task}/run"), &[]).await?;
        let run = asked["runId"].as_str().with_context(|| format!("{asked}"))?;
        let run = eventually_within(std::time::Duration::from_mins(1), "the run to end", async || {
            let run = server.get(&format!("{TASKS}/{task}/runs/{run}"), &[]).await?;
            Ok(run["endTime"].is_i64().then_some(run))
        });
        let run = run.await?;
        assert_eq!((&run["status"], &run["reason"]), (&json!("submitfailed"), &json!("bad_input")), "{run}");
        assert_eq!(run["attempt"], 1, "another try would find the same: {run}");
        let result = run["result"].as_str().unwrap_or_default();
        ensure!(result.starts_with(told) && result.contains("allowUnknownParameters"), "{run}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_checked_is_said_in_each_api_and_on_the_command_line() -> Result<()> {
    // It answers later than createTask waits, then it is gone.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", silent.local_addr()?);
    let dir = tempfile::tempdir()?;
    let options = ServerOptions::new(BINARY, dir.path().join("data")).env("ISOCHRONE__EGRESS__SERVERS", &url);
    let server = Server::start(&options).await?.sign_in().await?;
    let tool = format!("{url}/rest/services/A/GPServer/B");
    let gp = [("type", "GPService"), ("itemId", NOWHERE), ("taskURL", tool.as_str())];
    ensure_made(&create(&server, &[gp.as_slice(), &[("parameters", "{}")]].concat()).await?)?;
    let given = [gp.as_slice(), &[("parameters", r#"{"x": 1}"#)]].concat();
    ensure_warned(&create(&server, &given).await?, &["could not be checked", "within 5 s"])?;
    let allowed = [given.as_slice(), &[("allowUnknownParameters", "true")]].concat();
    ensure_made(&create(&server, &allowed).await?)?;
    drop(silent);

    let made = create(&server, &given).await?;
    ensure_warned(&made, &["could not be checked"])?;
    let update = format!("{TASKS}/{}/update", made["taskId"].as_str().unwrap_or_default());
    ensure_made(&server.post(&update, &[("title", "another")]).await?)?;
    let others = server.post(&update, &[("parameters", r#"{"x": 2}"#)]).await?;
    ensure_warned(&others, &["could not be checked"])?;

    let form = [("username", "admin"), ("password", ADMIN_PASSWORD)];
    let token = server.post("/sharing/rest/generateToken", &form).await?;
    let token = token["token"].as_str().with_context(|| format!("{token}"))?;
    let client = reqwest::Client::new();
    let schedule = json!({"minute": "0", "hour": "0", "dayOfMonth": "29", "month": "2", "dayOfWeek": "?"});
    let body = json!({"type": "GPService", "itemId": NOWHERE, "taskUrl": tool, "parameters": {"x": 1},
                      "schedule": schedule});
    let sent = client.post(format!("{}/api/v1/tasks", server.url)).bearer_auth(token).json(&body);
    let made: Value = sent.send().await?.json().await?;
    ensure_warned(&made, &["could not be checked"])?;
    let one = format!("{}/api/v1/tasks/{}", server.url, made["id"].as_str().unwrap_or_default());
    let changed = client.patch(&one).bearer_auth(token).json(&json!({"parameters": {"x": 2}}));
    ensure_warned(&changed.send().await?.json().await?, &["could not be checked"])?;
    let shown: Value = client.get(&one).bearer_auth(token).send().await?.json().await?;
    assert_eq!(shown["warnings"], Value::Null, "it is said once");

    let work = ["--type", "GPService", "--item", NOWHERE, "--task-url", &tool, "--parameters", r#"{"x": 1}"#];
    let when = ["--minute", "0", "--hour", "0", "--day-of-month", "29", "--month", "2", "--day-of-week", "?"];
    let arguments = [&["--output", "json", "task", "create", "--owner", "admin"][..], &work, &when].concat();
    let output = options.cli(&arguments, "")?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && told.contains("warning: 'parameters' could not be checked"), "{told}");
    let task: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(task["id"].is_string(), "{task}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_processs_inputs_are_those_of_its_description() -> Result<()> {
    let processes = SimulatedProcesses::start().await?;
    let (_dir, server) = server(&processes.url()).await?;
    let (slow, missing) = (processes.process("slow"), processes.process("missing"));
    let work = |url, parameters| {
        [("type", "GPService"), ("itemId", NOWHERE), ("taskURL", url), ("parameters", parameters)]
    };
    for (wrong, words) in [
        (r#"{"secnods": 1}"#, ["secnods", "there are seconds, mood"]),
        (r#"{"inputs": {"secnods": 1}}"#, ["secnods", "there are seconds, mood"]),
        (r#"{"seconds": "few"}"#, ["seconds", "expected number"]),
        (r#"{"seconds": 1, "mood": "sad"}"#, ["mood", "expected one of calm, grim"]),
        (r#"{"mood": "grim"}"#, ["'seconds'", "required"]),
    ] {
        is_refused(&create(&server, &work(&slow, wrong)).await?, &words)?;
    }
    assert_eq!(tasks(&server).await?, 0, "nothing is stored");
    ensure_made(&create(&server, &work(&slow, r#"{"seconds": 1, "mood": "grim"}"#)).await?)?;
    ensure_made(&create(&server, &work(&slow, r#"{"inputs": {"seconds": {"value": 1}}}"#)).await?)?;
    ensure_warned(&create(&server, &work(&missing, r#"{"x": 1}"#)).await?, &["could not be checked"])?;
    // Whoever gives nothing yet may do so by a change.
    ensure_warned(&create(&server, &work(&slow, "{}")).await?, &["no 'seconds'", "required"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_geoprocessing_tasks_parameters_are_those_of_its_description() -> Result<()> {
    let gis = SimulatedGpServer::start().await?;
    let (_dir, server) = server(&gis.url()).await?;
    let (slow, missing) = (gis.task("Slow"), gis.task("Missing"));
    let work = |url, parameters| {
        [
            ("type", "GPService"),
            ("itemId", "029b61ca770e428d9468a2a55f40b9fb"),
            ("taskURL", url),
            ("parameters", parameters),
        ]
    };
    is_refused(&create(&server, &work(&slow, r#"{"secnods": 1}"#)).await?, &["secnods", "seconds"])?;
    is_refused(&create(&server, &work(&slow, r#"{"seconds": "few"}"#)).await?, &["seconds", "few"])?;
    assert_eq!(tasks(&server).await?, 0, "nothing is stored");
    ensure_made(&create(&server, &work(&slow, r#"{"Seconds": "1", "env:outSR": 4326}"#)).await?)?;
    // A server that does not describe the task is left to the run.
    ensure_warned(&create(&server, &work(&missing, r#"{"x": 1}"#)).await?, &["could not be checked"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_can_be_made_of_what_is_declared() -> Result<()> {
    let (gis, processes) = (SimulatedGpServer::start().await?, SimulatedProcesses::start().await?);
    let (_dir, server) = server(&format!("{},{}", gis.url(), processes.url())).await?;
    let item = item(&server, &["parameters"], CELL).await?;
    let form = [("username", "admin"), ("password", ADMIN_PASSWORD)];
    let given = server.post("/sharing/rest/generateToken", &form).await?;
    let token = given["token"].as_str().with_context(|| format!("{given}"))?;
    let client = reqwest::Client::new();
    let shown = async |query: &[(&str, &str)]| -> Result<Value> {
        let sent = client.get(format!("{}/api/v1/parameters", server.url)).query(query).bearer_auth(token);
        Ok(sent.send().await?.json().await?)
    };
    let declared = shown(&[("type", "ExecuteNotebook"), ("itemId", &item)]).await?;
    let expected = json!({"complete": true, "parameters": [
        {"name": "buffer", "type": "number", "typeName": "float", "default": "10", "help": "in metres", "required": false},
        {"name": "layers", "type": "array", "default": "['roads']", "required": false},
        {"name": "label", "default": "None", "required": false},
        {"name": "exact", "type": "boolean", "default": "False", "required": false},
    ]});
    assert_eq!(declared, expected);
    let slow = gis.task("Slow");
    let tool = shown(&[("type", "GPService"), ("taskUrl", &slow)]).await?;
    let seconds = &tool["parameters"][0];
    assert_eq!((&seconds["name"], &tool["complete"]), (&json!("seconds"), &json!(true)), "{tool}");
    let slow = processes.process("slow");
    let process = shown(&[("type", "GPService"), ("taskUrl", &slow)]).await?;
    let expected = json!({"complete": true, "parameters": [
        {"name": "seconds", "type": "number", "typeName": "number", "help": "Seconds", "required": true},
        {"name": "mood", "type": "string", "typeName": "string", "default": "\"calm\"", "required": false,
         "choices": ["calm", "grim"]},
    ]});
    assert_eq!(process, expected);
    Ok(())
}
