//! How many active tasks there may be.

use std::collections::BTreeMap;

use isochrone_domain::{Task, TaskType};
use isochrone_store::Store;
use serde::{Deserialize, Serialize};

use super::SubmitError;

/// How many active tasks of one type there may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", default, deny_unknown_fields)]
pub struct Quota {
    /// Of one owner; none: any number.
    pub per_user: Option<u64>,
    /// Of all owners together; none: any number.
    pub per_organization: Option<u64>,
}

/// How many active tasks there may be, a type at a time. By default: any number.
///
/// Two requests at the same moment may pass a limit together: it keeps a server from being flooded, and
/// nothing relies on the exact number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Quotas(BTreeMap<TaskType, Quota>);

impl Quotas {
    /// ArcGIS Enterprise's defaults: 20 active tasks a user; 200 for notebooks and 50 for Insights
    /// workbooks in the organization.
    pub fn arcgis() -> Quotas {
        let quota = |per_organization| Quota { per_user: Some(20), per_organization: Some(per_organization) };
        Quotas::default()
            .with(TaskType::ExecuteNotebook, quota(200))
            .with(TaskType::UpdateInsightsWorkbook, quota(50))
    }

    /// With another quota for a type.
    pub fn with(mut self, kind: TaskType, quota: Quota) -> Quotas {
        self.0.insert(kind, quota);
        self
    }

    /// Whether a task may become what it is in `new`; `old`: what it is now, if it is.
    pub(super) async fn check(
        &self,
        store: &dyn Store,
        old: Option<&Task>,
        new: &Task,
    ) -> Result<(), SubmitError> {
        let Some(quota) = self.0.get(&new.kind) else { return Ok(()) };
        let unfinished = if old.is_some() { store.unfinished(new.id).await? } else { 0 };
        let counts_already = old.is_some_and(|old| {
            old.is_active(unfinished) && old.kind == new.kind && old.owner.eq_ignore_ascii_case(&new.owner)
        });
        if !new.is_active(unfinished) || counts_already {
            return Ok(());
        }
        if let Some(limit) = quota.per_user
            && active(store, Some(&new.owner), new.kind).await? >= limit
        {
            let (owner, kind) = (&new.owner, new.kind);
            return Err(SubmitError::Quota(format!(
                "{owner} has {limit} active tasks of type {kind}, the limit per user"
            )));
        }
        if let Some(limit) = quota.per_organization
            && active(store, None, new.kind).await? >= limit
        {
            let kind = new.kind;
            return Err(SubmitError::Quota(format!(
                "the organization has {limit} active tasks of type {kind}, the limit per organization"
            )));
        }
        Ok(())
    }

    /// How many more active tasks the owner may have of each of these types (empty: of any type that has a
    /// limit per user). None: none of them has one.
    pub(super) async fn room(
        &self,
        store: &dyn Store,
        owner: &str,
        kinds: &[TaskType],
    ) -> Result<Option<u64>, SubmitError> {
        let limited = self.0.iter().filter(|(kind, _)| kinds.is_empty() || kinds.contains(kind));
        let limits: Vec<(TaskType, u64)> =
            limited.filter_map(|(kind, quota)| Some((*kind, quota.per_user?))).collect();
        let kinds: Vec<TaskType> = limits.iter().map(|(kind, _)| *kind).collect();
        if kinds.is_empty() {
            return Ok(None);
        }
        let active = store.count_active(Some(owner), &kinds).await?;
        let room =
            |(kind, limit): &(TaskType, u64)| limit.saturating_sub(active.get(kind).copied().unwrap_or(0));
        Ok(limits.iter().map(room).min())
    }
}

async fn active(store: &dyn Store, owner: Option<&str>, kind: TaskType) -> Result<u64, SubmitError> {
    Ok(store.count_active(owner, &[kind]).await?.get(&kind).copied().unwrap_or(0))
}
