//! The names of the keys, and the shards that they are in.

use isochrone_domain::{FireId, RunId, TaskId, TaskType};

/// One of the parts that the store is spread over. All keys of a shard are in one slot of a cluster,
/// so that a step within it is atomic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Shard(u8);

impl Shard {
    /// How many there are for tasks and what belongs to them.
    pub(super) const COUNT: u8 = 64;

    /// What belongs to no task: users, tokens, items, leader, members.
    pub(super) const COMMON: Shard = Shard(Shard::COUNT);

    /// Those for tasks.
    pub(super) fn of_tasks() -> impl Iterator<Item = Shard> {
        (0..Shard::used()).map(Shard)
    }

    /// Those for tasks, and the common one behind them.
    pub(super) fn all() -> impl Iterator<Item = Shard> {
        Shard::of_tasks().chain([Shard::COMMON])
    }

    /// How many have tasks.
    fn used() -> u8 {
        #[cfg(feature = "simulation")]
        return crate::simulation::shards().unwrap_or(Shard::COUNT);
        #[cfg(not(feature = "simulation"))]
        Shard::COUNT
    }

    /// Its place among all.
    pub(super) fn number(self) -> usize {
        self.0.into()
    }

    /// The same, as the store's callers have it.
    pub(super) fn place(self) -> u8 {
        self.0
    }

    pub(super) fn of_task(id: TaskId) -> Shard {
        Shard::of(id.as_bytes())
    }

    pub(super) fn of_run(id: RunId) -> Shard {
        Shard::of(id.as_bytes())
    }

    pub(super) fn of_fire(id: FireId) -> Shard {
        Shard::of(id.as_bytes())
    }

    /// A task's runs and fires begin with the task's first byte.
    fn of(id: &[u8; 16]) -> Shard {
        Shard(id[0] & (Shard::used() - 1))
    }

    /// What decides the slot.
    pub(super) fn tag(self) -> String {
        if self == Shard::COMMON { "{iso:g}".to_owned() } else { format!("{{iso:{:02}}}", self.0) }
    }
}

/// An index of a shard: a sorted set of ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Index {
    /// Tasks by their next fire.
    Due,
    /// Tasks by their creation.
    Tasks,
    /// Queued runs that are due later, by when.
    Delayed,
    /// Runs that execute, by the end of their lease.
    Leases,
    /// Runs that have not ended, by their minute.
    Open,
    /// Runs that have, by their minute.
    Ended,
    /// The ledger, by the fires' minutes.
    Fires,
    /// The audit log, by time.
    Audit,
}

impl Index {
    fn name(self) -> &'static str {
        match self {
            Index::Due => "due",
            Index::Tasks => "tasks",
            Index::Delayed => "delayed",
            Index::Leases => "leases",
            Index::Open => "open",
            Index::Ended => "ended",
            Index::Fires => "fires",
            Index::Audit => "audit",
        }
    }
}

/// Names keys. The prefix keeps installations on one server apart.
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    /// A prefix without braces: they would decide the slot.
    pub(super) fn new(prefix: &str) -> Keys {
        Keys { prefix: prefix.to_owned() }
    }

    /// A key of this name in the shard.
    pub(super) fn named(&self, shard: Shard, name: &str) -> String {
        format!("{}:{}:{name}", self.prefix, shard.tag())
    }

    pub(super) fn index(&self, shard: Shard, index: Index) -> String {
        self.named(shard, index.name())
    }

    /// Queued runs of a type that are due, by their numbers.
    pub(super) fn outbox(&self, shard: Shard, kind: TaskType) -> String {
        self.named(shard, &format!("outbox:{kind}"))
    }

    /// The last number of the shard's outbox, and how far each type is published.
    pub(super) fn outbox_state(&self, shard: Shard) -> String {
        self.named(shard, "outbox")
    }

    /// An owner's tasks, by their creation.
    pub(super) fn tasks_of(&self, shard: Shard, owner: &str) -> String {
        self.named(shard, &format!("tasks-of:{}", folded(owner)))
    }

    /// Tasks of a type that plan a fire, all or one owner's, by their creation.
    pub(super) fn active(&self, shard: Shard, kind: TaskType, owner: Option<&str>) -> String {
        let owner = owner.map(|owner| format!(":{}", folded(owner))).unwrap_or_default();
        self.named(shard, &format!("active:{kind}{owner}"))
    }

    /// Enabled tasks of a type that plan none: they are active as long as they have an open run.
    pub(super) fn spent(&self, shard: Shard, kind: TaskType, owner: Option<&str>) -> String {
        let owner = owner.map(|owner| format!(":{}", folded(owner))).unwrap_or_default();
        self.named(shard, &format!("spent:{kind}{owner}"))
    }

    /// Tasks that have an open run.
    pub(super) fn busy(&self, shard: Shard) -> String {
        self.named(shard, "busy")
    }

    /// Deleted tasks whose runs are still to be removed.
    pub(super) fn graves(&self, shard: Shard) -> String {
        self.named(shard, "graves")
    }

    /// Deleted runs, by when they were deleted.
    pub(super) fn deleted_runs(&self, shard: Shard) -> String {
        self.named(shard, "deleted-runs")
    }

    pub(super) fn task(&self, id: TaskId) -> String {
        self.named(Shard::of_task(id), &format!("task:{id}"))
    }

    pub(super) fn run(&self, id: RunId) -> String {
        self.named(Shard::of_run(id), &format!("run:{id}"))
    }

    /// The lines of a run's log, by attempt and number.
    pub(super) fn log(&self, id: RunId) -> String {
        self.named(Shard::of_run(id), &format!("log:{id}"))
    }

    /// The order of those lines.
    pub(super) fn log_order(&self, id: RunId) -> String {
        self.named(Shard::of_run(id), &format!("log-order:{id}"))
    }

    pub(super) fn fire(&self, id: FireId) -> String {
        self.named(Shard::of_fire(id), &format!("fire:{id}"))
    }

    /// A task's runs that have not ended, by their minute.
    pub(super) fn open_of(&self, id: TaskId) -> String {
        self.named(Shard::of_task(id), &format!("open:{id}"))
    }

    /// A task's runs that have, by their minute.
    pub(super) fn ended_of(&self, id: TaskId) -> String {
        self.named(Shard::of_task(id), &format!("ended:{id}"))
    }

    /// Those of the open ones that wait for others, in the order of their turn.
    pub(super) fn waiting_of(&self, id: TaskId) -> String {
        self.named(Shard::of_task(id), &format!("waiting:{id}"))
    }

    /// A task's fires, by their minute.
    pub(super) fn fires_of(&self, id: TaskId) -> String {
        self.named(Shard::of_task(id), &format!("fires:{id}"))
    }
}

/// A name as it is compared: without regard to ASCII case.
pub(super) fn folded(name: &str) -> String {
    name.to_ascii_lowercase()
}
