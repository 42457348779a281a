//! Items: the notebooks and the like that tasks point at.

mod change;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod parts;
mod query;
pub(crate) mod quota;
mod read;
mod search;
pub(crate) mod uploads;
mod wire;

pub(crate) use change::{add, delete, update};
pub(crate) use parts::{add_part, commit, status};
pub(crate) use read::{data, item, own};
pub(crate) use search::{list, search};
pub(crate) use wire::ItemDocument;

use isochrone_domain::{Item, ItemId};
use isochrone_scheduler::Caller;

use crate::answer::{Failure, missing};
use crate::request::Call;
use crate::serve::Served;

/// A request for items of a user.
#[derive(Clone, Copy)]
pub(crate) struct Of<'a> {
    pub portal: &'a Served,
    pub call: &'a Call,
    /// As the path names the user.
    pub user: &'a str,
}

impl Of<'_> {
    /// Admits a caller that wants to look; gives the user's name as it is stored.
    async fn reader(self) -> Result<(Caller, String), Failure> {
        let caller = self.portal.sign_in.caller(self.call).await?;
        if !caller.user.may_read(self.user) {
            return Err(Failure::forbidden());
        }
        let owner = self.portal.store.user(self.user).await?.ok_or_else(|| missing("user"))?.name;
        Ok((caller, owner))
    }

    /// Admits a caller that wants to change something.
    async fn changer(self) -> Result<(Caller, String), Failure> {
        self.call.must_post()?;
        let (caller, owner) = self.reader().await?;
        if caller.user.may_write(self.user) { Ok((caller, owner)) } else { Err(Failure::forbidden()) }
    }

    /// The user's item with this id.
    async fn item(self, owner: &str, id: &str) -> Result<Item, Failure> {
        let id: ItemId = id.parse().map_err(|_| no_item())?;
        self.portal.store.item(id).await?.filter(|item| item.owner == owner).ok_or_else(no_item)
    }
}

fn no_item() -> Failure {
    missing("item").with_code("CONT_0001")
}
