//! What people and programs ask for: tasks and runs, with their rights checked.

mod adoption;
mod backfill;
mod declared;
mod error;
mod pins;
mod quotas;
mod reach;
mod runs;
mod tasks;

pub use adoption::{Adopted, Taken};
pub use backfill::{Backfill, LeftOut};
pub use declared::{ParameterSource, Program, StoredTask};
pub use error::SubmitError;
pub use quotas::{Quota, Quotas};
pub use reach::Reach;

use std::sync::Arc;

use isochrone_domain::{Action, AuditEntry, EpochMillis, Limits, RunId, Task, TaskId, User};
use isochrone_store::{ItemSource, Scope, Store, StoreError, StoredItems};
use isochrone_telemetry::Metrics;

use crate::Wake;
use crate::firing::fire_task;

/// Who asks.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The user who signed in.
    pub user: User,
    /// Where the request came from, if it came over the network.
    pub ip: Option<String>,
}

/// What people and programs may ask for. A clone is the same door.
///
/// Whatever is not the caller's is refused, unless the caller is an administrator.
#[derive(Clone)]
pub struct Submissions {
    store: Arc<dyn Store>,
    limits: Limits,
    quotas: Quotas,
    /// None: tasks may name any server.
    reach: Option<Arc<dyn Reach>>,
    wake: Wake,
    metrics: Metrics,
    items: Arc<dyn ItemSource>,
    /// None: parameters are checked by runs alone.
    declared: Option<Arc<dyn ParameterSource>>,
}

/// A task that somebody wants to change.
#[derive(Clone, Debug)]
pub struct Target {
    id: TaskId,
    edition: Option<String>,
}

impl Target {
    /// The task, if its edition is still this one.
    pub fn if_still(id: TaskId, edition: Option<String>) -> Target {
        Target { id, edition }
    }

    fn admits(&self, task: &Task) -> Result<(), SubmitError> {
        match &self.edition {
            Some(edition) if *edition != task.edition() => Err(SubmitError::Outdated),
            _ => Ok(()),
        }
    }
}

impl From<TaskId> for Target {
    fn from(id: TaskId) -> Target {
        Target { id, edition: None }
    }
}

/// A request that its sender may repeat: it is carried out once.
#[derive(Clone, Debug)]
pub struct Once {
    /// Drawn by the sender, for this request.
    pub key: String,
    /// Of what is asked for: the key is good for nothing else.
    pub digest: String,
}

impl Submissions {
    /// `wake` is the loop that must look when something changed.
    pub fn new(store: Arc<dyn Store>, limits: Limits, quotas: Quotas, wake: Wake) -> Submissions {
        let items = Arc::new(StoredItems(Arc::clone(&store)));
        Submissions {
            store,
            limits,
            quotas,
            reach: None,
            wake,
            metrics: Metrics::new(),
            items,
            declared: None,
        }
    }

    /// With items that something else keeps than the store.
    pub fn with_items(mut self, items: Arc<dyn ItemSource>) -> Submissions {
        self.items = items;
        self
    }

    /// Checks parameters against what this source knows.
    pub fn with_parameters(mut self, source: Arc<dyn ParameterSource>) -> Submissions {
        self.declared = Some(source);
        self
    }

    /// Accepts only tasks whose servers this rule allows.
    pub fn with_reach(mut self, reach: Arc<dyn Reach>) -> Submissions {
        self.reach = Some(reach);
        self
    }

    /// Counts what it decides and ends there.
    pub fn with_metrics(mut self, metrics: Metrics) -> Submissions {
        self.metrics = metrics;
        self
    }

    /// The user of this name, who may own tasks.
    async fn owner(&self, name: &str) -> Result<User, SubmitError> {
        let owner = self.store.user(name).await?.ok_or(SubmitError::NotFound { what: "user" })?;
        match owner.disabled {
            None => Ok(owner),
            Some(_) => Err(SubmitError::Conflict(format!("the user {} is disabled", owner.name))),
        }
    }

    /// The task, whosesoever it is.
    async fn found(&self, id: TaskId) -> Result<Task, SubmitError> {
        self.store.task(id).await?.ok_or(SubmitError::NotFound { what: "task" })
    }

    /// The error of a request that wants something gone: that it is missing is what was asked for before, so that it is
    /// not said before it stays so.
    async fn confirmed_missing(&self, what: Scope, error: SubmitError) -> SubmitError {
        if !matches!(error, SubmitError::NotFound { .. }) {
            return error;
        }
        match self.store.confirm(what).await {
            Ok(()) => error,
            Err(unconfirmed) => unconfirmed.into(),
        }
    }

    /// The task, if the caller may see it.
    async fn readable(&self, caller: &Caller, id: TaskId) -> Result<Task, SubmitError> {
        let task = self.found(id).await?;
        allow(caller.user.may_read(&task.owner))?;
        Ok(task)
    }

    /// The task, if the caller may change it.
    async fn writable(&self, caller: &Caller, id: TaskId) -> Result<Task, SubmitError> {
        let task = self.found(id).await?;
        allow(caller.user.may_write(&task.owner))?;
        Ok(task)
    }

    /// The task, if the caller may change it, and the moment at which nothing of it was due: what is due
    /// is decided first, for a change would forget it.
    async fn decided(&self, caller: &Caller, id: TaskId) -> Result<(Task, EpochMillis), SubmitError> {
        self.decided_before(caller, id, |task, _| Ok(Some(task.clone()))).await
    }

    /// The same where the task is about to become another one, or none: what is overdue and is left out then is
    /// skipped.
    async fn decided_before(
        &self,
        caller: &Caller,
        id: TaskId,
        becomes: impl Fn(&Task, EpochMillis) -> Result<Option<Task>, SubmitError>,
    ) -> Result<(Task, EpochMillis), SubmitError> {
        loop {
            let task = self.writable(caller, id).await?;
            let now = self.now().await?;
            if task.next_fire.is_none_or(|next| next > now) {
                return Ok((task, now));
            }
            let version = task.version;
            let changed = becomes(&task, now)?;
            if !fire_task(&*self.store, task, changed.as_ref(), now, &self.metrics).await?
                && self.found(id).await?.version == version
            {
                // Nothing can be decided, whoever tries.
                return Err(too_busy());
            }
        }
    }

    async fn now(&self) -> Result<EpochMillis, StoreError> {
        self.store.now().await
    }
}

impl Caller {
    fn did(&self, action: Action, task: &Task, run: Option<RunId>, at: EpochMillis) -> AuditEntry {
        AuditEntry {
            at,
            actor: self.user.name.clone(),
            ip: self.ip.clone(),
            action,
            task: Some(task.id),
            run,
            item: task.item_id,
            title: task.title.clone(),
            owner: task.owner.clone(),
        }
    }
}

fn allow(allowed: bool) -> Result<(), SubmitError> {
    if allowed { Ok(()) } else { Err(SubmitError::Forbidden) }
}

fn too_busy() -> SubmitError {
    SubmitError::Conflict("the task is changing too fast; try again".to_owned())
}
