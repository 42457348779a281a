//! The audit log's chains: one a shard, so that an entry is written in the step that it tells of.
//!
//! An entry is a member of its shard's index: a stamp that orders those of one moment, and JSON of the entry
//! with its place. The chain's end is checked and moved on by the same step. This process writes one such step
//! a shard at a time and remembers where the chain ends, so that usually none is tried twice.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::Mutex;

use super::RedisStore;
use super::batch::Batch;
use super::commit::Commit;
use super::keys::{Index, Shard};
use super::lists::Span;
use super::records::{from_json, json};
use crate::chain::{AuditChain, ChainEnd, Checkpoint, Link, StoredEntry};
use crate::{Result, Tries};

/// The field of a chain's key that has its end.
const END: &str = "end";
/// The field that has its checkpoint.
const CHECKPOINT: &str = "checkpoint";

/// The length of a stamp.
pub(super) const STAMP: usize = 20;

/// Entries that are forgotten in one step.
const GO: usize = 200;

/// An entry as it stands in its shard's index, behind its stamp.
#[derive(Serialize, Deserialize)]
struct Written<'a> {
    #[serde(flatten)]
    link: Link,
    #[serde(borrow)]
    entry: &'a RawValue,
}

/// An entry with its place, as far as a member can be read.
pub(super) fn read(member: &[u8]) -> (&[u8], StoredEntry) {
    let (stamp, body) = member.split_at_checked(STAMP).unwrap_or((member, &[]));
    let entry = match serde_json::from_slice::<Written<'_>>(body) {
        Ok(Written { link, entry }) => StoredEntry { link: Some(link), text: entry.get().to_owned() },
        Err(_) => StoredEntry { link: None, text: String::from_utf8_lossy(body).into_owned() },
    };
    (stamp, entry)
}

/// An entry that a step writes, as text, and when it was.
#[derive(Clone)]
pub(super) struct Noted {
    pub(super) at: i64,
    pub(super) stamp: String,
    pub(super) text: String,
}

/// Where the chains end, as this process wrote or read it last.
#[derive(Default)]
pub(super) struct Ends(Vec<Mutex<Option<Vec<u8>>>>);

impl Ends {
    pub(super) fn new() -> Ends {
        Ends((0..=Shard::COUNT).map(|_| Mutex::new(None)).collect())
    }
}

impl RedisStore {
    /// Does a step that writes an entry, too. Whether its checks held, and it is done.
    pub(super) async fn commit_noted(&self, commit: Commit, noted: &Noted) -> Result<bool> {
        let (shard, key) = (commit.shard(), self.chain_key(commit.shard()));
        let mut known = self.chain_ends.0[shard.number()].lock().await;
        let mut tries = Tries::default();
        loop {
            // Taken: if the answer is lost, nobody knows where the chain ends.
            let end = match known.take() {
                Some(end) => Some(end),
                None => self.chain_field(shard, END).await?,
            };
            let before = end.as_deref().map_or(Ok(ChainEnd::EMPTY), from_json)?;
            let link = self.audit_key.link(shard.number(), before, &noted.text);
            let entry: &RawValue = serde_json::from_str(&noted.text).expect("the entry was written as JSON");
            let written = json(&Written { link, entry });
            let next = json(&ChainEnd { number: link.number, digest: link.digest });
            let mut step = commit.clone();
            step.check_same(&key, END, end.as_deref());
            let last = step.checks();
            step.set(&key, &[(END, &next)]);
            let member = format!("{}{}", noted.stamp, String::from_utf8_lossy(&written));
            step.put(&self.keys.index(shard, Index::Audit), noted.at, &member);
            match self.gather.commit(step).await? {
                0 => {
                    *known = Some(next);
                    return Ok(true);
                }
                failed if failed == last => tries.again().await?,
                _ => {
                    *known = end;
                    return Ok(false);
                }
            }
        }
    }

    async fn chain_field(&self, shard: Shard, field: &str) -> Result<Option<Vec<u8>>> {
        let mut batch = Batch::default();
        batch.add(shard, ["HGET", &self.chain_key(shard), field]);
        self.ask(batch).await?.bytes()
    }

    /// Where all chains end, those of the tasks' shards first.
    pub(super) async fn chain_ends(&self) -> Result<Vec<ChainEnd>> {
        let mut batch = Batch::default();
        for shard in Shard::all() {
            batch.add(shard, ["HGET", &self.chain_key(shard), END]);
        }
        let mut answers = self.ask(batch).await?;
        let mut ends = Vec::new();
        for _ in Shard::all() {
            ends.push(answers.bytes()?.as_deref().map_or(Ok(ChainEnd::EMPTY), from_json)?);
        }
        Ok(ends)
    }

    /// A chain as it is kept. Read as one transaction: it goes on meanwhile.
    pub(super) async fn chain(&self, index: usize) -> Result<AuditChain> {
        let Some(shard) = Shard::all().nth(index) else {
            return Ok(AuditChain { index, checkpoint: None, entries: Vec::new(), head: ChainEnd::EMPTY });
        };
        let key = self.chain_key(shard);
        let mut tries = Tries::default();
        loop {
            let mut batch = Batch::together();
            batch.add(shard, ["HMGET", &key, END, CHECKPOINT]);
            batch.add(shard, ["ZRANGE", &self.keys.index(shard, Index::Audit), "0", "-1"]);
            batch.add(shard, ["HMGET", &key, END, CHECKPOINT]);
            let mut answers = self.ask(batch).await?;
            let [end, checkpoint] = answers.fields()?;
            let entries = answers.members()?.iter().map(|member| read(member).1).collect();
            if answers.fields()? == [end.clone(), checkpoint.clone()] {
                let head = end.as_deref().map_or(Ok(ChainEnd::EMPTY), from_json)?;
                let checkpoint = checkpoint.as_deref().map(from_json).transpose()?;
                return Ok(AuditChain { index, checkpoint, entries, head });
            }
            tries.again().await?;
        }
    }

    /// Forgets the beginnings of all chains, as far as they lie before a moment, and leaves checkpoints.
    pub(super) async fn trim_chains(&self, before: i64, limit: u64) -> Result<u64> {
        let mut forgotten = 0;
        for shard in Shard::all() {
            while forgotten < limit {
                let some = self.trim_chain(shard, before, limit - forgotten).await?;
                forgotten += some;
                if some == 0 {
                    break;
                }
            }
        }
        Ok(forgotten)
    }

    async fn trim_chain(&self, shard: Shard, before: i64, limit: u64) -> Result<u64> {
        let (key, index) = (self.chain_key(shard), self.keys.index(shard, Index::Audit));
        let Span { min, max } = Span::before(before);
        let mut batch = Batch::default();
        batch.add(shard, ["HGET", &key, CHECKPOINT]);
        batch.add(shard, ["ZRANGEBYSCORE", &index, &min, &max, "LIMIT", "0", &(2 * GO).to_string()]);
        let mut answers = self.ask(batch).await?;
        let old = answers.bytes()?;
        let checkpoint: Option<Checkpoint> = old.as_deref().map(from_json).transpose()?;
        let mut members: Vec<(Link, Vec<u8>)> = Vec::new();
        for member in answers.members()? {
            members.extend(read(&member).1.link.map(|link| (link, member)));
        }
        members.sort_by_key(|(link, _)| link.number);
        // What stands behind one that is to be kept is kept, too: clocks differ.
        let mut end = checkpoint.map_or(ChainEnd::EMPTY, |checkpoint| checkpoint.end);
        let (mut step, mut count) = (Commit::new(shard), 0);
        for (link, member) in members.iter().take(GO.min(usize::try_from(limit).unwrap_or(GO))) {
            if link.number != end.number + 1 {
                break;
            }
            end = ChainEnd { number: link.number, digest: link.digest };
            step.take(&index, &String::from_utf8_lossy(member));
            count += 1;
        }
        if count == 0 {
            return Ok(0);
        }
        step.check_same(&key, CHECKPOINT, old.as_deref());
        step.set(&key, &[(CHECKPOINT, &json(&self.audit_key.checkpoint(shard.number(), end)))]);
        // Not done: another is at it.
        Ok(if self.commit(step).await? { count } else { 0 })
    }

    fn chain_key(&self, shard: Shard) -> String {
        self.keys.named(shard, "audit-chain")
    }
}
