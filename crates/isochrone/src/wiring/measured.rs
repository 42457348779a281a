//! A store whose steps are timed.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use isochrone_domain::{
    Amendment, Artifact, AttemptEnd, AuditEntry, CancelReason, Claimant, EpochMillis, Fence, Held,
    InstallationId, Item, ItemId, ItemSnapshot, LogLine, Run, RunId, Task, TaskId, TaskType, User,
    UserChange,
};
use isochrone_store::chain::{AuditChain, ChainEnd};
use isochrone_store::seal::KeyId;
use isochrone_store::{
    AccountStore, AuditStore, Backlog, Cancelled, Claim, Clock, Deferred, DueTask, Finished, FireCommit,
    FireRecord, FleetStore, Grant, HoldStore, InstallationStore, ItemStore, Keep, Leadership, Member,
    OutboxEntry, OutboxState, Page, Paged, Place, Present, PublishedThrough, Renewal, Result, RunFilter,
    RunStore, Saved, Scope, SecretStore, Store, StoreError, Stretch, TaskFilter, TaskStore, Token, TokenHash,
    UserChanged, store_methods,
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

macro_rules! measured {
    (
        $trait:ident;
        direct { $(fn $direct:ident() -> $found:ty;)* }
        plain { $($plain:tt)* }
        secret { $($secret:tt)* }
    ) => {
        measured! { $trait; $(fn $direct -> $found;)*; $($plain)* $($secret)* }
    };
    (
        $trait:ident;
        $(fn $direct:ident -> $found:ty;)*;
        $(fn $name:ident($($arg:ident: $kind:ty),*) -> $answer:ty;)*
    ) => {
        #[async_trait]
        impl $trait for Measured {
            $(
                fn $direct(&self) -> $found {
                    self.store.$direct()
                }
            )*
            $(
                async fn $name(&self, $($arg: $kind),*) -> Result<$answer> {
                    self.time(stringify!($name), self.store.$name($($arg),*)).await
                }
            )*
        }
    };
}

store_methods!(measured);
