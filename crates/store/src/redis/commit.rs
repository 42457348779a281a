//! The one way to write: an atomic step of checks and commands within a shard.
//!
//! A step reads, decides in Rust, and commits what it decided together with checks that what it read
//! is still so. If it is not, it reads again.

use std::fmt::Display;
use std::io::Write;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use redis::{Cmd, Script, Value};

use super::RedisStore;
use super::batch::{Answers, Batch};
use super::chain::Noted;
use super::durability::{Durability, Wait};
use super::keys::Shard;
use super::link::Link;
use crate::Result;

static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(TEXT));

const TEXT: &str = include_str!("commit.lua");

/// Arguments of one command at most: Lua hands over no more than about 8,000 at once.
const WORDS: usize = 1_000;

/// Room for two numbers.
const NUMBERS: usize = 40;

/// A key that a step named lately is not named again: so many keys are looked through for it.
const LATELY: usize = 16;

/// An atomic step, and maybe an entry of the audit log: if its checks hold, its commands are carried out in order; else nothing is.
#[derive(Clone)]
pub(super) struct Commit {
    shard: Shard,
    /// The entry of the audit log that tells of it.
    noted: Option<Noted>,
    /// Some may stand there twice.
    keys: Vec<String>,
    checks: usize,
    check_words: Words,
    command_words: Words,
}

/// Many words in one piece of memory.
#[derive(Clone, Default)]
struct Words {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Words {
    fn push(&mut self, word: &[u8]) {
        self.bytes.extend_from_slice(word);
        self.ends.push(self.bytes.len());
    }

    fn push_text(&mut self, word: impl Display) {
        write!(self.bytes, "{word}").expect("memory takes every byte");
        self.ends.push(self.bytes.len());
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let begins = std::iter::once(&0).chain(&self.ends);
        begins.zip(&self.ends).map(|(begin, end)| &self.bytes[*begin..*end])
    }
}

impl Commit {
    pub(super) fn new(shard: Shard) -> Commit {
        Commit {
            shard,
            noted: None,
            keys: Vec::new(),
            checks: 0,
            check_words: Words::default(),
            command_words: Words::default(),
        }
    }

    pub(super) fn shard(&self) -> Shard {
        self.shard
    }

    /// How many checks it has: the last one's number.
    pub(super) fn checks(&self) -> i64 {
        self.checks as i64
    }

    /// Adds an entry to the audit log.
    pub(super) fn note(&mut self, noted: Noted) {
        self.noted = Some(noted);
    }

    /// A hash's field has this value.
    pub(super) fn check_is(&mut self, key: &str, field: &str, value: impl Display) {
        self.check("is", key, field, value);
    }

    /// A hash's field has this value, or is not there.
    pub(super) fn check_same(&mut self, key: &str, field: &str, value: Option<&[u8]>) {
        let Some(value) = value else { return self.check_absent(key, field) };
        let key = self.number(key);
        self.checks += 1;
        self.check_words.push(b"is");
        self.check_words.push_text(key);
        self.check_words.push(field.as_bytes());
        self.check_words.push(value);
    }

    /// A hash does not have this field.
    pub(super) fn check_absent(&mut self, key: &str, field: &str) {
        self.check("absent", key, field, "");
    }

    /// A sorted set has this member, with this score.
    pub(super) fn check_score(&mut self, key: &str, member: &str, score: f64) {
        self.check("score", key, member, score);
    }

    /// A sorted set has so many members.
    pub(super) fn check_size(&mut self, key: &str, size: u64) {
        self.check("size", key, size, "");
    }

    /// So many of a task's open runs do not wait.
    pub(super) fn check_ahead(&mut self, open: &str, waiting: &str, ahead: u64) {
        let waiting = self.number(waiting);
        self.check("ahead", open, waiting, ahead);
    }

    /// So many, or more, of a task's open runs do not wait.
    pub(super) fn check_ahead_at_least(&mut self, open: &str, waiting: &str, ahead: u64) {
        let waiting = self.number(waiting);
        self.check("ahead+", open, waiting, ahead);
    }

    /// Sets fields of a hash.
    pub(super) fn set(&mut self, key: &str, fields: &[(&str, &[u8])]) {
        for fields in fields.chunks(WORDS / 2) {
            let words: Vec<&[u8]> =
                fields.iter().flat_map(|(name, value)| [name.as_bytes(), *value]).collect();
            self.command("HSET", key, &words);
        }
    }

    /// Sets a field of a hash, unless it is there.
    pub(super) fn set_new(&mut self, key: &str, field: &str, value: &[u8]) {
        self.command("HSETNX", key, &[field.as_bytes(), value]);
    }

    /// Removes fields of a hash.
    pub(super) fn unset(&mut self, key: &str, fields: &[&str]) {
        for fields in fields.chunks(WORDS) {
            let words: Vec<&[u8]> = fields.iter().map(|field| field.as_bytes()).collect();
            self.command("HDEL", key, &words);
        }
    }

    /// Puts a member into a sorted set, or moves it there.
    pub(super) fn put(&mut self, key: &str, score: impl Display, member: &str) {
        self.command("ZADD", key, &[score.to_string().as_bytes(), member.as_bytes()]);
    }

    /// Puts a member into a sorted set under the next number, which is kept in a hash's field and is at least `least`.
    pub(super) fn put_next(&mut self, key: &str, member: &str, counter: (&str, &str), least: u64) {
        let (counter, field) = (self.number(counter.0).to_string(), counter.1);
        let least = least.to_string();
        self.command(
            "PUTNEXT",
            key,
            &[member.as_bytes(), counter.as_bytes(), field.as_bytes(), least.as_bytes()],
        );
    }

    /// Removes a member of a sorted set.
    pub(super) fn take(&mut self, key: &str, member: &str) {
        self.command("ZREM", key, &[member.as_bytes()]);
    }

    /// Removes a member of a sorted set, unless another sorted set has any.
    pub(super) fn take_unless(&mut self, key: &str, member: &str, other: &str) {
        let other = self.number(other).to_string();
        self.command("TAKEUNLESS", key, &[member.as_bytes(), other.as_bytes()]);
    }

    /// Removes the members of a sorted set up to this score.
    pub(super) fn take_until(&mut self, key: &str, score: impl Display) {
        self.command("ZREMRANGEBYSCORE", key, &[b"-inf", score.to_string().as_bytes()]);
    }

    /// Keeps a value for so long.
    pub(super) fn keep_for(&mut self, key: &str, value: &[u8], real: Duration) {
        let ms = real.as_millis().max(1).to_string();
        self.command("SET", key, &[value, b"PX", ms.as_bytes()]);
    }

    /// Lets Redis forget a key after so long.
    pub(super) fn expire(&mut self, key: &str, real: Duration) {
        let ms = real.as_millis().max(1).to_string();
        self.command("PEXPIRE", key, &[ms.as_bytes()]);
    }

    /// Keeps a value.
    pub(super) fn keep(&mut self, key: &str, value: &[u8]) {
        self.command("SET", key, &[value]);
    }

    /// Removes a key with all that it holds.
    pub(super) fn delete(&mut self, key: &str) {
        self.command("UNLINK", key, &[]);
    }

    fn check(&mut self, kind: &str, key: &str, x: impl Display, y: impl Display) {
        let key = self.number(key);
        self.checks += 1;
        self.check_words.push(kind.as_bytes());
        self.check_words.push_text(key);
        self.check_words.push_text(x);
        self.check_words.push_text(y);
    }

    fn command(&mut self, name: &str, key: &str, arguments: &[&[u8]]) {
        let key = self.number(key);
        self.command_words.push_text(arguments.len() + 2);
        self.command_words.push(name.as_bytes());
        self.command_words.push_text(key);
        for argument in arguments {
            self.command_words.push(argument);
        }
    }

    /// A key's place among the step's keys, as Lua counts.
    fn number(&mut self, key: &str) -> usize {
        let before = self.keys.len().saturating_sub(LATELY);
        if let Some(place) = self.keys[before..].iter().position(|known| known == key) {
            return before + place + 1;
        }
        self.keys.push(key.to_owned());
        self.keys.len()
    }

    fn words(&self, name: &str, script: &str) -> Cmd {
        let words = [&self.check_words, &self.command_words];
        let keys = self.keys.iter().map(String::len).sum::<usize>();
        let bytes = words.iter().map(|words| words.bytes.len()).sum::<usize>() + keys;
        let count = words.iter().map(|words| words.ends.len()).sum::<usize>() + self.keys.len();
        let mut command = Cmd::with_capacity(count + 4, bytes + name.len() + script.len() + NUMBERS);
        command.arg(name).arg(script);
        command.arg(self.keys.len()).arg(&self.keys).arg(self.checks);
        for word in self.check_words.iter().chain(self.command_words.iter()) {
            command.arg(word);
        }
        command
    }

    fn by_hash(&self) -> Cmd {
        self.words("EVALSHA", SCRIPT.get_hash())
    }

    fn by_text(&self) -> Cmd {
        self.words("EVAL", TEXT)
    }
}

impl RedisStore {
    /// Whether the step's checks held, and it is done.
    pub(super) async fn commit(&self, mut commit: Commit) -> Result<bool> {
        match commit.noted.take() {
            Some(noted) => self.commit_noted(commit, &noted).await,
            None => Ok(self.gather.commit(commit).await? == 0),
        }
    }

    /// A step that nobody misses for long if the server that has it is lost: no replica is waited for.
    pub(super) async fn commit_unreplicated(&self, commit: Commit) -> Result<bool> {
        Ok(self.gather_unreplicated.commit(commit).await? == 0)
    }

    /// Something that was read as done may be on its master only, so that it is not said before this: enough replicas
    /// have what the shard has.
    pub(super) async fn confirm_shard(&self, shard: Shard) -> Result<()> {
        if self.durability.wait(shard) == Wait::Nothing {
            return Ok(());
        }
        let mut commit = Commit::new(shard);
        // It waits for what its own connection wrote.
        commit.set(&self.keys.named(shard, "confirmed"), &[("", b"1")]);
        self.commit(commit).await.map(drop)
    }

    /// Steps that go together, each atomic by itself; those of one shard in order. One answer each.
    ///
    /// # Panics
    /// If one of them has an entry for the audit log: its place depends on the ones before.
    pub(super) async fn commit_all(&self, commits: &[Commit]) -> Result<Vec<Result<bool>>> {
        self.commit_some(&self.commits, Some(&self.durability), commits).await
    }

    /// The same for steps that nobody misses for long if the server that has them is lost.
    pub(super) async fn commit_all_unreplicated(&self, commits: &[Commit]) -> Result<Vec<Result<bool>>> {
        self.commit_some(&self.link, None, commits).await
    }

    async fn commit_some(
        &self,
        link: &Link,
        durability: Option<&Arc<Durability>>,
        commits: &[Commit],
    ) -> Result<Vec<Result<bool>>> {
        assert!(
            commits.iter().all(|commit| commit.noted.is_none()),
            "people's actions are committed one by one"
        );
        let answers = commit_together(link, durability, commits).await?;
        Ok(answers.into_iter().map(|answer| answer.map(|failed| failed == 0)).collect())
    }
}

/// Steps that go together, each atomic by itself; those of one shard in order. One answer each: 0, or the number
/// of the first check that did not hold.
///
/// `durability`: what is waited for before a step is said to be done.
pub(super) async fn commit_together(
    link: &Link,
    durability: Option<&Arc<Durability>>,
    commits: &[Commit],
) -> Result<Vec<Result<i64>>> {
    let mut batch = Batch::durable(durability.cloned());
    for commit in commits {
        batch.push(commit.shard, commit.by_hash());
    }
    let mut values = link.values(batch).await?;
    // A server that was started anew, or took over, does not know the script; nothing was done.
    let unknown: Vec<usize> = (0..values.len()).filter(|place| is_unknown(&values[*place])).collect();
    if !unknown.is_empty() {
        let mut again = Batch::durable(durability.cloned());
        for place in &unknown {
            again.push(commits[*place].shard, commits[*place].by_text());
        }
        for (place, value) in unknown.into_iter().zip(link.values(again).await?) {
            values[place] = value;
        }
    }
    let mut answers = Answers::new(values, 0, 0);
    Ok(commits.iter().map(|_| answers.int()).collect())
}

fn is_unknown(value: &Value) -> bool {
    matches!(value, Value::ServerError(error) if error.code() == "NOSCRIPT")
}

/// Whether the command is a step.
#[cfg(feature = "simulation")]
pub(super) fn is_commit(command: &Cmd) -> bool {
    matches!(command.args_iter().next(), Some(redis::Arg::Simple(b"EVALSHA" | b"EVAL")))
}
