//! A store around a store: what plans by time is refused while the clocks disagree.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use isochrone_domain::{
    Amendment, Artifact, AttemptEnd, AuditEntry, CancelReason, Claimant, EpochMillis, Fence, Held,
    InstallationId, Item, ItemId, ItemSnapshot, LogLine, Run, RunId, Task, TaskId, TaskType, User,
    UserChange,
};
use rustix::time::{ClockId, clock_gettime};

use super::{ClockRule, Disagreement, Sample};
use crate::chain::{AuditChain, ChainEnd};
use crate::clock::machine_ms;
use crate::seal::KeyId;
use crate::{
    AccountStore, AuditStore, Backlog, Cancelled, Claim, Clock, Deferred, DueTask, Finished, FireCommit,
    FireRecord, FleetStore, Grant, HoldStore, InstallationStore, ItemStore, Keep, Leadership, Member,
    OutboxEntry, OutboxState, Page, Paged, Place, Present, PublishedThrough, Renewal, Result, RunFilter,
    RunStore, Saved, Scope, SecretStore, Store, StoreError, Stretch, TaskFilter, TaskStore, Token, TokenHash,
    UserChanged, store_methods,
};

/// A store for those who decide by its time: what is due, what is planned next, what has expired, what is old. Its `now`
/// is an error while the clocks disagree, and each moment that it gives was compared with this machine's clock.
///
/// The end of an attempt is refused, too, while a clock was just set, since it may plan a retry; its worker sends it again. Everything else is
/// handed on: leases are renewed, and people cancel.
pub struct ClockGuard {
    store: Arc<dyn Store>,
    seen: Arc<Mutex<Seen>>,
    meanwhile: Meanwhile,
}

/// What is answered while the clocks disagree.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Meanwhile {
    /// That they do.
    Refusal,
    /// The time as it has gone on since they last agreed.
    LastTime,
}

#[derive(Default)]
struct Seen {
    rule: ClockRule,
    disagreement: Option<Disagreement>,
    /// What the store's clock showed when the clocks last agreed, and how long this machine had run then.
    agreed: Option<(i64, i64)>,
}

impl ClockGuard {
    /// Around `store`. The clocks are taken as they are at the first look.
    pub fn new(store: Arc<dyn Store>) -> ClockGuard {
        ClockGuard { store, seen: Arc::default(), meanwhile: Meanwhile::Refusal }
    }

    /// The same store for those who must go on, such as sign-ins: while the clocks disagree its `now` goes on from when
    /// they last agreed, so that no token expires by a clock that is wrong. It refuses nothing.
    #[must_use]
    pub fn going_on(&self) -> ClockGuard {
        let (store, seen) = (Arc::clone(&self.store), Arc::clone(&self.seen));
        ClockGuard { store, seen, meanwhile: Meanwhile::LastTime }
    }

    /// In what the clocks disagreed at the last look; none: in nothing, or nobody has looked.
    pub fn disagreement(&self) -> Option<Disagreement> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).disagreement
    }

    /// Looks at the clocks.
    ///
    /// # Errors
    /// [`StoreError::ClocksDisagree`], or what keeps the store from answering.
    pub async fn look(&self) -> Result<EpochMillis> {
        let (machine, boot) = (machine_ms(), boot_ms());
        let servers = self.store.server_times().await?;
        let took = boot_ms() - boot;
        let now = self.store.clock().at_real(servers.first().copied().unwrap_or(machine + took));
        let sample = Sample { servers, machine: machine + took / 2, boot: boot + took / 2, took };
        match (self.judge(&sample), self.meanwhile) {
            (None, _) => Ok(now),
            (Some(disagreement), Meanwhile::Refusal) => Err(StoreError::ClocksDisagree(disagreement)),
            (Some(_), Meanwhile::LastTime) => Ok(self.last_time(sample.boot).unwrap_or(now)),
        }
    }

    /// Looks at the clocks for the end of an attempt. It is decided by the store's time: a worker whose own clock is wrong
    /// must not keep its runs for ever.
    async fn look_for_an_end(&self) -> Result<()> {
        match self.look().await {
            Ok(_) | Err(StoreError::ClocksDisagree(Disagreement::Apart { .. })) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn last_time(&self, boot: i64) -> Option<EpochMillis> {
        let (real, then) = self.seen.lock().unwrap_or_else(PoisonError::into_inner).agreed?;
        Some(self.store.clock().at_real(real + boot - then))
    }

    fn judge(&self, sample: &Sample) -> Option<Disagreement> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let disagreement = seen.rule.observe(sample).err();
        match (seen.disagreement, disagreement) {
            (None, Some(problem)) => {
                tracing::error!(%problem, "the clocks disagree: nothing fires, is planned or expires meanwhile");
            }
            (Some(_), None) => tracing::warn!("the clocks agree again; everything goes on"),
            _ => {}
        }
        seen.disagreement = disagreement;
        if disagreement.is_none() {
            seen.agreed = Some((sample.servers.first().copied().unwrap_or(sample.machine), sample.boot));
        }
        disagreement
    }
}

/// The time since this machine was started, its sleep included, in milliseconds.
fn boot_ms() -> i64 {
    let time = clock_gettime(ClockId::Boottime);
    time.tv_sec * 1_000 + time.tv_nsec / 1_000_000
}

/// What a method does before it is handed on.
macro_rules! admitted {
    ($guard:ident, now) => {
        return $guard.look().await
    };
    ($guard:ident, finish) => {
        $guard.look_for_an_end().await?
    };
    ($guard:ident, retry_run) => {
        $guard.look().await?
    };
    ($guard:ident, $other:ident) => {};
}

macro_rules! guarded {
    (
        $trait:ident;
        direct { $(fn $direct:ident() -> $found:ty;)* }
        plain { $($plain:tt)* }
        secret { $($secret:tt)* }
    ) => {
        guarded! { $trait; $(fn $direct -> $found;)*; $($plain)* $($secret)* }
    };
    (
        $trait:ident;
        $(fn $direct:ident -> $found:ty;)*;
        $(fn $name:ident($($arg:ident: $kind:ty),*) -> $answer:ty;)*
    ) => {
        #[async_trait]
        impl $trait for ClockGuard {
            $(
                fn $direct(&self) -> $found {
                    self.store.$direct()
                }
            )*
            $(
                #[allow(unreachable_code)] // Behind `now`.
                async fn $name(&self, $($arg: $kind),*) -> Result<$answer> {
                    let guard = self;
                    admitted!(guard, $name);
                    guard.store.$name($($arg),*).await
                }
            )*
        }
    };
}

store_methods!(guarded);
