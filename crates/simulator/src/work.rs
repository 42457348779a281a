//! The work that runs do here, and the witness that sees every step of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use isochrone_domain::{AttemptEnd, Fence, Reason, Run, RunId, RunStatus, TaskType};
use isochrone_worker::{Attempt, Executor, StopReason};
use tokio::time::sleep;

use crate::world::{Process, World};

/// Who works at what, as the work itself says.
#[derive(Default)]
pub(crate) struct Witness(Mutex<Witnessed>);

#[derive(Default)]
pub(crate) struct Witnessed {
    /// Those that are at work at this moment.
    at_work: BTreeMap<RunId, Vec<(Fence, String)>>,
    /// How often each run was worked on.
    pub(crate) begun: BTreeMap<RunId, u32>,
    pub(crate) steps: u64,
    /// Runs that two worked on because the store had just forgotten the first one's claim. The store gives them out
    /// before their workers have renewed their leases: a known gap, which is counted and not a violation until it is
    /// closed.
    pub(crate) overlaps: u64,
}

impl Witnessed {
    /// The other attempts at a run that are at work. One that is suspended is not.
    fn others(&self, run: RunId, fence: Fence) -> Vec<String> {
        let at_work = self.at_work.get(&run).into_iter().flatten();
        at_work
            .filter(|(other, _)| *other != fence)
            .map(|(other, name)| format!("{name} attempt {}", other.attempt))
            .collect()
    }
}

impl Witness {
    pub(crate) fn seen(&self) -> MutexGuard<'_, Witnessed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A write was accepted: none of another attempt is, while this one is at work and has the run.
    pub(crate) fn check_accepted(&self, world: &World, kept: &Run, by: Fence) {
        let others = self.seen().others(kept.id, by);
        // An end that is sent again is answered with the run as it is now.
        let repeated = matches!(kept.status, RunStatus::Executing { .. }) && kept.fence() != by;
        if !others.is_empty() && !repeated {
            let (id, attempt, others) = (kept.id, by.attempt, others.join(", "));
            world.violated(format!(
                "run {id}: an end of attempt {attempt} is accepted while {others} is at work"
            ));
        }
    }

    /// The runs that are worked on at the moment.
    pub(crate) fn at_work(&self) -> Vec<RunId> {
        self.seen().at_work.keys().copied().collect()
    }

    /// A process is dead, and its work with it.
    pub(crate) fn killed(&self, process: &str) {
        let mut seen = self.seen();
        for workers in seen.at_work.values_mut() {
            workers.retain(|(_, name)| name != process);
        }
        seen.at_work.retain(|_, workers| !workers.is_empty());
    }
}

/// An attempt at work. When it is dropped, the work has ended.
struct AtWork<'a> {
    world: &'a World,
    process: &'a Process,
    run: RunId,
    fence: Fence,
}

impl<'a> AtWork<'a> {
    fn begin(world: &'a World, process: &'a Process, run: RunId, fence: Fence) -> AtWork<'a> {
        world.note(format_args!("{} begins {run} attempt {}", process.name, fence.attempt));
        *world.witness.seen().begun.entry(run).or_default() += 1;
        AtWork::resume(world, process, run, fence)
    }

    /// Goes on with an attempt that was suspended.
    fn resume(world: &'a World, process: &'a Process, run: RunId, fence: Fence) -> AtWork<'a> {
        let mut seen = world.witness.seen();
        let others = seen.others(run, fence);
        seen.at_work.entry(run).or_default().push((fence, process.name.clone()));
        drop(seen);
        if !others.is_empty() && world.has_just_failed_over() {
            world.note(format_args!(
                "{run} is worked on by two: the store has forgotten the first one's claim"
            ));
            world.witness.seen().overlaps += 1;
        } else if !others.is_empty() {
            let (name, attempt) = (&process.name, fence.attempt);
            let others = others.join(", ");
            world.violated(format!("run {run} is worked on by {name} attempt {attempt} beside {others}"));
        }
        AtWork { world, process, run, fence }
    }

    fn step(&self) {
        let others = {
            let mut seen = self.world.witness.seen();
            seen.steps += 1;
            seen.others(self.run, self.fence)
        };
        if !others.is_empty() && !self.world.has_just_failed_over() {
            let (run, name, attempt) = (self.run, &self.process.name, self.fence.attempt);
            let others = others.join(", ");
            self.world.violated(format!("run {run}: a step of {name} attempt {attempt} beside {others}"));
        }
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        let mut seen = self.world.witness.seen();
        if let Some(workers) = seen.at_work.get_mut(&self.run) {
            workers.retain(|(fence, name)| *fence != self.fence || *name != self.process.name);
            if workers.is_empty() {
                seen.at_work.remove(&self.run);
            }
        }
    }
}

/// Carries out runs of a type by counting steps.
pub(crate) struct Counting {
    pub(crate) world: Arc<World>,
    pub(crate) process: Arc<Process>,
    pub(crate) kind: TaskType,
}

/// What a run's work is: the same for each attempt, but for whether it fails.
struct Script {
    steps: u32,
    pause: Duration,
    fails: bool,
}

impl Script {
    /// By the run's id and the attempt's number.
    fn of(run: RunId, attempt: u32) -> Script {
        let mut bits = [0; 8];
        bits.copy_from_slice(&run.as_bytes()[8..]);
        let mut chance = fastrand::Rng::with_seed(u64::from_le_bytes(bits));
        let (steps, pause) = match chance.u32(0..100) {
            0..60 => (chance.u32(1..5), Duration::from_secs(1)),
            60..90 => (chance.u32(5..12), Duration::from_secs(3)),
            // So long that a cancel finds it at work.
            90..93 => (80, Duration::from_secs(10)),
            _ => (chance.u32(10..24), Duration::from_secs(10)),
        };
        let fails = chance.u32(0..100) < 10 && attempt == 1;
        Script { steps, pause, fails }
    }
}

#[async_trait]
impl Executor for Counting {
    fn kind(&self) -> TaskType {
        self.kind
    }

    fn default_timeout(&self) -> Duration {
        Duration::from_mins(30)
    }

    async fn execute(&self, attempt: &Attempt) -> AttemptEnd {
        let run = attempt.run();
        let begun = AtWork::begin(&self.world, &self.process, run.id, run.fence());
        let mut work = Some(begun);
        let script = Script::of(run.id, run.attempt);
        for _ in 0..script.steps {
            let mut pause = std::pin::pin!(sleep(script.pause));
            loop {
                tokio::select! {
                    biased;
                    reason = attempt.stopped() => {
                        self.process.alive().await;
                        self.world.note(format_args!("{} stops {}: {reason:?}", self.process.name, run.id));
                        return stopped(reason);
                    }
                    () = attempt.trust().over(), if work.is_some() => {
                        self.world.note(format_args!("{} suspends {}", self.process.name, run.id));
                        work = None;
                    }
                    () = attempt.trust().there(), if work.is_none() => {
                        self.process.alive().await;
                        self.world.note(format_args!("{} resumes {}", self.process.name, run.id));
                        work = Some(AtWork::resume(&self.world, &self.process, run.id, run.fence()));
                    }
                    () = &mut pause, if work.is_some() => break,
                }
            }
            self.process.alive().await;
            if let Some(work) = &work {
                work.step();
            }
        }
        self.world.note(format_args!("{} ends {} attempt {}", self.process.name, run.id, run.attempt));
        if script.fails {
            AttemptEnd::Failed { reason: Reason::ExecutionError, result: "as planned".to_owned() }
        } else {
            AttemptEnd::Succeeded { result: String::new() }
        }
    }
}

fn stopped(reason: StopReason) -> AttemptEnd {
    match reason {
        StopReason::Draining => AttemptEnd::GivenBack,
        _ => AttemptEnd::Failed { reason: Reason::Cancelled, result: String::new() },
    }
}
