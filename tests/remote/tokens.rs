//! GPService with the tokens of a portal and of servers that are federated with it.

use anyhow::{Context, Result};
use isochrone_sandbox::{SimulatedGpServer, SimulatedPortal};
use isochrone_testkit::{Server, ServerOptions, eventually_within};
use serde_json::Value;

use crate::{LONG, Place, USERS, outcome, place};

/// A portal, a server that takes only tokens of its own, and a house between them that signs in so.
async fn three(sign_in: &[(&str, &str)]) -> Result<(SimulatedPortal, SimulatedGpServer, Place)> {
    let (portal, gis) = (SimulatedPortal::start().await?, SimulatedGpServer::start().await?);
    portal.add_app("cook", "cook-secret");
    gis.federate_strictly(&portal);
    let mut place = place(&[&gis.url()])?;
    let options = place.options.clone().env("ISOCHRONE__PORTAL__URL", portal.url());
    place.options =
        sign_in.iter().fold(options, |options: ServerOptions, (name, text)| options.env(name, *text));
    Ok((portal, gis, place))
}

/// The run of a task of siteadmin's, once it has ended; the portal's tokens are taken back in the middle of it.
async fn run(portal: &SimulatedPortal, gis: &SimulatedGpServer, server: &Server) -> Result<Value> {
    let tasks = format!("{USERS}/siteadmin/tasks");
    let (token, url) = (portal.token("siteadmin", None), gis.task("Slow"));
    let form = [
        ("type", "GPService"),
        ("itemId", "029b61ca770e428d9468a2a55f40b9fb"),
        ("taskURL", &url),
        ("parameters", r#"{"seconds": 3}"#),
        ("token", &token),
        ("minute", "0"),
        ("hour", "0"),
        ("dayOfMonth", "29"),
        ("month", "2"),
        ("dayOfWeek", "?"),
    ];
    let made = server.post(&format!("{tasks}/createTask"), &form).await?;
    let task = format!("{tasks}/{}", made["taskId"].as_str().with_context(|| format!("{made}"))?);
    server.post(&format!("{task}/run"), &[("token", &token)]).await?;
    eventually_within(LONG, "the job", async || Ok((!gis.submissions().is_empty()).then_some(()))).await?;
    portal.rotate_tokens();
    let token = portal.token("siteadmin", None);
    eventually_within(LONG, "the run to end", async || {
        let runs = server.get(&format!("{task}/runs"), &[("token", &token)]).await?;
        Ok(runs["runs"][0]["endTime"].is_i64().then(|| runs["runs"][0].clone()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_s_and_an_app_s_tokens_are_exchanged() -> Result<()> {
    let user = [("ISOCHRONE__PORTAL__USER", "siteadmin"), ("ISOCHRONE_PORTAL_PASSWORD", "site-password")];
    let app = [("ISOCHRONE__PORTAL__CLIENT_ID", "cook"), ("ISOCHRONE_PORTAL_CLIENT_SECRET", "cook-secret")];
    for (sign_in, path) in [(user, "generateToken"), (app, "oauth2/token")] {
        let (portal, gis, place) = three(&sign_in).await?;
        let server = Server::start(&place.options).await?;
        let run = run(&portal, &gis, &server).await?;
        assert_eq!(outcome(&run), ("succeeded", "done"), "{run}");
        assert_eq!((portal.exchanges(), gis.submissions().len()), (2, 1), "{path}");
        assert!(portal.asked(path) >= 2, "{path}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_key_that_is_taken_back_ends_the_run() -> Result<()> {
    let (portal, gis, place) = three(&[]).await?;
    let key = portal.token("siteadmin", None);
    let server = Server::start(&place.options.clone().env("ISOCHRONE_PORTAL_API_KEY", &key)).await?;
    let run = run(&portal, &gis, &server).await?;
    assert_eq!(outcome(&run), ("failed", "not_allowed"), "{run}");
    assert!(!run.to_string().contains(&key), "{run}");
    assert_eq!((portal.exchanges(), gis.submissions().len()), (1, 1));
    Ok(())
}
