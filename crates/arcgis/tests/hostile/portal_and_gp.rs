//! What a portal and a server that is federated with it answer.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use isochrone_arcgis::gp::{GpTask, Parameters};
use isochrone_arcgis::jobs::SubmitOutcome;
use isochrone_arcgis::{Egress, Outbound, Portal, SignedIn, Trust};
use isochrone_sandbox::{Fault, SimulatedGpServer, SimulatedPortal};

use crate::{MIB, PATIENT, Read, TIMEOUT, assert_outcomes, clients_of, peak, submitted, word};

const ITEM: &str = "029b61ca770e428d9468a2a55f40b9fb";
/// Parts of the paths.
const READS: &[&str] = &["/community/", "/content/", "/portals/", "/GPServer/"];
const SIGN_INS: &[&str] = &["/generateToken", "/oauth2/"];

/// A portal, a server that is federated with it, and clients of both.
struct Place {
    portal: SimulatedPortal,
    gis: SimulatedGpServer,
    /// To which nothing must ever go.
    elsewhere: SimulatedPortal,
    /// A job that has ended, and one that goes on.
    ended: String,
    going_on: String,
}

struct Clients {
    bare: Portal,
    signed_in: SignedIn,
    slow: GpTask,
    stubborn: GpTask,
}

impl Place {
    async fn new() -> Result<Place> {
        let (portal, gis) = (SimulatedPortal::start().await?, SimulatedGpServer::start().await?);
        portal.add_item(ITEM, "siteadmin", "private", &[], b"{\"cells\": []}");
        portal.add_task(ITEM, "siteadmin", |_| {});
        portal.add_app("cook", "cook-secret");
        gis.federate_strictly(&portal);
        gis.set_queue(Duration::ZERO, Duration::ZERO);
        let elsewhere = SimulatedPortal::start().await?;
        let mut place = Place { portal, gis, elsewhere, ended: String::new(), going_on: String::new() };
        let clients = place.clients(PATIENT)?;
        let submit =
            async |task: &GpTask, parameters: &str| match task.submit(&Parameters::read(parameters)?).await {
                SubmitOutcome::Begun(id) => Ok(id),
                other => bail!("{other:?}"),
            };
        place.ended = submit(&clients.slow, r#"{"seconds": 0}"#).await?;
        place.going_on = submit(&clients.stubborn, r#"{"seconds": 3600}"#).await?;
        Ok(place)
    }

    fn clients(&self, timeout: Duration) -> Result<Clients> {
        let (bare, signed_in) = clients_of(&self.portal, timeout)?;
        let egress = Egress::new(&[self.gis.url()], false)?;
        let outbound = Outbound::new(egress, &Trust::System, Some(signed_in.clone()), Some(timeout))?;
        let task = |name: &str| GpTask::new(outbound.clone(), &self.gis.task(name));
        Ok(Clients { bare, signed_in, slow: task("Slow")?, stubborn: task("Stubborn")? })
    }

    fn plan(&self, paths: &[&str], times: usize, fault: Fault) {
        for path in paths {
            self.portal.plan_fault(path, 0, times, fault);
            self.gis.plan_fault(path, 0, times, fault);
        }
    }

    fn heal(&self) {
        self.portal.heal();
        self.gis.heal();
    }

    /// Everything that is asked of a portal and a server to which a token goes, but files.
    fn reads<'a>(&'a self, clients: &'a Clients) -> Vec<Read<'a>> {
        let Clients { signed_in, slow, stubborn, .. } = clients;
        macro_rules! portal {
            ($ask:expr) => {
                Box::pin(async move { signed_in.ask($ask).await.map(drop) })
            };
        }
        vec![
            ("community_self", portal!(async |portal, token| portal.community_self(&token).await)),
            ("portal_self", portal!(async |portal, token| portal.portal_self(&token).await)),
            ("user", portal!(async |portal, token| portal.user(&token, "siteadmin").await)),
            ("item", portal!(async |portal, token| portal.item(&token, ITEM).await)),
            ("item_groups", portal!(async |portal, token| portal.item_groups(&token, ITEM).await)),
            ("all_tasks", portal!(async |portal, token| portal.all_scheduled_tasks(&token, 1, 10).await)),
            ("tasks_of", portal!(async |portal, token| portal.tasks_of(&token, "siteadmin", 1, 10).await)),
            ("disable", portal!(async |portal, token| portal.disable_task(&token, "siteadmin", ITEM).await)),
            ("description", Box::pin(async { slow.description().await.map(drop) })),
            ("job", Box::pin(async { slow.job(&self.ended).await.map(drop) })),
            ("result", Box::pin(async { slow.result(&self.ended, "slept").await.map(drop) })),
            ("cancel", Box::pin(async { stubborn.cancel(&self.going_on).await })),
        ]
    }
}

impl Clients {
    /// What signs in: it carries no token that could be renewed.
    fn sign_ins(&self) -> Vec<Read<'_>> {
        let bare = &self.bare;
        vec![
            (
                "generateToken",
                Box::pin(async { bare.generate_token("siteadmin", "site-password", 5).await.map(drop) }),
            ),
            (
                "oauth2/token",
                Box::pin(async { bare.client_credentials("cook", "cook-secret", 5).await.map(drop) }),
            ),
        ]
    }
}

pub(crate) async fn check() -> Result<()> {
    let place = Place::new().await?;
    let elsewhere = Fault::Redirect(place.elsewhere.port());
    let ever = usize::MAX;
    // Of reads; of signing in; of a file, which may be anything; of a submit: its outcome, how often it was sent,
    // and how often it was begun.
    #[rustfmt::skip]
    let table = [
        (Fault::InvalidToken,   1,    "done",        "token",       "done",        ("done", 2, 1)),
        (Fault::InvalidToken,   ever, "token",       "token",       "token",       ("token", 2, 0)),
        (Fault::ErrorInBody,    ever, "unavailable", "unavailable", "unavailable", ("refused", 1, 0)),
        (Fault::Http500,        ever, "unavailable", "unavailable", "unavailable", ("unknown, unavailable", 1, 0)),
        (Fault::Busy(7),        ever, "busy",        "busy",        "busy",        ("busy", 1, 0)),
        (Fault::GatewayTimeout, ever, "unavailable", "unavailable", "unavailable", ("unknown, unavailable", 1, 1)),
        (Fault::Page,           ever, "unreadable",  "unreadable",  "done",        ("taken", 1, 0)),
        (Fault::Truncated,      ever, "unreadable",  "unreadable",  "done",        ("done", 1, 0)),
        (Fault::Nested,         ever, "unreadable",  "unreadable",  "done",        ("taken", 1, 0)),
        (Fault::Cut,            ever, "unavailable", "unavailable", "unavailable", ("taken", 1, 0)),
        (Fault::Reset,          ever, "unavailable", "unavailable", "unavailable", ("unknown, unavailable", 1, 1)),
        (Fault::SlowDrip,       ever, "unavailable", "unavailable", "unavailable", ("taken", 1, 0)),
        // What begins something is not sent on.
        (Fault::RedirectLoop,   ever, "unavailable", "unavailable", "unavailable", ("refused", 1, 0)),
        (elsewhere,             ever, "unavailable", "unavailable", "unavailable", ("refused", 1, 0)),
        (Fault::Endless,        ever, "unreadable",  "unreadable",  "unreadable",  ("taken", 1, 0)),
    ];
    for (fault, times, read, signed_in, file, (submit, sent, begun)) in table {
        let clients = place.clients(if fault == Fault::Endless { PATIENT } else { TIMEOUT })?;
        // The tokens are there.
        clients.signed_in.ask(async |portal, token| portal.portal_self(&token).await).await?;
        clients.slow.description().await?;
        let before = peak()?;
        let asked = [(place.reads(&clients), READS, read), (clients.sign_ins(), SIGN_INS, signed_in)];
        for (reads, paths, expected) in asked {
            let plan = || place.plan(paths, times, fault);
            assert_outcomes(reads, expected, fault, plan, || place.heal()).await?;
        }
        let (were_sent, were_begun) = (place.gis.asked("/submitJob"), place.gis.submissions().len());
        place.gis.plan_fault("/submitJob", 0, times, fault);
        let outcome = clients.slow.submit(&Parameters::read(r#"{"seconds": 0}"#)?).await;
        place.heal();
        assert_eq!(submitted(&outcome), submit, "{fault:?}: {outcome:?}");
        let (sends, begins) = (place.gis.asked("/submitJob"), place.gis.submissions().len());
        assert_eq!((sends - were_sent, begins - were_begun), (sent, begun), "{fault:?}");
        let grown = (peak()? - before) / MIB;
        ensure!(grown < 100, "{fault:?} took {grown} MiB");
        // Last, for a file may be larger than all of this.
        place.portal.plan_fault("/data", 0, times, fault);
        let data = clients.signed_in.ask(async |portal, token| portal.item_data(&token, ITEM).await).await;
        let outcome = data.map(drop);
        assert_eq!(word(&outcome), file, "{fault:?}: {outcome:?}");
        let grown = (peak()? - before) / MIB;
        ensure!(grown < 200, "{fault:?} in place of a file took {grown} MiB");
        place.heal();
    }
    assert_eq!(place.elsewhere.asked(""), 0, "nothing went to another server");
    Ok(())
}
