//! Work with secrets in it.

use anyhow::{Context, Result, ensure};
use isochrone_sandbox::SimulatedGpServer;
use isochrone_testkit::fleet::TASKS;
use isochrone_testkit::{Server, ServerOptions, eventually};
use serde_json::Value;

use super::canaries::*;
use super::found::Places;
use super::{accounts, notebook};

/// createTask's form for work of this kind, with canaries in it.
pub(super) fn form<'a>(kind: &'a str, parameters: &'a str, url: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut form = vec![("type", kind), ("itemId", ITEM), ("parameters", parameters)];
    form.extend([("minute", "0"), ("hour", "0"), ("dayOfMonth", "29"), ("month", "2"), ("dayOfWeek", "?")]);
    if !url.is_empty() {
        form.push(("taskURL", url));
    }
    form
}

/// Makes a task, runs it, waits for its end; gives the run and its log as the API shows them.
pub(super) async fn carried_out(server: &Server, form: &[(&str, &str)]) -> Result<(Value, Value)> {
    let task = server.create_task(form).await?;
    let asked = server.post(&format!("{TASKS}/{task}/run"), &[]).await?;
    let run = asked["runId"].as_str().with_context(|| format!("{asked}"))?.to_owned();
    let path = format!("{TASKS}/{task}/runs/{run}");
    if form.iter().any(|(name, value)| *name == "taskURL" && value.contains(NOWHERE)) {
        // It would be tried for minutes: until it says so once.
        eventually("a line of the log", async || {
            let log = server.get(&format!("{path}/log"), &[]).await?;
            Ok(log.to_string().contains("\"text\"").then_some(()))
        })
        .await?;
        server.post(&format!("{path}/cancel"), &[]).await?;
    }
    let ended = eventually("the run to end", async || {
        let run = server.get(&path, &[]).await?;
        Ok(run["endTime"].is_i64().then_some(run))
    })
    .await?;
    let log = server.get(&format!("{path}/log"), &[("num", "1000")]).await?;
    Ok((ended, log))
}

/// The work of both tests: success, failure, servers that are away, bad input, wrong passwords.
pub(super) async fn work(
    places: &mut Places,
    server: &Server,
    options: &ServerOptions,
    gis: &SimulatedGpServer,
) -> Result<Vec<(&'static str, String)>> {
    let parameters = format!(r#"{{"note": "{PARAMETER}", "seconds": 1}}"#);
    let refused = format!(r#"{{"note": "{PARAMETER}", "refused": true}}"#);
    let tool = format!("{}/server/rest/services/Tools/GPServer/Buffer", gis.url());
    let with_secrets = format!("{tool}?token={QUERY}").replace("http://", &format!("http://ann:{USERINFO}@"));
    let away = format!("http://ann:{USERINFO}@{NOWHERE}/a/GPServer/B?token={QUERY}");
    for (kind, parameters, url) in [
        ("UpdateInsightsWorkbook", &parameters, ""),
        ("UpdateInsightsWorkbook", &refused, ""),
        ("GPService", &parameters, with_secrets.as_str()),
        ("GPService", &parameters, away.as_str()),
        ("ExecuteReport", &parameters, ""),
    ] {
        let form = form(kind, parameters, url);
        match carried_out(server, &form).await {
            Ok((run, log)) => {
                places.add("runs shown", run.to_string());
                places.add("run logs", log.to_string());
            }
            // Refused when it is made, which its sender is told.
            Err(error) => places.add("refusals", format!("{error:#}")),
        }
    }
    // Bad input, each time with a secret in it.
    let unlisted = format!("https://ann:{UNLISTED}@unlisted.example.com/a/GPServer/B?token={UNLISTED}");
    let broken = format!("{{\"note\": \"{BAD_PARAMETER}\"");
    let listed = format!("[\"{BAD_PARAMETER}\"]");
    let mistyped = format!("{{\"service_url\": [\"{BAD_PARAMETER}\"]}}");
    for bad in [
        form("GPService", &parameters, &unlisted),
        form("UpdateInsightsWorkbook", &broken, ""),
        form("UpdateInsightsWorkbook", &listed, ""),
        form("ExecuteSceneCook", &mistyped, ""),
        form("GPService", &parameters, UNLISTED),
    ] {
        let answer = server.post(&format!("{TASKS}/createTask"), &bad).await?;
        ensure!(answer["taskId"].is_null(), "it was taken: {answer}");
        places.add("refusals", answer.to_string());
    }
    let run = notebook::run(places, server, options).await?;
    places.add("runs shown", run);
    let mut made = accounts::use_them(places, server, options).await?;
    made.push(("notebook's secret in base64", notebook::in_base64()));
    Ok(made)
}
