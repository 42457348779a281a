//! Who has a run: claims, renewals, and which writes of an attempt count. Both stores decide by these rules.

use crate::{EpochMillis, Fence, Lease, Nonce, Progress, Run, RunId, RunStatus};

/// Why a worker does not get a run, or does not have it any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It has ended.
    #[error("it has ended")]
    Ended,
    /// It or its task was deleted.
    #[error("it was deleted")]
    Deleted,
    /// The store knows nothing of it, and not that it was deleted. A store that has forgotten the run makes it again, since it has
    /// forgotten that its fire was decided.
    #[error("the store does not know it")]
    Unknown,
    /// Another attempt has it.
    #[error("another attempt holds it")]
    Held,
    /// It is not its turn: it waits behind another run or for a retry.
    #[error("it is not its turn")]
    NotDue,
}

/// Who claims a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimant {
    /// The worker's name, unique to its process.
    pub worker: String,
    /// Drawn for this claim. The same claim is repeated with the same nonce.
    pub nonce: Nonce,
}

/// An attempt that a worker has, with what a store needs to know of it that has forgotten its claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The run.
    pub run: RunId,
    /// The attempt.
    pub fence: Fence,
    /// When the run's first attempt began.
    pub started: EpochMillis,
    /// The remote job's handle (JSON), if there is one.
    pub handle: Option<String>,
    /// How far it is, if that changed.
    pub progress: Option<Progress>,
}

impl Held {
    /// The attempt that has the run now.
    pub fn of(run: &Run) -> Held {
        Held {
            run: run.id,
            fence: run.fence(),
            started: run.started.unwrap_or(run.created),
            handle: run.handle.clone(),
            progress: None,
        }
    }
}

impl Claimant {
    /// A new claim.
    pub fn new(worker: impl Into<String>) -> Claimant {
        Claimant { worker: worker.into(), nonce: Nonce::random() }
    }
}

/// What a renewal writes beside the lease's new end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// How far the attempt is, where that has changed.
    Lease {
        /// None: as it was.
        progress: Option<Progress>,
    },
    /// The run: the store had forgotten that the attempt has it, or its job's handle.
    Run(Box<Run>),
}

/// The run as the claimant's next attempt, or as the attempt that this claim began before, if its answer was lost.
///
/// # Errors
/// Where the claimant does not get it.
pub fn claim(run: &Run, by: &Claimant, now: EpochMillis) -> Result<Run, Refusal> {
    let mut run = run.clone();
    match run.status {
        RunStatus::Queued { due } if due <= now => {
            run.attempt = run.attempt.saturating_add(1);
            run.nonce = by.nonce;
            run.expired = false;
            run.started.get_or_insert(now);
        }
        RunStatus::Executing { .. } if run.nonce == by.nonce => {}
        _ => return Err(refusal(&run)),
    }
    run.status = RunStatus::Executing { lease: Lease { worker: by.worker.clone() } };
    Ok(run)
}

/// Whether the attempt has the run, so that what it writes counts.
///
/// # Errors
/// Where it does not.
pub fn check_fence(run: &Run, fence: Fence) -> Result<(), Refusal> {
    match run.status {
        RunStatus::Executing { .. } if run.fence() == fence => Ok(()),
        _ => Err(refusal(run)),
    }
}

/// Why an attempt that the run is not given to does not have it.
fn refusal(run: &Run) -> Refusal {
    match run.status {
        RunStatus::Executing { .. } => Refusal::Held,
        RunStatus::Ended { .. } => Refusal::Ended,
        RunStatus::Waiting | RunStatus::Queued { .. } => Refusal::NotDue,
    }
}

/// What a renewal of the attempt's lease changes. Where the store has forgotten the claim, the attempt takes the run again:
/// nobody else has it.
///
/// # Errors
/// Where the attempt has lost the run.
pub fn renew(run: &Run, held: &Held, worker: &str) -> Result<Renewed, Refusal> {
    let forgotten = forgot_claim(run, held.fence);
    if !forgotten {
        check_fence(run, held.fence)?;
        if run.handle.is_some() || held.handle.is_none() {
            let progress = held.progress.clone().filter(|now| run.progress.as_ref() != Some(now));
            return Ok(Renewed::Lease { progress });
        }
    }
    let mut run = run.clone();
    if forgotten {
        run.attempt = held.fence.attempt;
        run.nonce = held.fence.nonce;
        run.expired = false;
        run.started.get_or_insert(held.started);
    }
    // The store may have forgotten that alone. Nothing takes it back while the attempt has the run.
    if run.handle.is_none() {
        run.handle.clone_from(&held.handle);
    }
    run.status = RunStatus::Executing { lease: Lease { worker: worker.to_owned() } };
    if held.progress.is_some() {
        run.progress.clone_from(&held.progress);
    }
    Ok(Renewed::Run(Box::new(run)))
}

/// Whether the run shows no sign of a claim that was granted: numbers only grow, so it was forgotten.
fn forgot_claim(run: &Run, fence: Fence) -> bool {
    let unclaimed = matches!(run.status, RunStatus::Queued { .. } | RunStatus::Waiting);
    unclaimed && run.attempt < fence.attempt
}

/// Attempts of a run whose ends are remembered, so that an end that is sent again is answered as at first.
const REMEMBERED: usize = 8;

/// Notes that the run's last attempt was ended by its worker, where the run goes on.
pub(crate) fn note_finished(run: &mut Run) {
    if run.expired || run.nonce.is_none() || run.finished.contains(&run.fence()) {
        return;
    }
    if run.finished.len() >= REMEMBERED {
        run.finished.remove(0);
    }
    run.finished.push(run.fence());
}

/// Whether this attempt's end was kept, when its worker first sent it.
pub fn has_finished(run: &Run, fence: Fence) -> bool {
    let last = run.fence() == fence && run.status.ended() && !run.expired;
    last || run.finished.contains(&fence)
}
