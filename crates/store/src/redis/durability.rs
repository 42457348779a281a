//! How many replicas must have a commit before it is acknowledged.
//!
//! A master answers before its replicas have a write; one of them that takes over may not have it. So a `WAIT` follows
//! each group of commits on their connection. Too few answers in time: nobody knows whether the commits stay, and the
//! callers get [`crate::StoreError::Unavailable`].

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use redis::{Cmd, Value, cmd};

use super::keys::Shard;

/// How long replicas may take to have a commit, in milliseconds.
const WITHIN_MS: u32 = 500;

/// The code of the answer that a commit gets whose replicas did not say in time that they have it.
pub(super) const UNCONFIRMED: &str = "UNCONFIRMED";

/// What a commit waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wait {
    /// There are no replicas.
    Nothing,
    /// So many replicas have it in memory.
    Memory(u32),
    /// So many replicas have it on their disks.
    Disk(u32),
}

impl Wait {
    /// The command that waits for what its connection wrote last.
    pub(super) fn command(self) -> Option<Cmd> {
        let mut command = match self {
            Wait::Nothing => return None,
            Wait::Memory(_) => cmd("WAIT"),
            Wait::Disk(_) => cmd("WAITAOF"),
        };
        match self {
            Wait::Nothing => {}
            Wait::Memory(replicas) => drop(command.arg(replicas)),
            // The master syncs always, before it answers.
            Wait::Disk(replicas) => drop(command.arg(0).arg(replicas)),
        }
        command.arg(WITHIN_MS);
        Some(command)
    }

    /// Whether the answer to the command says that enough replicas have it.
    pub(super) fn is_met(self, answer: &Value) -> bool {
        match (self, answer) {
            (Wait::Nothing, _) => true,
            (Wait::Memory(wanted), Value::Int(had)) => *had >= i64::from(wanted),
            (Wait::Disk(wanted), Value::Array(had)) => {
                matches!(had.as_slice(), [_, Value::Int(had)] if *had >= i64::from(wanted))
            }
            _ => false,
        }
    }
}

/// The answer of a commit whose replicas did not say in time that they have it.
pub(super) fn unconfirmed() -> Value {
    let line = format!("-{UNCONFIRMED} too few replicas\r\n");
    redis::parse_redis_value(line.as_bytes()).expect("that is an error as Redis writes it")
}

/// What is known of the servers' durability: looked at when the store is opened, and all the time.
pub(super) struct Durability {
    /// By shard: twice the replicas, and 1 more where they are to have it on their disks.
    waits: Vec<AtomicU32>,
    /// What is weaker than it must be.
    weak: Mutex<Option<String>>,
}

impl Durability {
    pub(super) fn new() -> Durability {
        let waits = (0..=Shard::COUNT).map(|_| AtomicU32::new(0)).collect();
        Durability { waits, weak: Mutex::default() }
    }

    /// What commits of the shard wait for.
    pub(super) fn wait(&self, shard: Shard) -> Wait {
        match self.waits[shard.number()].load(Ordering::Relaxed) {
            0 | 1 => Wait::Nothing,
            coded if coded % 2 == 1 => Wait::Disk(coded / 2),
            coded => Wait::Memory(coded / 2),
        }
    }

    pub(super) fn set_wait(&self, shard: Shard, wait: Wait) {
        let coded = match wait {
            Wait::Nothing => 0,
            Wait::Memory(replicas) => replicas * 2,
            Wait::Disk(replicas) => replicas * 2 + 1,
        };
        self.waits[shard.number()].store(coded, Ordering::Relaxed);
    }

    /// The same of all shards, in words. None: there are no replicas.
    pub(super) fn waits_for(&self) -> Option<String> {
        let waits: BTreeSet<Wait> = Shard::all().map(|shard| self.wait(shard)).collect();
        let words = waits.into_iter().map(|wait| match wait {
            Wait::Nothing => "no replica".to_owned(),
            Wait::Memory(count) => format!("{count} of the replicas"),
            Wait::Disk(count) => format!("the disks of {count} of the replicas"),
        });
        let words: Vec<String> = words.collect();
        (words != ["no replica"]).then(|| words.join(" or, by the shard, "))
    }

    pub(super) fn weak(&self) -> Option<String> {
        self.weak.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Gives what was known before.
    pub(super) fn set_weak(&self, weak: Option<String>) -> Option<String> {
        std::mem::replace(&mut *self.weak.lock().unwrap_or_else(PoisonError::into_inner), weak)
    }
}
