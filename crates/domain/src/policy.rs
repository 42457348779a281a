//! What a task's owner can choose about misfires, overlaps, retries and crashes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What happens to fires whose moment passed while nobody was there to fire them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum MisfirePolicy {
    /// The latest runs, late; the ones before it are skipped.
    #[default]
    RunLatest,
    /// The last `max` run, in order; the ones before them are skipped.
    RunAll {
        /// How many missed fires run at most.
        max: u32,
    },
    /// None runs that is later than `grace_ms`.
    Skip {
        /// Lateness that still counts as in time, in milliseconds.
        grace_ms: u64,
    },
}

/// What happens to a fire while an earlier run of the task has not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OverlapPolicy {
    /// The fire is skipped. ArcGIS's own way.
    #[default]
    Skip,
    /// Its run waits until the runs before it have ended.
    Queue,
    /// Its run starts beside the other.
    Allow,
}

/// How often a failed run is tried again, and when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetryPolicy {
    /// Further tries after a failed one. ArcGIS has none.
    pub max_retries: u32,
    /// Wait before the first retry, in milliseconds; doubled for each further one.
    pub backoff_ms: u64,
}

impl RetryPolicy {
    /// A wait grows to this and no further.
    const LONGEST: Duration = Duration::from_hours(1);

    /// Wait before the retry with this number (1 is the first).
    pub fn wait(&self, retry: u32) -> Duration {
        let doubled = self.backoff_ms.saturating_mul(1 << retry.saturating_sub(1).min(20));
        Duration::from_millis(doubled).min(Self::LONGEST)
    }
}

/// What happens to a run whose worker died and that has no remote job to go back to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CrashPolicy {
    /// It starts again elsewhere.
    #[default]
    AtLeastOnce,
    /// It fails and says that its outcome is unknown.
    AtMostOnce,
}

/// What happens where somebody else's item does something else than when the task's owner saw it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ItemChanges {
    /// The run is refused, until the owner accepts the item as it is.
    #[default]
    Pinned,
    /// The item runs as it is.
    Follow,
}

/// A task's choices. The defaults are what ArcGIS does, where ArcGIS does anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Policies {
    /// For fires that nobody was there for.
    pub misfire: MisfirePolicy,
    /// For fires during a run.
    pub overlap: OverlapPolicy,
    /// For failed runs.
    pub retry: RetryPolicy,
    /// For runs whose worker died.
    pub crash: CrashPolicy,
    /// How many workers may die under one run before it fails.
    pub max_crashes: u32,
    /// How long one attempt may take, in milliseconds; none: the executor's own default.
    pub timeout_ms: Option<u64>,
    /// Consecutive failures that disable the task; none: never. ArcGIS's default is 5.
    pub max_consecutive_failures: Option<u32>,
    /// For items of others that change.
    pub item_changes: ItemChanges,
    /// Whether parameters are passed on as they are that what runs does not declare, or declares otherwise.
    pub allow_unknown_parameters: bool,
}

impl Default for Policies {
    fn default() -> Self {
        Policies {
            misfire: MisfirePolicy::default(),
            overlap: OverlapPolicy::default(),
            retry: RetryPolicy::default(),
            crash: CrashPolicy::default(),
            max_crashes: 5,
            timeout_ms: None,
            max_consecutive_failures: Some(5),
            item_changes: ItemChanges::default(),
            allow_unknown_parameters: false,
        }
    }
}

/// What changes of a task's choices, field by field; what is absent stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyChange {
    /// For fires that nobody was there for.
    pub misfire: Option<MisfirePolicy>,
    /// For fires during a run.
    pub overlap: Option<OverlapPolicy>,
    /// Further tries after a failed one.
    pub max_retries: Option<u32>,
    /// Wait before the first retry, in milliseconds.
    pub backoff_ms: Option<u64>,
    /// For runs whose worker died.
    pub crash: Option<CrashPolicy>,
    /// How long one attempt may take, in milliseconds; `Some(None)`: the executor's own default.
    pub timeout_ms: Option<Option<u64>>,
    /// Consecutive failures that disable the task; `Some(None)`: never.
    pub max_consecutive_failures: Option<Option<u32>>,
    /// For items of others that change.
    pub item_changes: Option<ItemChanges>,
    /// For parameters that are not declared.
    pub allow_unknown_parameters: Option<bool>,
}

impl PolicyChange {
    /// The choices after the change.
    pub fn applied_to(self, old: &Policies) -> Policies {
        Policies {
            misfire: self.misfire.unwrap_or(old.misfire),
            overlap: self.overlap.unwrap_or(old.overlap),
            retry: RetryPolicy {
                max_retries: self.max_retries.unwrap_or(old.retry.max_retries),
                backoff_ms: self.backoff_ms.unwrap_or(old.retry.backoff_ms),
            },
            crash: self.crash.unwrap_or(old.crash),
            max_crashes: old.max_crashes,
            timeout_ms: self.timeout_ms.unwrap_or(old.timeout_ms),
            max_consecutive_failures: self.max_consecutive_failures.unwrap_or(old.max_consecutive_failures),
            item_changes: self.item_changes.unwrap_or(old.item_changes),
            allow_unknown_parameters: self.allow_unknown_parameters.unwrap_or(old.allow_unknown_parameters),
        }
    }
}
