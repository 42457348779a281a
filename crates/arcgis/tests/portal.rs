//! The client against a simulated portal, over real HTTP.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use isochrone_arcgis::{Bearer, Connection, Credentials, Error, Portal, SignedIn, Trust};
use isochrone_sandbox::{Fault, SimulatedPortal};

const ITEM: &str = "029b61ca770e428d9468a2a55f40b9fb";

fn client(portal: &SimulatedPortal) -> Result<Portal> {
    let timeout = Some(Duration::from_secs(2));
    Ok(Portal::new(&Connection { url: portal.url(), trust: Trust::System, timeout })?)
}

fn administrator(portal: &SimulatedPortal) -> Result<SignedIn> {
    let (username, password) = ("siteadmin".to_owned(), "site-password".to_owned());
    Ok(SignedIn::new(client(portal)?, Credentials::Password { username, password }))
}

#[tokio::test]
async fn a_token_tells_whose_it_is_where_it_holds() -> Result<()> {
    let portal = SimulatedPortal::start().await?;
    portal.add_user("ann", "org_publisher", "pw");
    let (client, token) = (client(&portal)?, portal.token("ann", Some("https://maps.example.com")));
    let bearer = |referer: Option<&str>| Bearer { token: token.clone(), referer: referer.map(str::to_owned) };
    let ann = client.community_self(&bearer(Some("https://maps.example.com/page"))).await?;
    assert_eq!((ann.username.as_str(), ann.role.as_deref()), ("ann", Some("org_publisher")));
    for elsewhere in [None, Some("https://elsewhere.example.com")] {
        let refused = client.community_self(&bearer(elsewhere)).await;
        ensure!(matches!(refused, Err(Error::Token(_))), "{refused:?}");
    }
    portal.rotate_tokens();
    let refused = client.community_self(&bearer(Some("https://maps.example.com"))).await;
    ensure!(matches!(refused, Err(Error::Token(_))), "{refused:?}");
    Ok(())
}

#[tokio::test]
async fn one_token_serves_many_requests_until_it_ends() -> Result<()> {
    let portal = SimulatedPortal::start().await?;
    let admin = administrator(&portal)?;
    let ask = || admin.ask(async |portal, bearer| portal.community_self(&bearer).await);
    let (one, two, three) = tokio::join!(ask(), ask(), ask());
    for answered in [one, two, three] {
        assert_eq!(answered?.username, "siteadmin");
    }
    assert_eq!(portal.asked("generateToken"), 1, "who waits shares the token");
    portal.rotate_tokens();
    assert_eq!(ask().await?.username, "siteadmin", "a token that is taken back is replaced");
    assert_eq!(portal.asked("generateToken"), 2);
    portal.plan_fault("community/self", 0, 9, Fault::InvalidToken);
    let refused = ask().await;
    ensure!(matches!(refused, Err(Error::Token(_))), "{refused:?}");
    assert_eq!(portal.asked("generateToken"), 3, "once, not for ever");
    Ok(())
}

#[tokio::test]
async fn a_token_is_renewed_before_it_ends() -> Result<()> {
    let portal = SimulatedPortal::start().await?;
    portal.set_token_life(Duration::ZERO);
    let admin = administrator(&portal)?;
    let ask = || admin.ask(async |portal, bearer| portal.community_self(&bearer).await);
    ensure!(matches!(ask().await, Err(Error::Token(_))));
    portal.set_token_life(Duration::from_hours(1));
    ask().await?;
    Ok(())
}

#[tokio::test]
async fn a_wrong_password_is_told_and_never_shown() -> Result<()> {
    let portal = SimulatedPortal::start().await?;
    let credentials =
        Credentials::Password { username: "siteadmin".to_owned(), password: "hunter2".to_owned() };
    let wrong = SignedIn::new(client(&portal)?, credentials);
    let refused = wrong.ask(async |portal, bearer| portal.community_self(&bearer).await).await;
    let error = refused.err().context("it is refused")?;
    ensure!(matches!(error, Error::Refused(_)) && error.to_string().contains("Unable to generate token"));
    ensure!(!format!("{error:?} {wrong:?}").contains("hunter2"));
    Ok(())
}

#[tokio::test]
async fn items_and_their_data_are_read() -> Result<()> {
    let portal = SimulatedPortal::start().await?;
    portal.add_item(ITEM, "ann", "shared", &["mappers"], b"{\"cells\": [");
    let admin = administrator(&portal)?;
    let item = admin.ask(async |portal, bearer| portal.item(&bearer, ITEM).await).await?;
    assert_eq!(
        (item.owner.as_str(), item.access.as_str(), item.kind.as_str()),
        ("ann", "shared", "Notebook")
    );
    let data = admin.ask(async |portal, bearer| portal.item_data(&bearer, ITEM).await).await?;
    assert_eq!(data, b"{\"cells\": [", "bytes as they are, whatever they are");
    assert_eq!(admin.ask(async |portal, bearer| portal.item_groups(&bearer, ITEM).await).await?, ["mappers"]);
    let missing = admin.ask(async |portal, bearer| portal.item_data(&bearer, "5").await).await;
    ensure!(matches!(missing, Err(Error::Refused(_))), "{missing:?}");
    Ok(())
}

#[tokio::test]
async fn every_task_is_read_page_by_page_and_disabled() -> Result<()> {
    let portal = SimulatedPortal::start().await?;
    for number in 1..=23 {
        portal.add_task(&format!("{number:032x}"), "ann", |_| {});
    }
    let admin = administrator(&portal)?;
    let (mut start, mut seen) = (1, 0);
    while start != -1 {
        let page =
            admin.ask(async |portal, bearer| portal.all_scheduled_tasks(&bearer, start, 10).await).await?;
        assert_eq!(page.total, Some(23));
        seen += page.tasks.len();
        start = page.next_start;
    }
    assert_eq!(seen, 23);
    let id = format!("{:032x}", 7);
    admin.ask(async |portal, bearer| portal.disable_task(&bearer, "ann", &id).await).await?;
    let disabled: Vec<_> = portal.tasks().into_iter().filter(|task| task["active"] == false).collect();
    assert_eq!(disabled.iter().map(|task| task["id"].as_str()).collect::<Vec<_>>(), [Some(id.as_str())]);
    let own = admin.ask(async |portal, bearer| portal.tasks_of(&bearer, "bob", 1, 10).await).await?;
    assert_eq!((own.tasks.len(), own.next_start), (0, -1));
    Ok(())
}

#[tokio::test]
async fn what_misbehaves_is_told_from_what_refuses() -> Result<()> {
    let mut portal = SimulatedPortal::start().await?;
    let admin = administrator(&portal)?;
    let ask = || admin.ask(async |portal, bearer| portal.community_self(&bearer).await);
    ask().await?;
    let slow = Fault::Slow(Duration::from_secs(20));
    for fault in [Fault::Http500, Fault::ErrorInBody, Fault::Cut, slow] {
        portal.plan_fault("community/self", 0, 1, fault);
        let failed = ask().await;
        ensure!(failed.as_ref().is_err_and(Error::may_pass), "{fault:?}: {failed:?}");
    }
    portal.plan_fault("community/self", 0, 1, Fault::Page);
    let failed = ask().await;
    ensure!(matches!(&failed, Err(Error::Unreadable(text)) if text.contains("page")), "{failed:?}");
    portal.stop().await;
    let failed = ask().await;
    ensure!(failed.as_ref().is_err_and(Error::may_pass), "{failed:?}");
    portal.restart().await?;
    ask().await?;
    Ok(())
}

#[tokio::test]
async fn no_token_goes_to_another_server() -> Result<()> {
    let (portal, other) = (SimulatedPortal::start().await?, SimulatedPortal::start().await?);
    let admin = administrator(&portal)?;
    let ask = || admin.ask(async |portal, bearer| portal.community_self(&bearer).await);
    portal.plan_fault("community/self", 0, 1, Fault::Redirect(other.port()));
    let failed = ask().await;
    ensure!(failed.as_ref().is_err_and(|error| error.to_string().contains("another server")), "{failed:?}");
    assert_eq!(other.asked(""), 0);
    ask().await?;
    Ok(())
}
