//! The values of labels that are known beforehand.

use isochrone_domain::{AttemptEnd, Decision, Outcome, Reason};

/// Why there was no room for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionLimit {
    /// Its client has as many as one address may.
    Address,
    /// Its listener has its share of them.
    Listener,
    /// There are as many as there may be.
    Total,
    /// The operating system refused it: too many open files, most of all.
    System,
}

impl ConnectionLimit {
    pub(crate) const ALL: [ConnectionLimit; 4] = [
        ConnectionLimit::Address,
        ConnectionLimit::Listener,
        ConnectionLimit::Total,
        ConnectionLimit::System,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            ConnectionLimit::Address => "address",
            ConnectionLimit::Listener => "listener",
            ConnectionLimit::Total => "total",
            ConnectionLimit::System => "system",
        }
    }
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptResult {
    /// The work was done.
    Succeeded,
    /// It was not.
    Failed,
    /// It was never accepted.
    SubmitFailed,
    /// Its worker stops.
    GivenBack,
    /// Its worker was lost.
    Lost,
}

impl AttemptResult {
    pub(crate) const ALL: [AttemptResult; 5] = [
        AttemptResult::Succeeded,
        AttemptResult::Failed,
        AttemptResult::SubmitFailed,
        AttemptResult::GivenBack,
        AttemptResult::Lost,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            AttemptResult::Succeeded => "succeeded",
            AttemptResult::Failed => "failed",
            AttemptResult::SubmitFailed => "submitfailed",
            AttemptResult::GivenBack => "given_back",
            AttemptResult::Lost => "lost",
        }
    }
}

impl From<&AttemptEnd> for AttemptResult {
    fn from(end: &AttemptEnd) -> AttemptResult {
        match end {
            AttemptEnd::Succeeded { .. } => AttemptResult::Succeeded,
            AttemptEnd::Failed { .. } | AttemptEnd::Suspended { .. } => AttemptResult::Failed,
            AttemptEnd::SubmitFailed { .. } => AttemptResult::SubmitFailed,
            AttemptEnd::GivenBack => AttemptResult::GivenBack,
            AttemptEnd::Lapsed => AttemptResult::Lost,
        }
    }
}

/// What the queue said of a wake-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// It has it safely.
    Ack,
    /// There is no such queue.
    Returned,
    /// It did not take it, or nobody knows.
    Failed,
}

impl Published {
    pub(crate) const ALL: [Published; 3] = [Published::Ack, Published::Returned, Published::Failed];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Published::Ack => "ack",
            Published::Returned => "returned",
            Published::Failed => "failed",
        }
    }
}

/// What somebody could not sign in with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthFailure {
    /// A user name and a password that do not belong together.
    Password,
    /// A name that was guessed at too often.
    Locked,
    /// A token that is not valid here, or no longer.
    Token,
}

impl AuthFailure {
    pub(crate) const ALL: [AuthFailure; 3] = [AuthFailure::Password, AuthFailure::Locked, AuthFailure::Token];

    pub(crate) fn name(self) -> &'static str {
        match self {
            AuthFailure::Password => "password",
            AuthFailure::Locked => "locked",
            AuthFailure::Token => "token",
        }
    }
}

/// How a fire was decided and why, of all that the schedule makes.
pub(crate) const FIRES: [(&str, Reason); 8] = [
    ("run", Reason::OnTime),
    ("late", Reason::Late),
    ("late", Reason::CaughtUp),
    ("skipped", Reason::SkippedMisfire),
    ("skipped", Reason::SkippedDisabled),
    ("skipped", Reason::SkippedExcluded),
    ("skipped", Reason::TaskDeleted),
    ("skipped", Reason::SkippedOverlap),
];

pub(crate) fn fire_outcome(decision: Decision, reason: Reason) -> &'static str {
    match (decision, reason) {
        (Decision::Skip, _) => "skipped",
        (_, Reason::Late | Reason::CaughtUp) => "late",
        _ => "run",
    }
}

pub(crate) const OUTCOMES: [Outcome; 4] =
    [Outcome::Succeeded, Outcome::Failed, Outcome::SubmitFailed, Outcome::Skipped];

/// A leading scheduler's duties.
pub(crate) const DUTIES: [&str; 5] = ["fire", "publish", "queue_delayed", "expire", "finish_deletions"];

/// Those that put off what can't be read.
pub(crate) const DEFERRING: [&str; 3] = ["fire", "expire", "finish_deletions"];
