//! A run: the work that a fire makes.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    EpochMillis, Fence, FireId, Generation, ItemSnapshot, Nonce, Outcome, Reason, Record, RunId, TaskId,
    TaskType, UnknownFields,
};

/// Why there is a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Trigger {
    /// The task's schedule.
    Schedule {
        /// Which of its schedules.
        generation: Generation,
    },
    /// A person.
    Request {
        /// The person's user name.
        by: String,
    },
}

/// A worker's right to an attempt. When it ends is kept beside the run, where a renewal writes nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The worker's name, unique to its process.
    pub worker: String,
}

/// Where a run is on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum RunStatus {
    /// Behind an earlier run of its task.
    Waiting,
    /// To be taken by a worker, from `due` on.
    Queued {
        /// Later than now for a retry.
        due: EpochMillis,
    },
    /// A worker has it.
    Executing {
        /// That worker's right to it.
        lease: Lease,
    },
    /// It is over.
    Ended {
        /// How.
        outcome: Outcome,
        /// Why.
        reason: Reason,
        /// When.
        at: EpochMillis,
    },
}

impl RunStatus {
    /// ArcGIS's word for it: scheduled, executing, succeeded, failed, skipped, submitfailed.
    pub fn wire(&self) -> &'static str {
        match self {
            RunStatus::Waiting | RunStatus::Queued { .. } => "scheduled",
            RunStatus::Executing { .. } => "executing",
            RunStatus::Ended { outcome, .. } => outcome.name(),
        }
    }

    /// Whether nothing more happens to the run by itself.
    pub fn ended(&self) -> bool {
        matches!(self, RunStatus::Ended { .. })
    }
}

/// Why a run is told to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CancelReason {
    /// A person wants this run to end.
    #[default]
    Requested,
    /// Its task's owner was disabled or deleted.
    OwnerDisabled,
}

/// A person's wish that a run end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancel {
    /// The person's user name.
    pub by: String,
    /// When it was asked.
    pub at: EpochMillis,
    /// Why.
    #[serde(default)]
    pub why: CancelReason,
}

/// How far an attempt is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// 0 to 100, where the executor knows.
    pub percent: Option<u8>,
    /// For people.
    pub message: String,
}

/// Something that a run left: an executed notebook, a report, a long log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Artifact {
    /// Its file name.
    pub name: String,
    /// Its media type.
    pub content_type: String,
    /// Its size in bytes.
    pub size: u64,
    /// Where it is in the artifact store.
    pub location: String,
}

/// Who said a line of a run's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogStream {
    /// The work's standard output.
    Stdout,
    /// The work's standard error.
    Stderr,
    /// Isochrone.
    System,
}

/// A line of a run's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When it was said.
    pub at: EpochMillis,
    /// By whom.
    pub stream: LogStream,
    /// Without its line end.
    pub text: String,
}

/// The work that a fire makes, with all that is known of it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// Derived from the fire's id.
    pub id: RunId,
    /// Whose run it is.
    pub task: TaskId,
    /// What made it.
    pub fire: FireId,
    /// The task's type.
    pub kind: TaskType,
    /// Why there is a run.
    pub trigger: Trigger,
    /// The minute that it is for; the moment of the request where a person asked.
    pub planned: EpochMillis,
    /// Why the fire was decided as it was.
    pub fired: Reason,
    /// Where it is on its way.
    pub status: RunStatus,
    /// How many attempts were begun: the last one's number.
    pub attempt: u32,
    /// What the last attempt's claim drew.
    #[serde(default, skip_serializing_if = "Nonce::is_none")]
    pub nonce: Nonce,
    /// Whether the last attempt ended because its lease expired.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub expired: bool,
    /// The latest attempts that their workers ended and that were not the last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub finished: Vec<Fence>,
    /// How many attempts failed.
    pub failures: u32,
    /// How many attempts ended with their worker.
    pub crashes: u32,
    /// A person's wish that it end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancel: Option<Cancel>,
    /// When the fire was decided.
    pub created: EpochMillis,
    /// When the first attempt began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<EpochMillis>,
    /// How far the attempt is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// A remote job's handle (JSON), kept so that a later attempt finds it again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handle: Option<String>,
    /// The item as the last attempt that read it found it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<ItemSnapshot>,
    /// What the work said of itself, for people and clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// What it left.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<Artifact>,
    /// What a newer version stored with it.
    #[serde(skip)]
    pub unknown: UnknownFields,
}

impl Record for Run {
    fn unknown(&self) -> &UnknownFields {
        &self.unknown
    }

    fn unknown_mut(&mut self) -> &mut UnknownFields {
        &mut self.unknown
    }
}

impl Run {
    /// The last attempt's fencing token.
    pub fn fence(&self) -> Fence {
        Fence { attempt: self.attempt, nonce: self.nonce }
    }
}

/// Without the remote job's handle: it may hold what gives access to the job.
impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = Run { handle: crate::task::hidden(self.handle.as_ref()), ..self.clone() };
        write!(f, "Run {}", serde_json::to_string(&shown).map_err(|_| fmt::Error)?)
    }
}
