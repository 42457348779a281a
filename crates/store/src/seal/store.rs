//! A store around a store: what is secret is sealed in it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use isochrone_domain::{
    Amendment, Artifact, AttemptEnd, AuditEntry, CancelReason, Claimant, EpochMillis, Fence, Held,
    InstallationId, Item, ItemId, ItemSnapshot, LogLine, Run, RunId, Task, TaskId, TaskType, User,
    UserChange,
};

use super::records::{Sealing, open_run, open_task};
use super::secret_methods::SecretMethods;
use super::{KeyId, Keyring};
use crate::chain::{AuditChain, ChainEnd};
use crate::{
    AccountStore, AuditStore, Backlog, Cancelled, Claim, Clock, Deferred, DueTask, Finished, FireCommit,
    FireRecord, FleetStore, Grant, HoldStore, InstallationStore, ItemStore, Keep, Leadership, Member,
    OutboxEntry, OutboxState, Page, Paged, Place, Present, PublishedThrough, Renewal, Result, RunFilter,
    RunStore, Saved, Scope, SecretStore, Store, Stretch, TaskFilter, TaskStore, Token, TokenHash,
    UserChanged, store_methods,
};

/// No key seals.
const NONE: usize = usize::MAX;

/// A store in which tasks' parameters and URLs, handles of remote jobs and grants are sealed.
///
/// Due tasks are handed on as they are kept, and kept again as they were handed on: firing needs no secret.
pub struct SealedStore {
    pub(super) store: Arc<dyn Store>,
    pub(super) ring: Arc<Keyring>,
    /// Which key of the ring seals.
    sealing: AtomicUsize,
}

impl SealedStore {
    /// A store around `store` whose secrets are opened with this ring's keys. None seals yet.
    pub fn new(store: Arc<dyn Store>, ring: Arc<Keyring>) -> SealedStore {
        SealedStore { store, ring, sealing: AtomicUsize::new(NONE) }
    }

    /// The key that seals what is written from now on.
    pub fn seals_with(&self) -> Option<KeyId> {
        self.ring.ids().nth(self.sealing.load(Ordering::Relaxed))
    }

    /// The keys of this process.
    pub fn ring(&self) -> &Keyring {
        &self.ring
    }

    /// Seals with this key from now on, if the ring has it; with none: nothing is sealed.
    pub fn seal_with(&self, key: Option<KeyId>) {
        let place = key.and_then(|key| self.ring.ids().position(|id| id == key));
        self.sealing.store(place.unwrap_or(NONE), Ordering::Relaxed);
    }

    /// The task as it is kept, for an export. The same key opens it again, in a task of the same id.
    pub fn seal_task(&self, task: Task) -> Result<Task> {
        Ok(self.sealing().task(task)?)
    }

    pub(super) fn sealing(&self) -> Sealing<'_> {
        Sealing { ring: &self.ring, with: self.seals_with() }
    }

    pub(super) fn open_task(&self, task: Task) -> Result<Task> {
        Ok(open_task(&self.ring, task)?)
    }

    /// What can't be opened stays sealed: one damaged record must not stop what concerns all.
    pub(super) fn show_tasks(&self, tasks: Vec<Task>) -> Vec<Task> {
        let shown = tasks.into_iter().map(|task| {
            open_task(&self.ring, task.clone()).unwrap_or_else(|error| {
                tracing::error!(task_id = %task.id, %error, "a task's parameters stay sealed");
                task
            })
        });
        shown.collect()
    }

    pub(super) fn open_run(&self, run: Run) -> Result<Run> {
        Ok(open_run(&self.ring, run)?)
    }

    /// One whose handle can't be opened is shown without it.
    pub(super) fn show_runs(&self, runs: Vec<Run>) -> Vec<Run> {
        let shown = runs.into_iter().map(|run| {
            let hidden = Run { handle: None, ..run.clone() };
            open_run(&self.ring, run).unwrap_or_else(|error| {
                tracing::error!(run_id = %hidden.id, %error, "a run's handle is left out");
                hidden
            })
        });
        shown.collect()
    }

    pub(super) fn finished(&self, finished: Finished) -> Result<Finished> {
        Ok(match finished {
            Finished::Kept(run) => Finished::Kept(Box::new(self.open_run(*run)?)),
            Finished::Fenced(refusal) => Finished::Fenced(refusal),
        })
    }

    pub(super) fn cancelled(&self, cancelled: Cancelled) -> Cancelled {
        let show = |run: Run| self.show_runs(vec![run]).pop().map(Box::new).expect("each run is shown");
        match cancelled {
            Cancelled::Done(run) => Cancelled::Done(show(*run)),
            Cancelled::Refused(run) => Cancelled::Refused(show(*run)),
            Cancelled::Missing => Cancelled::Missing,
        }
    }
}

// Tokens are kept by their digest, passwords as Argon2 hashes: there is nothing to seal. What `SecretStore` has is handed
// on as it is kept.
macro_rules! sealed {
    (
        $trait:ident;
        direct { $(fn $direct:ident() -> $found:ty;)* }
        plain { $(fn $plain:ident($($arg:ident: $kind:ty),*) -> $answer:ty;)* }
        secret { $(fn $secret:ident($($secret_arg:ident: $secret_kind:ty),*) -> $secret_answer:ty;)* }
    ) => {
        #[async_trait]
        impl $trait for SealedStore {
            $(
                fn $direct(&self) -> $found {
                    self.store.$direct()
                }
            )*
            $(
                async fn $plain(&self, $($arg: $kind),*) -> Result<$answer> {
                    self.store.$plain($($arg),*).await
                }
            )*
            $(
                async fn $secret(&self, $($secret_arg: $secret_kind),*) -> Result<$secret_answer> {
                    SecretMethods(self).$secret($($secret_arg),*).await
                }
            )*
        }
    };
}

store_methods!(sealed);
