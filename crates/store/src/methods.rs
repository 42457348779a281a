//! Every method of the store's traits, once, for stores that stand around a store.

/// Calls the macro `$with` for each trait of [`crate::Store`] with all of its methods: those that don't wait (`direct`),
/// those with no secret in what they get and answer (`plain`), and those with one (`secret`). The types must be in scope
/// where it is called. A store around a store so has no list of its own, and a new method does not compile before it is
/// decided here what it is.
#[macro_export]
macro_rules! store_methods {
    ($with:ident) => {
        $with! { TaskStore;
            direct { fn clock() -> Clock; fn deferred() -> Deferred; }
            plain {
                fn now() -> EpochMillis;
                fn server_times() -> Vec<i64>;
                fn count_active(owner: Option<&str>, kinds: &[TaskType]) -> BTreeMap<TaskType, u64>;
                fn unfinished(task: TaskId) -> u64;
                fn delete_task(id: TaskId, audit: AuditEntry) -> bool;
                fn finish_deletions() -> ();
                fn due_tasks(now: EpochMillis, limit: u64) -> Vec<DueTask>;
                fn next_fire() -> Option<EpochMillis>;
            }
            secret {
                fn insert_task(task: &Task, audit: AuditEntry) -> Saved;
                fn task(id: TaskId) -> Option<Task>;
                fn tasks(filter: &TaskFilter, page: Page) -> Paged<Task>;
                fn tasks_from(filter: &TaskFilter, after: Option<Place>, limit: u64) -> Stretch<Task>;
                fn save_task(task: &Task, audit: AuditEntry) -> Saved;
                fn commit_fires(commits: Vec<FireCommit>) -> Vec<Saved>;
                fn commit_request(task: Task, run: Run, audit: AuditEntry) -> Saved;
            }
        }
        $with! { RunStore;
            direct {}
            plain {
                fn outbox_state() -> OutboxState;
                fn queue_delayed(now: EpochMillis, limit: u64) -> u64;
                fn unpublished(kind: TaskType, published: &PublishedThrough, limit: u64) -> Vec<OutboxEntry>;
                fn published_through(kind: TaskType) -> PublishedThrough;
                fn set_published_through(kind: TaskType, published: &PublishedThrough) -> ();
                fn unclaimed(kind: TaskType, published: &PublishedThrough) -> u64;
                fn requeue(kind: TaskType, published: &PublishedThrough, count: u64) -> u64;
                fn backlog() -> Backlog;
                fn next_expiry() -> Option<EpochMillis>;
                fn log(run: RunId, page: Page) -> Paged<LogLine>;
                fn trim_runs(task: TaskId, keep: Keep, limit: u64) -> Vec<RunId>;
                fn deleted_runs(until: EpochMillis, limit: u64) -> Vec<RunId>;
                fn forget_deleted_runs(runs: &[RunId]) -> ();
            }
            secret {
                fn run(id: RunId) -> Option<Run>;
                fn runs(filter: &RunFilter, page: Page) -> Paged<Run>;
                fn runs_from(filter: &RunFilter, after: Option<Place>, limit: u64) -> Stretch<Run>;
                fn claim(run: RunId, by: &Claimant, lease: Duration) -> Claim;
                fn renew(worker: &str, held: &[Held], lease: Duration) -> Vec<Renewal>;
                fn checkpoint(run: RunId, fence: Fence, handle: &str) -> Finished;
                fn note_item(run: RunId, fence: Fence, item: &ItemSnapshot) -> Finished;
                fn append_log(run: RunId, fence: Fence, first: u64, lines: &[LogLine]) -> Finished;
                fn finish(run: RunId, fence: Fence, end: AttemptEnd, artifacts: Vec<Artifact>) -> Finished;
                fn reap(now: EpochMillis, limit: u64) -> Vec<Run>;
                fn cancel_run(run: RunId, why: CancelReason, audit: AuditEntry) -> Cancelled;
                fn retry_run(run: RunId, audit: AuditEntry) -> Cancelled;
                fn amend_run(run: RunId, amendment: Amendment, audit: AuditEntry) -> Cancelled;
                fn delete_run(run: RunId, audit: AuditEntry) -> Cancelled;
            }
        }
        $with! { AccountStore;
            direct {}
            plain {
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
            }
            secret {
                fn put_grant(hash: TokenHash, grant: &Grant) -> ();
                fn grant(hash: TokenHash) -> Option<Grant>;
                fn take_grant(hash: TokenHash) -> Option<Grant>;
            }
        }
        $with! { ItemStore;
            direct {}
            plain {
                fn put_item(item: &Item, data: Option<Arc<Vec<u8>>>, audit: AuditEntry) -> Saved;
                fn item(id: ItemId) -> Option<Item>;
                fn item_data(id: ItemId) -> Option<Vec<u8>>;
                fn item_with_data(id: ItemId) -> Option<(Item, Vec<u8>)>;
                fn delete_item(id: ItemId, audit: AuditEntry) -> bool;
                fn items(owner: Option<&str>, page: Page) -> Paged<Item>;
            }
            secret {}
        }
        $with! { AuditStore;
            direct {}
            plain {
                fn audit(span: Range<EpochMillis>) -> Vec<AuditEntry>;
                fn audit_heads() -> Vec<ChainEnd>;
                fn audit_chain(chain: usize) -> AuditChain;
                fn fires(task: Option<TaskId>, span: Range<EpochMillis>) -> Vec<FireRecord>;
                fn note(entry: AuditEntry) -> ();
                fn trim_records(before: EpochMillis, limit: u64) -> u64;
            }
            secret {}
        }
        $with! { FleetStore;
            direct { fn weak_durability() -> Option<String>; fn waits_for() -> Option<String>; }
            plain {
                fn confirm(what: Scope) -> ();
                fn lead(name: &str, length: Duration) -> Leadership;
                fn resign(name: &str) -> ();
                fn announce(member: &Member, remembered: Duration) -> ();
                fn depart(name: &str) -> ();
                fn members() -> Vec<Present>;
            }
            secret {}
        }
        $with! { InstallationStore;
            direct {}
            plain {
                fn installation() -> InstallationId;
            }
            secret {}
        }
        $with! { HoldStore;
            direct {}
            plain {
                fn hold(what: &str, holder: &str, length: Duration) -> bool;
                fn let_go(what: &str, holder: &str) -> ();
            }
            secret {}
        }
        $with! { SecretStore;
            direct {}
            plain {
                fn keys_in_use() -> BTreeSet<KeyId>;
                fn use_key(key: KeyId) -> ();
                fn retire_key(key: KeyId) -> ();
                fn reseal_task(task: &Task) -> bool;
                fn reseal_handle(run: RunId, old: &str, new: &str) -> bool;
                fn grants() -> Vec<(TokenHash, Grant)>;
                fn reseal_grant(hash: TokenHash, old: &Grant, new: &Grant) -> bool;
            }
            secret {}
        }
    };
}
