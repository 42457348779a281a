//! Tasks of an ArcGIS portal.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use isochrone_arcgis::{Connection, Credentials, Error, Portal, SignedIn, TaskPage};
use isochrone_domain::{Policies, TaskState, Transfer};
use isochrone_portal::{front, transfer};
use isochrone_scheduler::Taken;

use super::tally::Tally;
use crate::args::FromPortal;
use crate::commands::user;
use crate::config;
use crate::wiring::House;

/// Tasks that are asked for at once; a portal gives no more.
const TASKS_A_PAGE: u32 = 100;

/// A portal that tasks leave.
struct Source<'a> {
    portal: SignedIn,
    house: &'a House,
    choices: &'a FromPortal,
    /// Owners who were looked for.
    owners: BTreeSet<String>,
}

/// Imports each task for itself: one that is refused keeps no other one out.
pub(super) async fn import(
    house: &House,
    policies: &Policies,
    taken: Taken,
    choices: &FromPortal,
    url: &str,
) -> Result<Tally> {
    let connection = Connection {
        url: url.to_owned(),
        trust: config::trust(choices.ca_file.clone(), choices.insecure_tls),
        timeout: None,
    };
    let portal = Portal::new(&connection).context("--from-portal")?;
    let secret = user::read_password()?;
    let credentials = match &choices.user {
        Some(username) => Credentials::Password { username: username.clone(), password: secret },
        None => Credentials::Token(secret),
    };
    let portal = SignedIn::new(portal, credentials);
    let mut source = Source { portal, house, choices, owners: BTreeSet::new() };
    // All of them before the first one is changed: a list that changes under its reader skips some.
    let tasks = source.tasks().await.with_context(|| format!("the tasks of {url}"))?;
    let mut tally = Tally::default();
    for (number, task) in (1..).zip(tasks) {
        match transfer::from_json(&task, policies) {
            Ok(transfer) => source.take(&mut tally, transfer, taken).await?,
            Err(unfit) => tally.refuse(&format!("task {number} of the portal"), unfit.to_string()),
        }
    }
    Ok(tally)
}

impl Source<'_> {
    /// The tasks as the portal shows them.
    async fn tasks(&self) -> Result<Vec<String>> {
        let (mut tasks, mut start) = (Vec::new(), 1);
        loop {
            let page = match self.page(start).await {
                Err(Error::Forbidden(refusal)) if self.choices.owner.is_none() => {
                    bail!(
                        "{refusal}; everybody's tasks are for administrators, --owner NAME asks for one's own"
                    )
                }
                page => page?,
            };
            tasks.extend(page.tasks.iter().map(|task| task.get().to_owned()));
            if page.next_start <= start || page.tasks.is_empty() {
                return Ok(tasks);
            }
            start = page.next_start;
        }
    }

    async fn page(&self, start: i64) -> isochrone_arcgis::Result<TaskPage> {
        let owner = self.choices.owner.as_deref();
        self.portal
            .ask(async |portal, bearer| match owner {
                Some(owner) => portal.tasks_of(&bearer, owner, start, TASKS_A_PAGE).await,
                None => portal.all_scheduled_tasks(&bearer, start, TASKS_A_PAGE).await,
            })
            .await
    }

    /// Takes a task over, and disables it there if that is asked for.
    async fn take(&mut self, tally: &mut Tally, mut transfer: Transfer, taken: Taken) -> Result<()> {
        let (id, owner) = (transfer.id, transfer.owner.clone());
        let what = format!("task {id}");
        if self.choices.add_owners && self.owners.insert(owner.clone()) {
            let told = self.portal.ask(async |portal, bearer| portal.user(&bearer, &owner).await).await;
            match told {
                Ok(told) => drop(front::keep_user(&*self.house.store, &told).await?),
                Err(error) => eprintln!("user {}: {error}", crate::output::printable(&owner)),
            }
        }
        let runs_there = transfer.state == TaskState::Active;
        if self.choices.disable_source && !runs_there {
            // It may be that an earlier import has disabled it.
            if let Some(here) = self.house.store.task(id).await? {
                transfer.state = here.state;
            }
        }
        let here = tally.adopt(self.house, &what, transfer, taken).await?;
        if here.is_none() || !self.choices.disable_source || !runs_there {
            return Ok(());
        }
        let id = id.to_string();
        match self.portal.ask(async |portal, bearer| portal.disable_task(&bearer, &owner, &id).await).await {
            Ok(()) => tally.disabled_there += 1,
            Err(error) => tally.refuse(&what, format!("it is here, and is active there still: {error}")),
        }
        Ok(())
    }
}
