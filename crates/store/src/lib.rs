//! Where tasks, fires, runs, leases and counters live: the traits, and their SQLite and Redis
//! implementations.
//!
//! Each method is one atomic step. A write that could be repeated because its answer was lost says
//! what the repetition does; none does its work twice.

mod accounts;
mod audit;
pub mod chain;
mod clock;
pub mod clocks;
mod deferrals;
mod error;
mod fleet;
mod holds;
mod installation;
mod item_source;
mod items;
mod methods;
pub mod redis;
mod runs;
pub mod seal;
mod secrets;
#[cfg(feature = "simulation")]
pub mod simulation;
pub mod sqlite;
mod tasks;
mod tries;

pub use accounts::{AccountStore, Grant, Token, TokenBinding, TokenHash, TokenPurpose, UserChanged};
pub use audit::{AuditStore, FireRecord};
pub use clock::Clock;
pub use deferrals::Deferred;
pub use error::StoreError;
pub use fleet::{FleetStore, Leadership, Member, Present, Role, Scope};
pub use holds::HoldStore;
pub use installation::InstallationStore;
pub use item_source::{ItemSource, ItemsUnavailable, StoredItems};
pub use items::ItemStore;
pub use runs::{
    Backlog, Cancelled, Claim, Claimed, Finished, Keep, LONGEST_LEASE, OutboxEntry, OutboxState,
    PublishedThrough, Renewal, RunFilter, RunStore,
};
pub use secrets::SecretStore;
pub use tasks::{DueTask, FireCommit, Saved, TaskFilter, TaskStore};
pub use tries::Tries;

/// The result of a step on the store.
pub type Result<T> = std::result::Result<T, StoreError>;

/// The whole store.
pub trait Store:
    TaskStore
    + RunStore
    + AccountStore
    + ItemStore
    + AuditStore
    + FleetStore
    + HoldStore
    + SecretStore
    + InstallationStore
{
}

impl<T> Store for T where
    T: TaskStore
        + RunStore
        + AccountStore
        + ItemStore
        + AuditStore
        + FleetStore
        + HoldStore
        + SecretStore
        + InstallationStore
{
}

/// A part of a long list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Rows to skip.
    pub offset: u64,
    /// Rows to give at most.
    pub limit: u64,
}

/// A row's place in its list's order: the list can go on behind it, whatever has come and gone meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// What decides first.
    pub first: i64,
    /// What decides where that is the same.
    pub then: u128,
}

/// The rows behind a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// The last one's place. None: there are no more.
    pub next: Option<Place>,
}

/// A part of a long list, and how long the list is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paged<T> {
    /// The part.
    pub rows: Vec<T>,
    /// How many rows there are in all.
    pub total: u64,
}
