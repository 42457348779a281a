//! Where tokens come from, against a simulated portal and a simulated server, over real HTTP.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use isochrone_arcgis::gp::{GpTask, Parameters};
use isochrone_arcgis::jobs::SubmitOutcome;
use isochrone_arcgis::{Connection, Credentials, Egress, Error, Outbound, Portal, SignedIn, Trust};
use isochrone_sandbox::{Fault, SimulatedGpServer, SimulatedPortal};
use tokio::task::JoinSet;

const TIMEOUT: Duration = Duration::from_secs(5);
const SECRET: &str = "hunter2";

fn portal_at(url: String) -> Result<Portal> {
    Ok(Portal::new(&Connection { url, trust: Trust::System, timeout: Some(TIMEOUT) })?)
}

fn sign_in(portal: &SimulatedPortal, credentials: Credentials) -> Result<SignedIn> {
    Ok(SignedIn::new(portal_at(portal.url())?, credentials))
}

fn password() -> Credentials {
    Credentials::Password { username: "siteadmin".to_owned(), password: "site-password".to_owned() }
}

fn app(client_secret: &str) -> Credentials {
    Credentials::Application { client_id: "cook".to_owned(), client_secret: client_secret.to_owned() }
}

/// A task of the server, asked with the tokens of this sign-in.
fn task(gis: &SimulatedGpServer, signed_in: SignedIn) -> Result<GpTask> {
    let egress = Egress::new(&[gis.url()], false)?;
    let outbound = Outbound::new(egress, &Trust::System, Some(signed_in), Some(TIMEOUT))?;
    Ok(GpTask::new(outbound, &gis.task("Slow"))?)
}

async fn whoami(signed_in: &SignedIn) -> isochrone_arcgis::Result<String> {
    let user = signed_in.ask(async |portal, bearer| portal.community_self(&bearer).await).await?;
    Ok(user.username)
}

/// So many requests at once; the first failure, if there is one.
async fn at_once(times: usize, task: &GpTask) -> Result<()> {
    let mut asking = JoinSet::new();
    for _ in 0..times {
        let task = task.clone();
        asking.spawn(async move { task.description().await });
    }
    for answered in asking.join_all().await {
        ensure!(answered?.is_asynchronous, "the task is asynchronous");
    }
    Ok(())
}

#[tokio::test]
async fn each_kind_of_credentials_signs_in() -> Result<()> {
    let portal = SimulatedPortal::start().await?;
    portal.add_app("cook", SECRET);
    let key = portal.token("siteadmin", None);
    for (credentials, expected) in
        [(password(), "siteadmin"), (app(SECRET), "cook"), (Credentials::Token(key), "siteadmin")]
    {
        let told = format!("{credentials:?}");
        assert_eq!(whoami(&sign_in(&portal, credentials)?).await?, expected, "{told}");
    }
    assert_eq!((portal.asked("generateToken"), portal.asked("oauth2/token")), (1, 1));
    Ok(())
}

#[tokio::test]
async fn what_can_be_renewed_is_renewed_once() -> Result<()> {
    let portal = SimulatedPortal::start().await?;
    portal.add_app("cook", SECRET);
    for (credentials, path) in [(password(), "generateToken"), (app(SECRET), "oauth2/token")] {
        let signed_in = sign_in(&portal, credentials)?;
        whoami(&signed_in).await?;
        portal.rotate_tokens();
        whoami(&signed_in).await?;
        assert_eq!(portal.asked(path), 2);
        portal.plan_fault("community/self", 0, 2, Fault::InvalidToken);
        let refused = whoami(&signed_in).await;
        ensure!(matches!(refused, Err(Error::Token(_))), "{refused:?}");
        assert_eq!(portal.asked(path), 3, "once, not for ever");
    }
    let fixed = sign_in(&portal, Credentials::Token(portal.token("siteadmin", None)))?;
    portal.rotate_tokens();
    let asked = portal.asked("community/self");
    ensure!(matches!(whoami(&fixed).await, Err(Error::Token(_))));
    assert_eq!(portal.asked("community/self"), asked + 1, "the same token is not tried twice");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_need_a_token_ask_for_one() -> Result<()> {
    let portal = SimulatedPortal::start().await?;
    portal.add_app("cook", SECRET);
    for (credentials, path) in [(password(), "generateToken"), (app(SECRET), "oauth2/token")] {
        let signed_in = sign_in(&portal, credentials)?;
        portal.plan_fault(path, 0, 1, Fault::Slow(Duration::from_millis(300)));
        let mut asking = JoinSet::new();
        for _ in 0..50 {
            let signed_in = signed_in.clone();
            asking.spawn(async move { whoami(&signed_in).await });
        }
        for answered in asking.join_all().await {
            answered?;
        }
        assert_eq!(portal.asked(path), 1);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_token_shares_its_failure() -> Result<()> {
    let portal = SimulatedPortal::start().await?;
    let signed_in = sign_in(&portal, password())?;
    portal.plan_fault("generateToken", 0, usize::MAX, Fault::Slow(Duration::from_mins(1)));
    let mut asking = JoinSet::new();
    for _ in 0..50 {
        let signed_in = signed_in.clone();
        asking.spawn(async move { whoami(&signed_in).await });
    }
    let answered =
        tokio::time::timeout(TIMEOUT * 2, asking.join_all()).await.context("one time limit for all")?;
    ensure!(answered.iter().all(|answer| answer.as_ref().is_err_and(Error::may_pass)), "{answered:?}");
    assert_eq!(portal.asked("generateToken"), 1);
    portal.heal();
    assert_eq!(whoami(&signed_in).await?, "siteadmin", "a failure is not kept");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_federated_server_gets_a_token_of_its_own() -> Result<()> {
    let (portal, gis) = (SimulatedPortal::start().await?, SimulatedGpServer::start().await?);
    portal.add_app("cook", SECRET);
    gis.federate_strictly(&portal);
    let key = portal.token("siteadmin", None);
    for (number, credentials) in [password(), app(SECRET), Credentials::Token(key)].into_iter().enumerate() {
        let told = format!("{credentials:?}");
        let task = task(&gis, sign_in(&portal, credentials)?)?;
        at_once(50, &task).await.with_context(|| told.clone())?;
        assert_eq!(portal.exchanges(), number + 1, "{told}: one for all");
        let submitted = task.submit(&Parameters::read(r#"{"seconds": 0}"#)?).await;
        let SubmitOutcome::Begun(job) = submitted else { bail!("{submitted:?}") };
        task.job(&job).await?;
    }
    assert_eq!((portal.asked("oauth2/token"), gis.asked("/rest/info")), (1, 3));
    let mut tokens = gis.tokens_seen();
    tokens.dedup();
    assert_eq!(tokens.len(), 3, "the portal's own tokens never went there: {tokens:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_are_taken_back_are_renewed_once_for_all() -> Result<()> {
    let (portal, gis) = (SimulatedPortal::start().await?, SimulatedGpServer::start().await?);
    gis.federate_strictly(&portal);
    let task = task(&gis, sign_in(&portal, password())?)?;
    at_once(1, &task).await?;
    portal.rotate_tokens();
    at_once(50, &task).await?;
    assert_eq!(portal.exchanges(), 2);
    // Two sign-ins and two exchanges have the same path.
    assert_eq!(portal.asked("generateToken"), 4);
    gis.plan_fault("GPServer/Slow", 0, usize::MAX, Fault::InvalidToken);
    let asked = gis.asked("GPServer/Slow");
    let refused = task.description().await;
    ensure!(matches!(refused, Err(Error::Token(_))), "{refused:?}");
    assert_eq!((gis.asked("GPServer/Slow"), portal.exchanges()), (asked + 2, 3), "one retry");
    Ok(())
}

#[tokio::test]
async fn a_server_s_token_is_renewed_before_it_ends() -> Result<()> {
    let (portal, gis) = (SimulatedPortal::start().await?, SimulatedGpServer::start().await?);
    gis.federate_strictly(&portal);
    let signed_in = sign_in(&portal, password())?;
    whoami(&signed_in).await?;
    let task = task(&gis, signed_in)?;
    portal.set_token_life(Duration::from_secs(3));
    at_once(1, &task).await?;
    tokio::time::sleep(Duration::from_millis(1_700)).await;
    at_once(1, &task).await?;
    assert_eq!(portal.exchanges(), 2, "after half of its life");
    assert_eq!(gis.asked("GPServer/Slow"), 2, "none was refused");
    Ok(())
}

#[tokio::test]
async fn a_server_that_stands_alone_gets_the_portal_s_token() -> Result<()> {
    let portal = SimulatedPortal::start().await?;
    for refusing in [false, true] {
        let gis = SimulatedGpServer::start().await?;
        gis.federate_silently(&portal);
        if refusing {
            gis.plan_fault("/rest/info", 0, usize::MAX, Fault::InvalidToken);
        }
        let signed_in = sign_in(&portal, password())?;
        let task = task(&gis, signed_in.clone())?;
        at_once(1, &task).await?;
        portal.rotate_tokens();
        at_once(1, &task).await?;
        assert_eq!(gis.asked("GPServer/Slow"), 3, "one was refused");
        portal.rotate_tokens();
        whoami(&signed_in).await?;
        at_once(1, &task).await?;
        assert_eq!(gis.asked("GPServer/Slow"), 4, "what the portal has renewed is renewed here");
        assert_eq!(portal.exchanges(), 0);
    }
    Ok(())
}

#[tokio::test]
async fn a_token_that_can_t_be_exchanged_goes_as_it_is() -> Result<()> {
    let (portal, gis) = (SimulatedPortal::start().await?, SimulatedGpServer::start().await?);
    // The portal's own address outside, where its token service is, is none that we reach it at.
    gis.federate(&portal);
    portal.set_own_url("https://gis.example.com/portal");
    gis.claim("https://GIS.example.com/portal/sharing/rest");
    at_once(1, &task(&gis, sign_in(&portal, password())?)?).await?;
    // The portal does not know the server.
    let (portal, gis) = (SimulatedPortal::start().await?, SimulatedGpServer::start().await?);
    gis.claim(&portal.url());
    at_once(1, &task(&gis, sign_in(&portal, password())?)?).await?;
    assert_eq!((gis.tokens_seen().len(), portal.exchanges()), (1, 0));
    Ok(())
}

#[tokio::test]
async fn no_token_goes_to_a_server_of_another_portal_or_to_that_portal() -> Result<()> {
    let (portal, other) = (SimulatedPortal::start().await?, SimulatedPortal::start().await?);
    let same_host = format!("{}-other", portal.url());
    for owner in [other.url(), same_host, "http://ann:pw@127.0.0.1/portal".to_owned(), "?".to_owned()] {
        let gis = SimulatedGpServer::start().await?;
        gis.federate(&portal);
        gis.claim(&owner);
        let signed_in = sign_in(&portal, password())?;
        let task = task(&gis, signed_in.clone())?;
        whoami(&signed_in).await?;
        let signed_in = portal.asked("generateToken");
        let refused = task.description().await.err().context("it wants a token")?;
        ensure!(matches!(refused, Error::Token(_)), "{refused}");
        ensure!(refused.to_string().contains("no token was sent"), "{refused}");
        let refused = task.submit(&Parameters::read("{}")?).await;
        let by_token = matches!(refused, SubmitOutcome::NotBegun { error: Error::Token(_), .. });
        ensure!(by_token, "{refused:?}");
        assert_eq!(gis.tokens_seen(), Vec::<String>::new(), "{owner}");
        assert_eq!(portal.asked("generateToken"), signed_in, "nothing is renewed for it");
    }
    assert_eq!((other.asked(""), portal.exchanges()), (0, 0));
    Ok(())
}

#[tokio::test]
async fn what_is_down_is_not_taken_for_a_server_that_stands_alone() -> Result<()> {
    let (portal, gis) = (SimulatedPortal::start().await?, SimulatedGpServer::start().await?);
    gis.federate_strictly(&portal);
    let task = task(&gis, sign_in(&portal, password())?)?;
    for (fault, at_server) in
        [(Fault::Http500, true), (Fault::Page, true), (Fault::ErrorInBody, false), (Fault::Page, false)]
    {
        if at_server {
            gis.plan_fault("/rest/info", 0, 1, fault);
        } else {
            portal.plan_fault("/rest/info", 0, 1, fault);
        }
        let failed = task.submit(&Parameters::read("{}")?).await;
        let passing = matches!(
            &failed,
            SubmitOutcome::NotBegun { error: Error::Unavailable(_) | Error::Unreadable(_), .. }
        );
        ensure!(passing, "{fault:?}: {failed:?}");
    }
    assert_eq!((gis.submissions().len(), gis.tokens_seen().len()), (0, 0));
    let begun = task.submit(&Parameters::read("{}")?).await;
    ensure!(matches!(begun, SubmitOutcome::Begun(_)), "{begun:?}");
    Ok(())
}

#[tokio::test]
async fn a_submit_is_not_sent_again_by_a_renewal_if_it_may_have_begun() -> Result<()> {
    let (portal, gis) = (SimulatedPortal::start().await?, SimulatedGpServer::start().await?);
    gis.federate_strictly(&portal);
    let task = task(&gis, sign_in(&portal, password())?)?;
    at_once(1, &task).await?;
    portal.rotate_tokens();
    // It was turned away, and so it is sent with the new token; then nobody knows.
    gis.plan_fault("submitJob", 1, 1, Fault::GatewayTimeout);
    let unknown = task.submit(&Parameters::read("{}")?).await;
    ensure!(matches!(unknown, SubmitOutcome::Unknown(_)), "{unknown:?}");
    assert_eq!((gis.asked("submitJob"), gis.submissions().len()), (2, 1));
    Ok(())
}

#[tokio::test]
async fn no_secret_is_shown() -> Result<()> {
    let (portal, gis) = (SimulatedPortal::start().await?, SimulatedGpServer::start().await?);
    gis.federate_strictly(&portal);
    portal.add_app("cook", "another");
    let username = "siteadmin".to_owned();
    let wrong = [
        Credentials::Password { username, password: SECRET.to_owned() },
        app(SECRET),
        Credentials::Token(SECRET.to_owned()),
    ];
    for credentials in wrong {
        let mut shown = vec![format!("{credentials:?}")];
        let signed_in = sign_in(&portal, credentials)?;
        let task = task(&gis, signed_in.clone())?;
        let (refused, turned_away) = (whoami(&signed_in).await, task.description().await);
        ensure!(refused.is_err() && turned_away.is_err(), "{refused:?} {turned_away:?}");
        shown.push(format!("{signed_in:?} {task:?}"));
        let errors = [refused.err(), turned_away.err()].into_iter().flatten();
        shown.extend(errors.map(|error| format!("{error} {error:?}")));
        ensure!(!shown.concat().contains(SECRET), "{shown:?}");
    }
    // Tokens that are good are secrets, too.
    let task = task(&gis, sign_in(&portal, password())?)?;
    at_once(1, &task).await?;
    let shown = format!("{task:?}");
    ensure!(shown.contains("siteadmin") && !shown.contains("simulated-"), "{shown}");
    Ok(())
}
