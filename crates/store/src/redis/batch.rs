//! Commands that go to Redis together, and their answers.

use std::sync::Arc;

use isochrone_domain::EpochMillis;
use redis::{Cmd, Value, cmd};

use super::RedisStore;
use super::durability::{Durability, Wait};
use super::keys::Shard;
use crate::{Result, StoreError};

/// Commands of any shards. They are no atomic step; those of one shard are carried out in order.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) commands: Vec<(Shard, Cmd)>,
    /// On one server they are one transaction, so that they share a sync of its disk.
    pub(super) together: bool,
    /// After them it is waited for replicas to have them, as it says.
    pub(super) durability: Option<Arc<Durability>>,
}

impl Batch {
    /// Commands that write.
    pub(super) fn together() -> Batch {
        Batch { together: true, ..Batch::default() }
    }

    /// Commits, which are to be durable before they are answered.
    pub(super) fn durable(durability: Option<Arc<Durability>>) -> Batch {
        Batch { durability, ..Batch::together() }
    }

    /// For what it is waited after commands of the shard.
    pub(super) fn wait(&self, shard: Shard) -> Wait {
        self.durability.as_ref().map_or(Wait::Nothing, |durability| durability.wait(shard))
    }

    /// A command by its words; the first is its name, the second its key.
    pub(super) fn add<const N: usize>(&mut self, shard: Shard, words: [&str; N]) {
        let mut command = cmd(words[0]);
        for word in &words[1..] {
            command.arg(*word);
        }
        self.commands.push((shard, command));
    }

    /// What the clock of the shard's server shows.
    pub(super) fn add_time(&mut self, shard: Shard) {
        self.commands.push((shard, cmd("TIME")));
    }

    pub(super) fn push(&mut self, shard: Shard, command: Cmd) {
        self.commands.push((shard, command));
    }
}

/// A batch's answers, to be taken in the order of its commands.
pub(super) struct Answers {
    values: std::vec::IntoIter<Value>,
    /// When the batch was sent, by this machine's clock, and how long it took.
    sent_ms: i64,
    took_ms: i64,
}

impl Answers {
    pub(super) fn new(values: Vec<Value>, sent_ms: i64, took_ms: i64) -> Answers {
        Answers { values: values.into_iter(), sent_ms, took_ms }
    }

    /// The next answer.
    pub(super) fn value(&mut self) -> Result<Value> {
        match self.values.next() {
            Some(Value::ServerError(error)) => Err(error.into()),
            Some(value) => Ok(value),
            None => Err(unexpected()),
        }
    }

    pub(super) fn int(&mut self) -> Result<i64> {
        match self.value()? {
            Value::Int(number) => Ok(number),
            _ => Err(unexpected()),
        }
    }

    pub(super) fn count(&mut self) -> Result<u64> {
        self.int().map(|count| count.max(0) as u64)
    }

    /// A text, if there is one.
    pub(super) fn bytes(&mut self) -> Result<Option<Vec<u8>>> {
        bytes(self.value()?)
    }

    /// The fields that were asked for.
    pub(super) fn fields<const N: usize>(&mut self) -> Result<[Option<Vec<u8>>; N]> {
        <[_; N]>::try_from(self.texts()?).map_err(|_| unexpected())
    }

    pub(super) fn list(&mut self) -> Result<Vec<Value>> {
        match self.value()? {
            Value::Array(values) => Ok(values),
            Value::Nil => Ok(Vec::new()),
            _ => Err(unexpected()),
        }
    }

    /// Texts, where there is one.
    pub(super) fn texts(&mut self) -> Result<Vec<Option<Vec<u8>>>> {
        self.list()?.into_iter().map(bytes).collect()
    }

    /// Members of a set.
    pub(super) fn members(&mut self) -> Result<Vec<Vec<u8>>> {
        self.list()?.into_iter().map(|value| bytes(value)?.ok_or_else(unexpected)).collect()
    }

    /// Members of a sorted set with their scores.
    pub(super) fn scored(&mut self) -> Result<Vec<(Vec<u8>, f64)>> {
        let mut values = self.members()?.into_iter();
        let mut scored = Vec::with_capacity(values.len() / 2);
        while let Some(member) = values.next() {
            let score = values.next().as_deref().and_then(parse).ok_or_else(unexpected)?;
            scored.push((member, score));
        }
        Ok(scored)
    }

    /// What the store's clock showed at its server.
    pub(super) fn now(&mut self, store: &RedisStore) -> Result<EpochMillis> {
        Ok(store.clock.at_real(self.compared_time(store)?))
    }

    /// The world's time as the store's server has it, in milliseconds since 1970 UTC.
    pub(super) fn compared_time(&mut self, store: &RedisStore) -> Result<i64> {
        let real_ms = self.time()?;
        store.compare_clocks(real_ms, self.sent_ms, self.took_ms);
        Ok(real_ms)
    }

    /// The same as any server has it, in milliseconds since 1970 UTC.
    pub(super) fn time(&mut self) -> Result<i64> {
        let time = self.members()?;
        let [seconds, micros] = time.as_slice() else { return Err(unexpected()) };
        let parts = parse::<i64>(seconds).zip(parse::<i64>(micros));
        parts.map(|(seconds, micros)| seconds * 1_000 + micros / 1_000).ok_or_else(unexpected)
    }
}

fn bytes(value: Value) -> Result<Option<Vec<u8>>> {
    match value {
        Value::BulkString(bytes) => Ok(Some(bytes)),
        Value::SimpleString(text) => Ok(Some(text.into_bytes())),
        Value::Nil => Ok(None),
        Value::ServerError(error) => Err(error.into()),
        _ => Err(unexpected()),
    }
}

/// A number, or another thing that is written in a text.
pub(super) fn parse<T: std::str::FromStr>(bytes: &[u8]) -> Option<T> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

fn unexpected() -> StoreError {
    StoreError::Unavailable("Redis gave an answer of another kind than was asked for".to_owned())
}
