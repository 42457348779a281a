//! Where tasks may send requests to: said when a task is made or changed, and held again when it runs.

use anyhow::{Context, Result};
use isochrone_sandbox::SimulatedGpServer;
use isochrone_testkit::{ADMIN_PASSWORD, Server, ServerOptions};
use serde_json::{Value, json};

use crate::{USERS, begin, outcome, place};

const ITEM: &str = "029b61ca770e428d9468a2a55f40b9fb";
const CRON: [(&str, &str); 5] =
    [("minute", "0"), ("hour", "0"), ("dayOfMonth", "29"), ("month", "2"), ("dayOfWeek", "?")];

/// What the sharing API says to a task with these fields.
async fn create(server: &Server, form: &[(&str, &str)]) -> Result<Value> {
    let form = [&CRON[..], &[("itemId", ITEM)], form].concat();
    server.post(&format!("{USERS}/admin/createTask"), &form).await
}

/// Refused, with the field's name and the setting that would admit it.
fn assert_refused(answer: &Value, field: &str) {
    let text = answer.to_string();
    let refused = answer["success"] != true && answer.get("taskId").is_none() && answer.get("id").is_none();
    // The native API has its own case.
    let named = text.to_lowercase().contains(&field.to_lowercase());
    assert!(refused && named && text.contains("egress.servers"), "{text}");
}

fn scene(root: &str) -> String {
    json!({"service_url": format!("{root}/rest/services/Hosted/City/SceneServer")}).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_names_an_unlisted_server_is_not_made() -> Result<()> {
    let gis = SimulatedGpServer::start().await?;
    let place = place(&[&gis.url()])?;
    let server = Server::start(&place.options).await?.sign_in().await?;
    for url in [
        "https://elsewhere.example.com/rest/services/X/GPServer/X",
        "http://127.0.0.1:1/rest/services/X/GPServer/X",
        "https://elsewhere.example.com/processes/x",
    ] {
        assert_refused(
            &create(&server, &[("type", "GPService"), ("taskURL", url), ("parameters", "{}")]).await?,
            "taskURL",
        );
    }
    // It may become a task of another type later.
    let other =
        [("type", "ExecuteReport"), ("taskURL", "https://elsewhere.example.com/x"), ("parameters", "{}")];
    assert_refused(&create(&server, &other).await?, "taskURL");
    let parameters = scene("https://elsewhere.example.com/server");
    let cook = [("type", "ExecuteSceneCook"), ("parameters", parameters.as_str())];
    assert_refused(&create(&server, &cook).await?, "service_url");

    let form = [("username", "admin"), ("password", ADMIN_PASSWORD)];
    let given = server.post("/sharing/rest/generateToken", &form).await?;
    let token = given["token"].as_str().with_context(|| format!("{given}"))?;
    let native = json!({
        "type": "GPService",
        "itemId": ITEM,
        "taskUrl": "https://elsewhere.example.com/rest/services/X/GPServer/X",
        "parameters": {},
        "schedule": {"minute": "0", "hour": "0", "dayOfMonth": "29", "month": "2", "dayOfWeek": "?"},
    });
    let sent = reqwest::Client::new().post(format!("{}/api/v1/tasks", server.url)).bearer_auth(token);
    assert_refused(&sent.json(&native).send().await?.json().await?, "taskURL");

    let list = server.get(&format!("{USERS}/admin/tasks"), &[]).await?;
    assert_eq!(list["total"], 0, "nothing is kept: {list}");
    let good = gis.task("Buffer");
    let made = create(&server, &[("type", "GPService"), ("taskURL", &good), ("parameters", "{}")]).await?;
    assert_eq!(made["success"], true, "{made}");
    let made = create(&server, &[("type", "ExecuteSceneCook"), ("parameters", &scene(&gis.url()))]).await?;
    assert_eq!(made["success"], true, "{made}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_does_a_task_come_to_name_one() -> Result<()> {
    let gis = SimulatedGpServer::start().await?;
    let place = place(&[&gis.url()])?;
    let server = Server::start(&place.options).await?.sign_in().await?;
    let good = gis.task("Buffer");
    let made = create(&server, &[("type", "GPService"), ("taskURL", &good), ("parameters", "{}")]).await?;
    let task = format!("{USERS}/admin/tasks/{}", made["taskId"].as_str().with_context(|| format!("{made}"))?);
    let elsewhere = "https://elsewhere.example.com/rest/services/X/GPServer/X";
    // The clients' spelling, too.
    for name in ["taskURL", "taskUrl"] {
        assert_refused(&server.post(&format!("{task}/update"), &[(name, elsewhere)]).await?, "taskURL");
    }
    let cook = [("type", "ExecuteSceneCook"), ("parameters", &scene("https://elsewhere.example.com/server"))];
    assert_refused(&server.post(&format!("{task}/update"), &cook).await?, "service_url");
    assert_eq!(server.get(&task, &[]).await?["taskUrl"], *good);
    let export = place.options.cli(&["export"], "")?;
    let lines = String::from_utf8(export.stdout)?.replace(&good, elsewhere);
    assert!(lines.contains(elsewhere), "{lines}");
    let imported = place.options.cli(&["--output", "json", "import", "--replace"], &lines)?;
    let told: Value = serde_json::from_slice(&imported.stdout)?;
    assert!(!imported.status.success(), "{told}");
    assert!(told.to_string().contains("taskURL") && told.to_string().contains("egress.servers"), "{told}");
    assert_eq!(server.get(&task, &[]).await?["taskUrl"], *good);
    Ok(())
}

/// The rule may change behind a task's back: it is held at the run, and the task can still be put away.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_listed_no_more_is_not_reached() -> Result<()> {
    let (gis, other) = (SimulatedGpServer::start().await?, SimulatedGpServer::start().await?);
    let mut place = place(&[&gis.url(), &other.url()])?;
    let server = Server::start(&place.options).await?.sign_in().await?;
    let url = gis.task("Buffer");
    let form = [("type", "GPService"), ("itemId", ITEM), ("taskURL", &*url), ("parameters", "{}")];
    let running = begin(&server, &form).await?;
    running.ended().await?;
    let (task, _) = running.names();
    place.options = place.options.env("ISOCHRONE__EGRESS__SERVERS", other.url());
    let server = place.restart(server).await?;
    let task = format!("{USERS}/admin/tasks/{task}");
    let asked = server.post(&format!("{task}/run"), &[]).await?;
    let run = asked["runId"].as_str().with_context(|| format!("{asked}"))?.to_owned();
    let running = crate::Running::at(&server, (task.rsplit('/').next().unwrap_or_default().to_owned(), run));
    let run = running.ended().await?;
    assert_eq!(outcome(&run), ("submitfailed", "bad_input"), "{run}");
    assert!(run["result"].as_str().unwrap_or_default().contains("egress.servers"), "{run}");
    for change in [("title", "Put away"), ("active", "false")] {
        let changed = server.post(&format!("{task}/update"), &[change]).await?;
        assert_eq!(changed["success"], true, "{changed}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_need_not_resolve_where_public_servers_are_allowed() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let options =
        ServerOptions::new(crate::BINARY, dir.path().join("data")).env("ISOCHRONE__EGRESS__OPEN", true);
    let server = Server::start(&options).await?.sign_in().await?;
    let task = |url: &'static str| [("type", "GPService"), ("taskURL", url), ("parameters", "{}")];
    let made = create(&server, &task("https://nowhere.invalid/rest/services/X/GPServer/X")).await?;
    assert_eq!(made["success"], true, "{made}");
    let inward = create(&server, &task("http://169.254.169.254/rest/services/X/GPServer/X")).await?;
    assert_refused(&inward, "taskURL");
    Ok(())
}
