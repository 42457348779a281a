//! Who works on this store: the members of the fleet, and which scheduler leads.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use isochrone_domain::{ArtifactsId, EpochMillis, RunId, TaskId, TaskType};
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::seal::KeyId;

/// What a process of the fleet does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Fires what is due while it leads, and stands by while another does.
    Scheduler,
    /// Executes runs.
    Worker,
    /// Serves the REST API.
    Portal,
}

/// A process of the fleet, as it tells of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// Unique to the process.
    pub name: String,
    /// What it does.
    pub roles: Vec<Role>,
    /// Of its program.
    pub version: String,
    /// Its machine.
    pub host: String,
    /// Its process there.
    pub pid: u32,
    /// When it began.
    pub since: EpochMillis,
    /// Runs that it can carry at a time, by type.
    pub slots: BTreeMap<TaskType, u64>,
    /// Runs that it carries.
    pub runs: Vec<RunId>,
    /// When the last heartbeat was sent that reached it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<EpochMillis>,
    /// The keys that it can open sealed values with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<KeyId>,
    /// The one that it seals with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seals_with: Option<KeyId>,
    /// The folder that it keeps artifacts in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifacts: Option<ArtifactsId>,
}

/// A member that was heard of lately.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Present {
    /// What it said of itself.
    pub member: Member,
    /// When it did.
    pub seen: EpochMillis,
    /// Whether it leads.
    pub leads: bool,
}

/// The answer to who asks to lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leadership {
    /// The asker leads until the lease ends that it asked for.
    Leading {
        /// Grows with each change of leaders.
        term: u64,
    },
    /// Another does.
    Following {
        /// Who.
        leader: String,
        /// The end of that one's lease.
        until: EpochMillis,
    },
}

/// What is kept together, and survives a server together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// A task with its runs, that they are gone too.
    Task(TaskId),
    /// The same, by one of its runs.
    Run(RunId),
    /// What belongs to no task: users, tokens, items.
    Common,
}

/// The members of the fleet, and which scheduler leads.
///
/// A leader saves work, no more: each commit is guarded by what it read, so that two leaders at once
/// do no harm.
#[async_trait]
pub trait FleetStore: Send + Sync {
    /// What is weaker than must be for the loss of a server to lose nothing, and how it is changed, as it was seen a
    /// few seconds ago. None: nothing.
    fn weak_durability(&self) -> Option<String> {
        None
    }

    /// What a write waits for before it is acknowledged, beside the disk of the server that takes it. None: nothing.
    fn waits_for(&self) -> Option<String> {
        None
    }

    /// What was seen so far in the scope outlives the loss of a server once this is answered.
    ///
    /// A look shows also what one server has alone, because the write's own confirmation failed. So whoever is told that
    /// something is done already, or gone, because a look shows it, is told after this.
    async fn confirm(&self, what: Scope) -> Result<()> {
        // Where there is one server, what it shows is on its disk.
        let _ = what;
        Ok(())
    }

    /// Asks to lead, or to go on, for `length` on the store's clock. Granted to the one that leads, or
    /// to anyone if that one's lease has ended.
    async fn lead(&self, name: &str, length: Duration) -> Result<Leadership>;

    /// Gives the lead back at once, if this one has it.
    async fn resign(&self, name: &str) -> Result<()>;

    /// Tells of a member, which is forgotten unless it does so again within `remembered` on the store's
    /// clock.
    async fn announce(&self, member: &Member, remembered: Duration) -> Result<()>;

    /// Forgets a member.
    async fn depart(&self, name: &str) -> Result<()>;

    /// Those who are not forgotten, by name.
    async fn members(&self) -> Result<Vec<Present>>;
}
