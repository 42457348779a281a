//! A store whose steps are timed.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use isochrone_domain::{
    Amendment, Artifact, AttemptEnd, AuditEntry, EpochMillis, InstallationId, Item, ItemId, ItemSnapshot,
    LogLine, Run, RunId, Task, TaskId, TaskType, User, UserChange,
};
use isochrone_store::chain::{AuditChain, ChainEnd};
use isochrone_store::seal::KeyId;
use isochrone_store::{
    AccountStore, AuditStore, Backlog, Cancelled, Claim, Clock, DueTask, Finished, FireCommit, FireRecord,
    FleetStore, Grant, Held, HoldStore, InstallationStore, ItemStore, Keep, Leadership, Member, Page, Paged,
    Place, Present, Renewal, Result, RunFilter, RunStore, Saved, SecretStore, Store, StoreError, Stretch,
    TaskFilter, TaskStore, Token, TokenHash, Unclaimed, UserChanged,
};
use isochrone_telemetry::Metrics;

/// Hands each step on to a store, and tells how long it took and whether the store is there.
pub(super) struct Measured {
    pub(super) store: Arc<dyn Store>,
    pub(super) metrics: Metrics,
}

impl Measured {
    async fn time<T>(&self, operation: &str, step: impl Future<Output = Result<T>>) -> Result<T> {
        let began = Instant::now();
        let answer = step.await;
        self.metrics.store_operation(operation, began.elapsed());
        match &answer {
            Err(StoreError::Unavailable(_)) => self.metrics.store_up(false),
            Ok(_) => self.metrics.store_up(true),
            // It is there, and can't do this.
            Err(_) => {}
        }
        answer
    }
}

/// Each method by its name, its arguments and what it answers.
macro_rules! measured {
    ($trait:ident; $(fn $name:ident($($arg:ident: $kind:ty),*) -> $answer:ty;)* $(also $own:item)?) => {
        #[async_trait]
        impl $trait for Measured {
            $(
                async fn $name(&self, $($arg: $kind),*) -> Result<$answer> {
                    self.time(stringify!($name), self.store.$name($($arg),*)).await
                }
            )*
            $($own)?
        }
    };
}

measured! { TaskStore;
    fn now() -> EpochMillis;
    fn insert_task(task: &Task, audit: AuditEntry) -> Saved;
    fn task(id: TaskId) -> Option<Task>;
    fn tasks(filter: &TaskFilter, page: Page) -> Paged<Task>;
    fn tasks_from(filter: &TaskFilter, after: Option<Place>, limit: u64) -> Stretch<Task>;
    fn count_active(owner: Option<&str>, kinds: &[TaskType]) -> BTreeMap<TaskType, u64>;
    fn unfinished(task: TaskId) -> u64;
    fn save_task(task: &Task, audit: AuditEntry) -> Saved;
    fn delete_task(id: TaskId, audit: AuditEntry) -> bool;
    fn due_tasks(now: EpochMillis, limit: u64) -> Vec<DueTask>;
    fn commit_fires(commits: Vec<FireCommit>) -> Vec<Saved>;
    fn commit_request(task: Task, run: Run, audit: AuditEntry) -> Saved;
    fn next_wake() -> Option<EpochMillis>;
    also fn clock(&self) -> Clock {
        self.store.clock()
    }
}

measured! { RunStore;
    fn run(id: RunId) -> Option<Run>;
    fn runs(filter: &RunFilter, page: Page) -> Paged<Run>;
    fn runs_from(filter: &RunFilter, after: Option<Place>, limit: u64) -> Stretch<Run>;
    fn unpublished(now: EpochMillis, limit: u64) -> Vec<Unclaimed>;
    fn mark_published(published: &[Unclaimed]) -> ();
    fn unclaimed(kind: TaskType, before: EpochMillis, limit: u64) -> Vec<Unclaimed>;
    fn backlog(now: EpochMillis) -> Backlog;
    fn claim(run: RunId, worker: &str, lease: Duration) -> Claim;
    fn renew(held: &[Held], lease: Duration) -> Vec<Renewal>;
    fn checkpoint(run: RunId, attempt: u32, handle: &str) -> Finished;
    fn note_item(run: RunId, attempt: u32, item: &ItemSnapshot) -> Finished;
    fn append_log(run: RunId, attempt: u32, first: u64, lines: &[LogLine]) -> Finished;
    fn log(run: RunId, page: Page) -> Paged<LogLine>;
    fn finish(run: RunId, attempt: u32, end: AttemptEnd, artifacts: Vec<Artifact>) -> Finished;
    fn reap(now: EpochMillis, limit: u64) -> Vec<Run>;
    fn trim_runs(task: TaskId, keep: Keep, limit: u64) -> Vec<RunId>;
    fn deleted_runs(until: EpochMillis, limit: u64) -> Vec<RunId>;
    fn forget_deleted_runs(runs: &[RunId]) -> ();
    fn cancel_run(run: RunId, audit: AuditEntry) -> Cancelled;
    fn retry_run(run: RunId, audit: AuditEntry) -> Cancelled;
    fn amend_run(run: RunId, amendment: Amendment, audit: AuditEntry) -> Cancelled;
    fn delete_run(run: RunId, audit: AuditEntry) -> Cancelled;
}

measured! { AccountStore;
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
    fn put_grant(hash: TokenHash, grant: &Grant) -> ();
    fn grant(hash: TokenHash) -> Option<Grant>;
    fn take_grant(hash: TokenHash) -> Option<Grant>;
}

measured! { ItemStore;
    fn put_item(item: &Item, data: Option<Arc<Vec<u8>>>, audit: AuditEntry) -> Saved;
    fn item(id: ItemId) -> Option<Item>;
    fn item_data(id: ItemId) -> Option<Vec<u8>>;
    fn item_with_data(id: ItemId) -> Option<(Item, Vec<u8>)>;
    fn delete_item(id: ItemId, audit: AuditEntry) -> bool;
    fn items(owner: Option<&str>, page: Page) -> Paged<Item>;
}

measured! { AuditStore;
    fn audit(span: Range<EpochMillis>) -> Vec<AuditEntry>;
    fn audit_heads() -> Vec<ChainEnd>;
    fn audit_chain(chain: usize) -> AuditChain;
    fn fires(task: Option<TaskId>, span: Range<EpochMillis>) -> Vec<FireRecord>;
    fn note(entry: AuditEntry) -> ();
    fn trim_records(before: EpochMillis, limit: u64) -> u64;
}

measured! { FleetStore;
    fn lead(name: &str, length: Duration) -> Leadership;
    fn resign(name: &str) -> ();
    fn announce(member: &Member, remembered: Duration) -> ();
    fn depart(name: &str) -> ();
    fn members() -> Vec<Present>;
}

measured! { InstallationStore;
    fn installation() -> InstallationId;
}

measured! { HoldStore;
    fn hold(what: &str, holder: &str, length: Duration) -> bool;
    fn let_go(what: &str, holder: &str) -> ();
}

measured! { SecretStore;
    fn keys_in_use() -> BTreeSet<KeyId>;
    fn use_key(key: KeyId) -> ();
    fn retire_key(key: KeyId) -> ();
    fn reseal_task(task: &Task) -> bool;
    fn reseal_handle(run: RunId, old: &str, new: &str) -> bool;
    fn grants() -> Vec<(TokenHash, Grant)>;
    fn reseal_grant(hash: TokenHash, old: &Grant, new: &Grant) -> bool;
}
