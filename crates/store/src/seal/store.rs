//! A store around a store: what is secret is sealed in it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use isochrone_domain::{
    Amendment, Artifact, AttemptEnd, AuditEntry, EpochMillis, InstallationId, Item, ItemId, ItemSnapshot,
    LogLine, Run, RunId, Task, TaskId, TaskType, User, UserChange,
};

use super::records::{Sealing, open_grant, open_run, open_task};
use super::{KeyId, Keyring, SecretField};
use crate::chain::{AuditChain, ChainEnd};
use crate::{
    AccountStore, AuditStore, Backlog, Cancelled, Claim, Claimed, Clock, DueTask, Finished, FireCommit,
    FireRecord, FleetStore, Grant, Held, HoldStore, InstallationStore, ItemStore, Keep, Leadership, Member,
    Page, Paged, Place, Present, Renewal, Result, RunFilter, RunStore, Saved, SecretStore, Store, Stretch,
    TaskFilter, TaskStore, Token, TokenHash, Unclaimed, UserChanged,
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

    fn open_task(&self, task: Task) -> Result<Task> {
        Ok(open_task(&self.ring, task)?)
    }

    /// What can't be opened stays sealed: one damaged record must not stop what concerns all.
    fn show_tasks(&self, tasks: Vec<Task>) -> Vec<Task> {
        let shown = tasks.into_iter().map(|task| {
            open_task(&self.ring, task.clone()).unwrap_or_else(|error| {
                tracing::error!(task_id = %task.id, %error, "a task's parameters stay sealed");
                task
            })
        });
        shown.collect()
    }

    fn open_run(&self, run: Run) -> Result<Run> {
        Ok(open_run(&self.ring, run)?)
    }

    /// One whose handle can't be opened is shown without it.
    fn show_runs(&self, runs: Vec<Run>) -> Vec<Run> {
        let shown = runs.into_iter().map(|run| {
            let hidden = Run { handle: None, ..run.clone() };
            open_run(&self.ring, run).unwrap_or_else(|error| {
                tracing::error!(run_id = %hidden.id, %error, "a run's handle is left out");
                hidden
            })
        });
        shown.collect()
    }

    fn finished(&self, finished: Finished) -> Result<Finished> {
        Ok(match finished {
            Finished::Kept(run) => Finished::Kept(Box::new(self.open_run(*run)?)),
            Finished::Fenced(refusal) => Finished::Fenced(refusal),
        })
    }

    fn cancelled(&self, cancelled: Cancelled) -> Cancelled {
        let show = |run: Run| self.show_runs(vec![run]).pop().map(Box::new).expect("each run is shown");
        match cancelled {
            Cancelled::Done(run) => Cancelled::Done(show(*run)),
            Cancelled::Refused(run) => Cancelled::Refused(show(*run)),
            Cancelled::Missing => Cancelled::Missing,
        }
    }
}

/// Methods that hand on what they get, and what they are answered.
macro_rules! passed_on {
    ($trait:ident; $(fn $name:ident($($arg:ident: $kind:ty),*) -> $answer:ty;)* $(also { $($own:item)* })?) => {
        #[async_trait]
        impl $trait for SealedStore {
            $(
                async fn $name(&self, $($arg: $kind),*) -> Result<$answer> {
                    self.store.$name($($arg),*).await
                }
            )*
            $($($own)*)?
        }
    };
}

passed_on! { TaskStore;
    fn now() -> EpochMillis;
    fn count_active(owner: Option<&str>, kinds: &[TaskType]) -> BTreeMap<TaskType, u64>;
    fn unfinished(task: TaskId) -> u64;
    fn delete_task(id: TaskId, audit: AuditEntry) -> bool;
    fn due_tasks(now: EpochMillis, limit: u64) -> Vec<DueTask>;
    fn next_wake() -> Option<EpochMillis>;
    also {
        fn clock(&self) -> Clock {
            self.store.clock()
        }

        async fn insert_task(&self, task: &Task, audit: AuditEntry) -> Result<Saved> {
            let task = self.sealing().task(task.clone())?;
            self.store.insert_task(&task, audit).await
        }

        async fn task(&self, id: TaskId) -> Result<Option<Task>> {
            self.store.task(id).await?.map(|task| self.open_task(task)).transpose()
        }

        async fn tasks(&self, filter: &TaskFilter, page: Page) -> Result<Paged<Task>> {
            let Paged { rows, total } = self.store.tasks(filter, page).await?;
            Ok(Paged { rows: self.show_tasks(rows), total })
        }

        async fn tasks_from(
            &self,
            filter: &TaskFilter,
            after: Option<Place>,
            limit: u64,
        ) -> Result<Stretch<Task>> {
            let Stretch { rows, next } = self.store.tasks_from(filter, after, limit).await?;
            Ok(Stretch { rows: self.show_tasks(rows), next })
        }

        async fn save_task(&self, task: &Task, audit: AuditEntry) -> Result<Saved> {
            let task = self.sealing().task(task.clone())?;
            self.store.save_task(&task, audit).await
        }

        async fn commit_fires(&self, commits: Vec<FireCommit>) -> Result<Vec<Saved>> {
            let sealing = self.sealing();
            let sealed = commits.into_iter().map(|commit| {
                let FireCommit { task, fires, runs } = commit;
                Ok(FireCommit { task: sealing.fired(task)?, fires, runs })
            });
            self.store.commit_fires(sealed.collect::<Result<_>>()?).await
        }

        async fn commit_request(&self, task: Task, run: Run, audit: AuditEntry) -> Result<Saved> {
            self.store.commit_request(self.sealing().task(task)?, run, audit).await
        }
    }
}

passed_on! { RunStore;
    fn unpublished(now: EpochMillis, limit: u64) -> Vec<Unclaimed>;
    fn mark_published(published: &[Unclaimed]) -> ();
    fn unclaimed(kind: TaskType, before: EpochMillis, limit: u64) -> Vec<Unclaimed>;
    fn backlog(now: EpochMillis) -> Backlog;
    fn renew(held: &[Held], lease: Duration) -> Vec<Renewal>;
    fn log(run: RunId, page: Page) -> Paged<LogLine>;
    fn trim_runs(task: TaskId, keep: Keep, limit: u64) -> Vec<RunId>;
    fn deleted_runs(until: EpochMillis, limit: u64) -> Vec<RunId>;
    fn forget_deleted_runs(runs: &[RunId]) -> ();
    also {
        async fn run(&self, id: RunId) -> Result<Option<Run>> {
            self.store.run(id).await?.map(|run| self.open_run(run)).transpose()
        }

        async fn runs(&self, filter: &RunFilter, page: Page) -> Result<Paged<Run>> {
            let Paged { rows, total } = self.store.runs(filter, page).await?;
            Ok(Paged { rows: self.show_runs(rows), total })
        }

        async fn runs_from(
            &self,
            filter: &RunFilter,
            after: Option<Place>,
            limit: u64,
        ) -> Result<Stretch<Run>> {
            let Stretch { rows, next } = self.store.runs_from(filter, after, limit).await?;
            Ok(Stretch { rows: self.show_runs(rows), next })
        }

        async fn claim(&self, run: RunId, worker: &str, lease: Duration) -> Result<Claim> {
            Ok(match self.store.claim(run, worker, lease).await? {
                Claim::Granted(claimed) => {
                    let Claimed { run, task } = *claimed;
                    let claimed = Claimed { run: self.open_run(run)?, task: self.open_task(task)? };
                    Claim::Granted(Box::new(claimed))
                }
                Claim::Refused(refusal) => Claim::Refused(refusal),
            })
        }

        async fn checkpoint(&self, run: RunId, attempt: u32, handle: &str) -> Result<Finished> {
            let handle = self.sealing().text(handle.to_owned(), SecretField::Handle(run))?;
            self.finished(self.store.checkpoint(run, attempt, &handle).await?)
        }

        async fn note_item(&self, run: RunId, attempt: u32, item: &ItemSnapshot) -> Result<Finished> {
            self.finished(self.store.note_item(run, attempt, item).await?)
        }

        async fn append_log(
            &self,
            run: RunId,
            attempt: u32,
            first: u64,
            lines: &[LogLine],
        ) -> Result<Finished> {
            self.finished(self.store.append_log(run, attempt, first, lines).await?)
        }

        async fn finish(
            &self,
            run: RunId,
            attempt: u32,
            end: AttemptEnd,
            artifacts: Vec<Artifact>,
        ) -> Result<Finished> {
            self.finished(self.store.finish(run, attempt, end, artifacts).await?)
        }

        async fn reap(&self, now: EpochMillis, limit: u64) -> Result<Vec<Run>> {
            Ok(self.show_runs(self.store.reap(now, limit).await?))
        }

        async fn cancel_run(&self, run: RunId, audit: AuditEntry) -> Result<Cancelled> {
            Ok(self.cancelled(self.store.cancel_run(run, audit).await?))
        }

        async fn retry_run(&self, run: RunId, audit: AuditEntry) -> Result<Cancelled> {
            Ok(self.cancelled(self.store.retry_run(run, audit).await?))
        }

        async fn amend_run(
            &self,
            run: RunId,
            amendment: Amendment,
            audit: AuditEntry,
        ) -> Result<Cancelled> {
            Ok(self.cancelled(self.store.amend_run(run, amendment, audit).await?))
        }

        async fn delete_run(&self, run: RunId, audit: AuditEntry) -> Result<Cancelled> {
            Ok(self.cancelled(self.store.delete_run(run, audit).await?))
        }
    }
}

// Tokens are kept by their digest, passwords as Argon2 hashes: there is nothing to seal.
passed_on! { AccountStore;
    fn user(name: &str) -> Option<User>;
    fn users() -> Vec<User>;
    fn change_user(name: &str, change: &UserChange, audit: AuditEntry) -> UserChanged;
    fn delete_user(name: &str, audit: AuditEntry) -> UserChanged;
    fn add_user(user: &User, audit: AuditEntry) -> bool;
    fn put_token(hash: TokenHash, token: &Token, user: &User, audit: AuditEntry) -> bool;
    fn token(hash: TokenHash) -> Option<Token>;
    fn bearer(hash: TokenHash) -> Option<(Token, User)>;
    fn tokens_of(user: &str) -> Vec<(TokenHash, Token)>;
    fn forget_token(hash: TokenHash, audit: AuditEntry) -> bool;
    also {
        async fn put_grant(&self, hash: TokenHash, grant: &Grant) -> Result<()> {
            let grant = self.sealing().grant(hash, grant.clone())?;
            self.store.put_grant(hash, &grant).await
        }

        async fn grant(&self, hash: TokenHash) -> Result<Option<Grant>> {
            let grant = self.store.grant(hash).await?;
            Ok(grant.map(|grant| open_grant(&self.ring, hash, grant)).transpose()?)
        }

        async fn take_grant(&self, hash: TokenHash) -> Result<Option<Grant>> {
            let grant = self.store.take_grant(hash).await?;
            Ok(grant.map(|grant| open_grant(&self.ring, hash, grant)).transpose()?)
        }
    }
}

passed_on! { ItemStore;
    fn put_item(item: &Item, data: Option<Arc<Vec<u8>>>, audit: AuditEntry) -> Saved;
    fn item(id: ItemId) -> Option<Item>;
    fn item_data(id: ItemId) -> Option<Vec<u8>>;
    fn item_with_data(id: ItemId) -> Option<(Item, Vec<u8>)>;
    fn delete_item(id: ItemId, audit: AuditEntry) -> bool;
    fn items(owner: Option<&str>, page: Page) -> Paged<Item>;
}

passed_on! { AuditStore;
    fn audit(span: Range<EpochMillis>) -> Vec<AuditEntry>;
    fn audit_heads() -> Vec<ChainEnd>;
    fn audit_chain(chain: usize) -> AuditChain;
    fn fires(task: Option<TaskId>, span: Range<EpochMillis>) -> Vec<FireRecord>;
    fn note(entry: AuditEntry) -> ();
    fn trim_records(before: EpochMillis, limit: u64) -> u64;
}

passed_on! { FleetStore;
    fn lead(name: &str, length: Duration) -> Leadership;
    fn resign(name: &str) -> ();
    fn announce(member: &Member, remembered: Duration) -> ();
    fn depart(name: &str) -> ();
    fn members() -> Vec<Present>;
}

passed_on! { InstallationStore;
    fn installation() -> InstallationId;
}

passed_on! { HoldStore;
    fn hold(what: &str, holder: &str, length: Duration) -> bool;
    fn let_go(what: &str, holder: &str) -> ();
}

// As they are kept.
passed_on! { SecretStore;
    fn keys_in_use() -> BTreeSet<KeyId>;
    fn use_key(key: KeyId) -> ();
    fn retire_key(key: KeyId) -> ();
    fn reseal_task(task: &Task) -> bool;
    fn reseal_handle(run: RunId, old: &str, new: &str) -> bool;
    fn grants() -> Vec<(TokenHash, Grant)>;
    fn reseal_grant(hash: TokenHash, old: &Grant, new: &Grant) -> bool;
}
