//! Bugs that are planted around the store, to see that the simulator finds them. The fleet's own code has no switch for
//! them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use isochrone_domain::{
    Amendment, Artifact, AttemptEnd, AuditEntry, CancelReason, Claimant, EpochMillis, Fence, Held,
    InstallationId, Item, ItemId, ItemSnapshot, LogLine, Run, RunId, RunStatus, Task, TaskId, TaskType, User,
    UserChange,
};
use isochrone_store::chain::{AuditChain, ChainEnd};
use isochrone_store::seal::KeyId;
use isochrone_store::{
    AccountStore, AuditStore, Backlog, Cancelled, Claim, Clock, Deferred, DueTask, Finished, FireCommit,
    FireRecord, FleetStore, Grant, HoldStore, InstallationStore, ItemStore, Keep, Leadership, Member,
    OutboxEntry, OutboxState, Page, Paged, Place, Present, PublishedThrough, Renewal, Result, RunFilter,
    RunStore, Saved, Scope, SecretStore, Store, Stretch, TaskFilter, TaskStore, Token, TokenHash,
    UserChanged, store_methods,
};

use crate::world::World;

/// A planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// The fence compares the attempt's number and not its nonce.
    FenceByNumber,
    /// A renewal does not tell of a cancel.
    CancelLost,
    /// An attempt's end is acknowledged and not kept.
    EndNotKept,
    /// Leases are expired at once, also where the store has been away.
    ExpiryWithoutLooks,
    /// A run is counted twice.
    CountedTwice,
    /// The next fire of a task is forgotten when it fires.
    FiringStops,
    /// A run that is executed is given to whoever claims it.
    ClaimAlwaysGranted,
}

impl Bug {
    /// Each of them.
    pub const ALL: [Bug; 7] = [
        Bug::FenceByNumber,
        Bug::CancelLost,
        Bug::EndNotKept,
        Bug::ExpiryWithoutLooks,
        Bug::CountedTwice,
        Bug::FiringStops,
        Bug::ClaimAlwaysGranted,
    ];
}

/// A process's store, with an eye on what it accepts, and maybe with a bug.
pub(crate) struct Watched {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) world: Arc<World>,
    pub(crate) bug: Option<Bug>,
}

impl Watched {
    /// Whether the bug shows this time.
    fn strikes(&self, bug: Bug, of_a_hundred: u32) -> bool {
        self.bug == Some(bug) && self.world.chance().u32(0..100) < of_a_hundred
    }

    async fn finish(
        &self,
        run: RunId,
        mut fence: Fence,
        end: AttemptEnd,
        artifacts: Vec<Artifact>,
    ) -> Result<Finished> {
        let claimed = fence;
        // Once is no bug that shows: the worker looks again, and sends it again.
        if self.bug == Some(Bug::EndNotKept)
            && run.as_bytes()[15] < 8
            && let Some(run) = self.store.run(run).await?
        {
            return Ok(Finished::Kept(Box::new(run)));
        }
        if self.bug == Some(Bug::FenceByNumber)
            && let Some(run) = self.store.run(run).await?
            && run.attempt == fence.attempt
        {
            fence = run.fence();
        }
        let answer = self.store.finish(run, fence, end, artifacts).await?;
        if let Finished::Kept(kept) = &answer {
            self.world.witness.check_accepted(&self.world, kept, claimed);
        }
        Ok(answer)
    }

    async fn renew(&self, worker: &str, held: &[Held], lease: Duration) -> Result<Vec<Renewal>> {
        let mut answers = self.store.renew(worker, held, lease).await?;
        if self.bug == Some(Bug::CancelLost) {
            for answer in &mut answers {
                if let Renewal::Held { cancel } = answer {
                    *cancel = None;
                }
            }
        }
        Ok(answers)
    }

    async fn claim(&self, run: RunId, by: &Claimant, lease: Duration) -> Result<Claim> {
        let answer = self.store.claim(run, by, lease).await?;
        if self.bug == Some(Bug::ClaimAlwaysGranted)
            && matches!(answer, Claim::Refused(_))
            && let Some(run) = self.store.run(run).await?
            && matches!(run.status, RunStatus::Executing { .. })
            && let Some(task) = self.store.task(run.task).await?
        {
            let run = Run { nonce: by.nonce, ..run };
            return Ok(Claim::Granted(Box::new(isochrone_store::Claimed { run, task })));
        }
        Ok(answer)
    }

    async fn due_tasks(&self, now: EpochMillis, limit: u64) -> Result<Vec<DueTask>> {
        if self.bug == Some(Bug::ExpiryWithoutLooks) {
            self.store.reap(now, limit).await?;
        }
        self.store.due_tasks(now, limit).await
    }

    async fn commit_fires(&self, mut commits: Vec<FireCommit>) -> Result<Vec<Saved>> {
        for commit in &mut commits {
            if self.strikes(Bug::CountedTwice, 1) {
                commit.task.occurrences += 1;
            }
            if self.strikes(Bug::FiringStops, 1) {
                commit.task.next_fire = None;
            }
        }
        self.store.commit_fires(commits).await
    }
}

/// The steps that are looked at stand above; all others are handed on.
macro_rules! step {
    ($this:ident finish($($arg:ident),*)) => { $this.finish($($arg),*).await };
    ($this:ident renew($($arg:ident),*)) => { $this.renew($($arg),*).await };
    ($this:ident claim($($arg:ident),*)) => { $this.claim($($arg),*).await };
    ($this:ident due_tasks($($arg:ident),*)) => { $this.due_tasks($($arg),*).await };
    ($this:ident commit_fires($($arg:ident),*)) => { $this.commit_fires($($arg),*).await };
    ($this:ident $name:ident($($arg:ident),*)) => { $this.store.$name($($arg),*).await };
}

macro_rules! watched {
    (
        $trait:ident;
        direct { $(fn $direct:ident() -> $found:ty;)* }
        plain { $($plain:tt)* }
        secret { $($secret:tt)* }
    ) => {
        watched! { $trait; $(fn $direct -> $found;)*; $($plain)* $($secret)* }
    };
    (
        $trait:ident;
        $(fn $direct:ident -> $found:ty;)*;
        $(fn $name:ident($($arg:ident: $kind:ty),*) -> $answer:ty;)*
    ) => {
        #[async_trait]
        impl $trait for Watched {
            $(
                fn $direct(&self) -> $found {
                    self.store.$direct()
                }
            )*
            $(
                async fn $name(&self, $($arg: $kind),*) -> Result<$answer> {
                    let this = self;
                    step!(this $name($($arg),*))
                }
            )*
        }
    };
}

store_methods!(watched);
