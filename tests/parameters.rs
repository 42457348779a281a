//! Parameters that a notebook or a geoprocessing task does not declare are refused when the task is made, not in the
//! night when it runs.

use anyhow::{Context, Result, ensure};
use isochrone_sandbox::SimulatedGpServer;
use isochrone_testkit::{ADMIN_PASSWORD, Server, ServerOptions};
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

/// An item with this notebook.
async fn item(server: &Server, tags: &[&str], source: &str) -> Result<String> {
    let cell = json!({"cell_type": "code", "id": "a", "execution_count": null, "metadata": {"tags": tags},
                      "source": source, "outputs": []});
    let notebook = json!({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).to_string();
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
async fn where_nothing_declares_them_any_are_taken() -> Result<()> {
    let (_dir, server) = server("https://gis.example.com").await?;
    let made = |answer: Value| ensure_made(&answer);
    for (tags, source) in [
        (["x"], "a = 1"),
        (["parameters"], "if True:\n    a = 1"),
        (["parameters"], "from settings import *"),
    ] {
        let item = item(&server, &tags, source).await?;
        let work = [("type", "ExecuteNotebook"), ("itemId", item.as_str()), ("parameters", r#"{"b": 1}"#)];
        made(create(&server, &work).await?)?;
    }
    let nowhere = [("type", "ExecuteNotebook"), ("itemId", "029b61ca770e428d9468a2a55f40b9fb")];
    made(create(&server, &[nowhere.as_slice(), &[("parameters", r#"{"b": 1}"#)]].concat()).await?)
}

fn ensure_made(answer: &Value) -> Result<()> {
    ensure!(answer["success"] == true, "{answer}");
    Ok(())
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
    ensure_made(&create(&server, &work(&missing, r#"{"x": 1}"#)).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_can_be_made_of_what_is_declared() -> Result<()> {
    let gis = SimulatedGpServer::start().await?;
    let (_dir, server) = server(&gis.url()).await?;
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
    Ok(())
}
