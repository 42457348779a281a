//! The members of the fleet, and which scheduler leads.

use std::time::Duration;

use async_trait::async_trait;
use isochrone_domain::EpochMillis;
use serde::{Deserialize, Serialize};

use super::RedisStore;
use super::batch::{Answers, Batch};
use super::commit::Commit;
use super::keys::Shard;
use super::records::{from_json, json, readable};
use crate::{FleetStore, Leadership, Member, Present, Result, Scope, Tries};

const HOME: Shard = Shard::COMMON;

/// The field of the leader's key that has it.
const LEADER: &str = "b";

#[derive(Serialize, Deserialize)]
struct Leader {
    name: String,
    term: u64,
    until: EpochMillis,
    /// How long its lease was when it was given.
    length: Duration,
}

#[derive(Serialize, Deserialize)]
struct Heard {
    member: Member,
    seen: EpochMillis,
    forgotten: EpochMillis,
}

#[async_trait]
impl FleetStore for RedisStore {
    fn weak_durability(&self) -> Option<String> {
        self.durability.weak()
    }

    fn waits_for(&self) -> Option<String> {
        self.durability.waits_for()
    }

    async fn confirm(&self, what: Scope) -> Result<()> {
        self.confirm_shard(match what {
            Scope::Task(id) => Shard::of_task(id),
            Scope::Run(id) => Shard::of_run(id),
            Scope::Common => Shard::COMMON,
        })
        .await
    }

    async fn lead(&self, name: &str, length: Duration) -> Result<Leadership> {
        let mut tries = Tries::default();
        loop {
            let (found, now) = self.leader().await?;
            let leader = found.as_deref().map(from_json::<Leader>).transpose()?;
            let term = match leader {
                None => 1,
                Some(leader) if leader.name == name => leader.term,
                // A lease that ends later than it would, given now, was given before the clock was set back.
                Some(Leader { term, until, length, .. }) if until <= now || until > now + length => term + 1,
                Some(Leader { name, until, .. }) => return Ok(Leadership::Following { leader: name, until }),
            };
            let leads = Leader { name: name.to_owned(), term, until: now + length, length };
            if self.set_leader(found.as_deref(), &leads).await? {
                return Ok(Leadership::Leading { term });
            }
            tries.again().await?;
        }
    }

    async fn resign(&self, name: &str) -> Result<()> {
        let mut tries = Tries::default();
        loop {
            let (found, _) = self.leader().await?;
            let leader = found.as_deref().map(from_json::<Leader>).transpose()?;
            let Some(leader) = leader.filter(|leader| leader.name == name) else { return Ok(()) };
            let gone = Leader { until: EpochMillis(0), ..leader };
            if self.set_leader(found.as_deref(), &gone).await? {
                return Ok(());
            }
            tries.again().await?;
        }
    }

    async fn announce(&self, member: &Member, remembered: Duration) -> Result<()> {
        let mut batch = Batch::default();
        batch.add(HOME, ["HGETALL", &self.members_key()]);
        batch.add_time(HOME);
        let mut answers = self.ask(batch).await?;
        let fields = answers.members()?;
        let now = answers.now(self)?;
        let mut commit = Commit::new(HOME);
        for (name, body) in pairs(&fields) {
            // What can't be read was said by a newer version, and is that one's to forget.
            let over = from_json::<Heard>(body).is_ok_and(|heard| heard.forgotten <= now);
            if over && name != member.name {
                commit.check_is(&self.members_key(), &name, String::from_utf8_lossy(body));
                commit.unset(&self.members_key(), &[&name]);
            }
        }
        let heard = Heard { member: member.clone(), seen: now, forgotten: now + remembered };
        let announce = |commit: &mut Commit| {
            commit.set(&self.members_key(), &[(&member.name, &json(&heard))]);
        };
        announce(&mut commit);
        if !self.commit_unreplicated(commit).await? {
            // One that was to be forgotten spoke again; another will forget the others.
            let mut commit = Commit::new(HOME);
            announce(&mut commit);
            self.commit_unreplicated(commit).await?;
        }
        Ok(())
    }

    async fn depart(&self, name: &str) -> Result<()> {
        let mut commit = Commit::new(HOME);
        commit.unset(&self.members_key(), &[name]);
        self.commit_unreplicated(commit).await.map(drop)
    }

    async fn members(&self) -> Result<Vec<Present>> {
        let mut batch = Batch::default();
        batch.add(HOME, ["HGETALL", &self.members_key()]);
        self.ask_leader(&mut batch);
        let mut answers = self.ask(batch).await?;
        let fields = answers.members()?;
        let (leader, now) = self.take_leader(&mut answers)?;
        let leader = leader.as_deref().map(from_json::<Leader>).transpose()?;
        let leader = leader.filter(|leader| leader.until > now).map(|leader| leader.name);
        let mut present = Vec::new();
        for (name, body) in pairs(&fields) {
            let heard = readable(from_json::<Heard>(body), "member", &name)?;
            present.extend(heard.filter(|heard| heard.forgotten > now).map(|heard| Present {
                leads: leader.as_ref() == Some(&heard.member.name),
                member: heard.member,
                seen: heard.seen,
            }));
        }
        present.sort_by(|a, b| a.member.name.cmp(&b.member.name));
        Ok(present)
    }
}

fn pairs(fields: &[Vec<u8>]) -> impl Iterator<Item = (String, &[u8])> {
    fields.chunks_exact(2).map(|pair| (String::from_utf8_lossy(&pair[0]).into_owned(), pair[1].as_slice()))
}

impl RedisStore {
    async fn leader(&self) -> Result<(Option<Vec<u8>>, EpochMillis)> {
        let mut batch = Batch::default();
        self.ask_leader(&mut batch);
        self.take_leader(&mut self.ask(batch).await?)
    }

    fn ask_leader(&self, batch: &mut Batch) {
        batch.add(HOME, ["HGET", &self.leader_key(), LEADER]);
        batch.add_time(HOME);
    }

    fn take_leader(&self, answers: &mut Answers) -> Result<(Option<Vec<u8>>, EpochMillis)> {
        Ok((answers.bytes()?, answers.now(self)?))
    }

    /// False: another was faster.
    async fn set_leader(&self, old: Option<&[u8]>, new: &Leader) -> Result<bool> {
        let key = self.leader_key();
        let mut commit = Commit::new(HOME);
        commit.check_same(&key, LEADER, old);
        commit.set(&key, &[(LEADER, &json(new))]);
        self.commit(commit).await
    }

    fn leader_key(&self) -> String {
        self.keys.named(HOME, "leader")
    }

    fn members_key(&self) -> String {
        self.keys.named(HOME, "members")
    }
}
