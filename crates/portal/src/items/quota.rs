//! How many items there may be, and how large they may be together.

use isochrone_store::{Page, Store, StoreError};
use tokio::sync::{Mutex, MutexGuard};

use super::uploads::Uploads;
use crate::answer::Failure;

/// The operator's limits. None: any number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ItemQuotas {
    /// Of one user.
    pub per_user: ItemQuota,
    /// Of all users together.
    pub all: ItemQuota,
}

/// A limit on items.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ItemQuota {
    /// How many.
    pub items: Option<u64>,
    /// The bytes of their data, with the parts that wait to be committed.
    pub bytes: Option<u64>,
}

/// What is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub items: u64,
    pub bytes: u64,
}

/// What a user's items have of the room for them, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Storage {
    pub usage: u64,
    pub quota: u64,
}

/// What is said where there is no quota, in bytes: clients want a number.
const UNLIMITED: u64 = 1 << 40;

/// Whose quota it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    User,
    Everybody,
}

/// What changes of items go through.
#[derive(Debug)]
pub(crate) struct ItemIntake {
    pub uploads: Uploads,
    pub turnstile: Turnstile,
    quotas: ItemQuotas,
}

/// Changes of items in this process come one after the other, so that two don't fit into the room for one, and no more
/// than one file is in memory.
#[derive(Debug, Default)]
pub(crate) struct Turnstile(Mutex<()>);

impl Turnstile {
    pub(crate) async fn pass(&self) -> MutexGuard<'_, ()> {
        self.0.lock().await
    }
}

impl ItemIntake {
    pub(crate) fn new(uploads: Uploads, quotas: ItemQuotas) -> ItemIntake {
        ItemIntake { uploads, turnstile: Turnstile::default(), quotas }
    }

    /// The bytes that a user's items have, and those that they may have.
    pub(crate) async fn storage_of(&self, store: &dyn Store, owner: &str) -> Result<Storage, Failure> {
        let usage = usage(store, &self.uploads, Some(owner)).await?;
        let quota = [self.quotas.per_user.bytes, self.quotas.all.bytes].into_iter().flatten().min();
        Ok(Storage { usage: usage.bytes, quota: quota.unwrap_or(UNLIMITED) })
    }

    /// Whether so much more of this owner fits into the quotas.
    pub(crate) async fn admit(&self, store: &dyn Store, owner: &str, more: Usage) -> Result<(), Failure> {
        if more == Usage::default() {
            return Ok(());
        }
        let quotas =
            [(Whose::User, self.quotas.per_user, Some(owner)), (Whose::Everybody, self.quotas.all, None)];
        for (whose, quota, of) in quotas {
            if quota != ItemQuota::default() {
                check(whose, quota, usage(store, &self.uploads, of).await?, more)?;
            }
        }
        Ok(())
    }
}

/// Items that are read together.
const STEP: u64 = 500;

/// What is in use by an owner, or by all.
async fn usage(store: &dyn Store, uploads: &Uploads, owner: Option<&str>) -> Result<Usage, Failure> {
    let waiting = match owner {
        Some(owner) => uploads.waiting_of(owner).await?.iter().map(|part| part.size).sum(),
        None => uploads.waiting().await?,
    };
    let kept = of_items(store, owner).await?;
    Ok(Usage { items: kept.items, bytes: kept.bytes + waiting })
}

async fn of_items(store: &dyn Store, owner: Option<&str>) -> Result<Usage, StoreError> {
    let mut usage = Usage::default();
    loop {
        let page = store.items(owner, Page { offset: usage.items, limit: STEP }).await?;
        usage.items += page.rows.len() as u64;
        usage.bytes += page.rows.iter().map(|item| item.size).sum::<u64>();
        if page.rows.is_empty() || usage.items >= page.total {
            return Ok(usage);
        }
    }
}

fn check(whose: Whose, quota: ItemQuota, used: Usage, more: Usage) -> Result<(), Failure> {
    let subject = match whose {
        Whose::User => "The user's items",
        Whose::Everybody => "All users' items together",
    };
    if let Some(most) = quota.items.filter(|most| more.items > 0 && used.items + more.items > *most) {
        return Err(exceeded(format!("{subject} may be {most} at most, and there are {}.", used.items)));
    }
    if let Some(most) = quota.bytes.filter(|most| more.bytes > 0 && used.bytes + more.bytes > *most) {
        let Usage { bytes, .. } = used;
        let text = format!(
            "{subject} may have {most} bytes at most; {bytes} are in use (with uploads that are not committed), and \
             this is {} more.",
            more.bytes
        );
        return Err(exceeded(text));
    }
    Ok(())
}

fn exceeded(text: String) -> Failure {
    Failure::new(400, "Storage quota exceeded.").with_detail(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_and_what_is_there_may_shrink() {
        let quota = ItemQuota { items: Some(3), bytes: Some(100) };
        let check = |items, bytes, more_items, more_bytes| {
            let (used, more) = (Usage { items, bytes }, Usage { items: more_items, bytes: more_bytes });
            check(Whose::User, quota, used, more).is_ok()
        };
        assert!(check(2, 90, 1, 10));
        assert!(!check(2, 90, 1, 11));
        assert!(!check(3, 0, 1, 0));
        assert!(check(5, 500, 0, 0), "a smaller quota takes nothing away");
        assert!(check(5, 90, 0, 5), "and an old item may be changed");
    }
}
