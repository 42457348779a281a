//! What outlives a key: jobs of other servers that are found again, and sign-ins that last.

use anyhow::{Context, Result, ensure};
use isochrone_sandbox::SimulatedHttpJobs;
use isochrone_testkit::fleet::{TASKS, never};
use isochrone_testkit::{Server, ServerOptions, eventually};
use serde_json::Value;

use crate::{BINARY, KEY, NEXT_KEY, oauth};

const PASSWORD: &str = "rain on a tin roof";

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_job_and_a_refresh_token_outlive_the_key_that_sealed_them() -> Result<()> {
    let (dir, jobs) = (tempfile::tempdir()?, SimulatedHttpJobs::start().await?);
    let config = dir.path().join("isochrone.toml");
    let token = SimulatedHttpJobs::TOKEN;
    let text = format!("[http_jobs.UpdateInsightsWorkbook]\nurl = \"{}\"\ntoken = \"{token}\"\n", jobs.url());
    std::fs::write(&config, text)?;
    let plain = ServerOptions::new(BINARY, dir.path().join("data"))
        .env("ISOCHRONE_CONFIG", config.display())
        .env("ISOCHRONE__WORKER__LEASE_SECONDS", 3);
    let with = |keys: &[&str]| plain.clone().env("ISOCHRONE_SECRETS_KEY", keys.join("\n"));
    let (old, both, new) = (with(&[KEY]), with(&[NEXT_KEY, KEY]), with(&[NEXT_KEY]));

    let added = old
        .cli(&["user", "add", "ann", "--role", "publisher", "--password-stdin"], &format!("{PASSWORD}\n"))?;
    ensure!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    let server = Server::start(&old).await?.sign_in().await?;
    let granted = oauth::granted(&server, "ann", PASSWORD).await?;
    let mut form = never("outlives");
    form.retain(|(name, _)| !["type", "parameters"].contains(name));
    form.extend([
        ("type", "UpdateInsightsWorkbook"),
        ("itemId", "029b61ca770e428d9468a2a55f40b9fb"),
        ("parameters", r#"{"seconds": 45}"#),
    ]);
    let task = server.create_task(&form).await?;
    let asked = server.post(&format!("{TASKS}/{task}/run"), &[]).await?;
    let run = asked["runId"].as_str().with_context(|| asked.to_string())?;
    let path = format!("{TASKS}/{task}/runs/{run}");
    let shows = async |server: &Server, what: &str, holds: &dyn Fn(&Value) -> bool| {
        eventually(what, async || {
            let run = server.get(&path, &[]).await?;
            Ok(holds(&run).then_some(run))
        })
        .await
    };
    shows(&server, "the job's progress", &|run| run["progress"]["percent"].as_u64() > Some(0)).await?;
    ensure!(server.terminate().await?, "it ends");

    // The next attempt opens the handle with the old key, and the new one seals it while the job goes on.
    let server = Server::start(&both).await?.sign_in().await?;
    shows(&server, "the second attempt", &|run| run["attempt"] == 2 && run["progress"]["percent"].is_u64())
        .await?;
    let rotated = both.cli_json(&["keys", "rotate"])?;
    assert_eq!((&rotated["runs"], &rotated["grants"]), (&Value::from(1), &Value::from(1)), "{rotated}");
    assert_eq!(rotated["retired"].as_array().map(Vec::len), Some(1), "{rotated}");
    let refreshed = oauth::refreshed(&server, &granted.refresh_token).await?;
    ensure!(refreshed["access_token"].is_string(), "{refreshed}");
    server.kill()?;

    // The old key is gone.
    let server = Server::start(&new).await?.sign_in().await?;
    let refreshed = oauth::refreshed(&server, &granted.refresh_token).await?;
    ensure!(refreshed["access_token"].is_string(), "{refreshed}");
    let ended = shows(&server, "the run to end", &|run| run["endTime"].is_i64()).await?;
    assert_eq!((&ended["status"], &ended["reason"]), (&"succeeded".into(), &"done".into()), "{ended}");
    assert_eq!(ended["attempt"], 3, "{ended}");
    assert_eq!(jobs.orders(), 1, "one job, whatever happened");
    let refused = old.cli(&["task", "list"], "")?;
    assert!(!refused.status.success(), "the old key alone opens nothing");
    Ok(())
}
