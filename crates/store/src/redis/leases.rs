//! Attempts and their leases.
//!
//! Who has a run and which writes count is decided by `domain`. A lease that is over but not reaped yet can still be
//! renewed, since nobody else can have the run before the reaper.

use std::time::Duration;

use futures::future::join_all;
use isochrone_domain::{
    self as domain, Artifact, AttemptEnd, Claimant, EpochMillis, Fence, Held, Progress, Refusal, Renewed,
    Run, RunId, RunStatus, settle,
};
use tracing::{error, warn};

use super::RedisStore;
use super::batch::{Answers, Batch, parse};
use super::claims;
use super::commit::Commit;
use super::keys::{Index, Shard};
use super::line::{ask_line, take_line};
use super::lists::{From, Span};
use super::records::{StoredRun, ask_run, ask_task, executing, id_of, queued, take_run, take_task};
use crate::runs::{PUT_OFF, TO_RENEW};
use crate::{Claim, Claimed, Finished, LONGEST_LEASE, Renewal, Result, StoreError, Tries};

/// Leases in one transaction at most: Redis does nothing else meanwhile.
const RENEWED_TOGETHER: usize = 256;

impl RedisStore {
    /// The run as it is now, and the time.
    async fn run_now(&self, id: RunId) -> Result<(Option<StoredRun>, EpochMillis)> {
        let mut batch = Batch::default();
        ask_run(&mut batch, &self.keys, id);
        batch.add_time(Shard::of_run(id));
        let mut answers = self.ask(batch).await?;
        let run = take_run(&mut answers);
        let now = answers.now(self)?;
        Ok((run?, now))
    }

    /// Gives a worker a due run as its next attempt.
    pub(super) async fn begin_attempt(&self, id: RunId, by: &Claimant, lease: Duration) -> Result<Claim> {
        let mut tries = Tries::default();
        loop {
            let (Some(stored), now) = self.run_now(id).await? else {
                return Ok(Claim::Refused(self.precise(id, Refusal::Unknown).await?));
            };
            let run = match (domain::claim(&stored.run, by, now), &stored.run.status) {
                (Ok(run), _) => run,
                (Err(refusal), RunStatus::Queued { due }) => {
                    // The clock was set back after it was published: the wake-up came too early and is gone.
                    if self.delay(&stored.run, *due).await? {
                        return Ok(Claim::Refused(refusal));
                    }
                    tries.again().await?;
                    continue;
                }
                (Err(refusal), _) => return Ok(Claim::Refused(refusal)),
            };
            // Without its task it is being removed.
            let Some(found) = self.find_task(stored.run.task).await? else {
                return Ok(Claim::Refused(Refusal::Deleted));
            };
            if self.commit(self.claim_commit(&stored, &run, now + lease, now)).await? {
                let stored = StoredRun { run: run.clone(), version: stored.version + 1, seq: stored.seq };
                self.claims.remember(claims::Claimed { run: stored, task: found.clone() });
                return Ok(Claim::Granted(Box::new(Claimed { run, task: found.task })));
            }
            tries.again().await?;
        }
    }

    /// Writes a run that an attempt has taken.
    fn claim_commit(&self, before: &StoredRun, run: &Run, until: EpochMillis, now: EpochMillis) -> Commit {
        let mut commit = Commit::new(Shard::of_run(run.id));
        if before.run.started.is_none() {
            self.note_start(&mut commit, run, run.started.unwrap_or(now));
        }
        self.update_run(&mut commit, before, run);
        self.set_lease(&mut commit, run.id, until);
        commit
    }

    async fn delay(&self, run: &Run, due: EpochMillis) -> Result<bool> {
        let (shard, id) = (Shard::of_run(run.id), run.id.to_string());
        let mut commit = Commit::new(shard);
        commit.check_is(&self.keys.run(run.id), "t", queued(run.attempt));
        commit.take(&self.keys.outbox(shard, run.kind), &id);
        commit.put(&self.keys.index(shard, Index::Delayed), due.0, &id);
        self.commit(commit).await
    }

    /// Renews leases, some at a time: they are read together and written together.
    pub(super) async fn renew_all(
        &self,
        worker: &str,
        held: &[Held],
        lease: Duration,
    ) -> Result<Vec<Renewal>> {
        let mut renewals = Vec::with_capacity(held.len());
        for held in held.chunks(RENEWED_TOGETHER) {
            renewals.extend(self.renew_some(worker, held, lease).await?);
        }
        Ok(renewals)
    }

    async fn renew_some(&self, worker: &str, held: &[Held], lease: Duration) -> Result<Vec<Renewal>> {
        let mut renewals: Vec<Option<Renewal>> = vec![None; held.len()];
        let mut tries = Tries::default();
        loop {
            let open: Vec<usize> = (0..held.len()).filter(|place| renewals[*place].is_none()).collect();
            if open.is_empty() {
                return Ok(renewals.into_iter().flatten().collect());
            }
            let mut batch = Batch::default();
            for place in &open {
                ask_run(&mut batch, &self.keys, held[*place].run);
                batch.add_time(Shard::of_run(held[*place].run));
            }
            let mut answers = self.ask(batch).await?;
            let (mut steps, mut renewed) = (Vec::new(), Vec::new());
            for place in open {
                match self.renewal(&mut answers, worker, &held[place], lease) {
                    Err(StoreError::Corrupt(_)) => renewals[place] = Some(Renewal::Unreadable),
                    Err(error) => return Err(error),
                    Ok(Ok((commit, renewal))) => {
                        steps.push(commit);
                        renewed.push((place, renewal));
                    }
                    Ok(Err(refusal)) => {
                        let refusal = self.precise(held[place].run, refusal).await?;
                        renewals[place] = Some(Renewal::Lost(refusal));
                    }
                }
            }
            for ((place, renewal), done) in
                renewed.into_iter().zip(self.commit_all_unreplicated(&steps).await?)
            {
                renewals[place] = done?.then_some(renewal);
            }
            if renewals.iter().any(Option::is_none) {
                tries.again().await?;
            }
        }
    }

    fn renewal(
        &self,
        answers: &mut Answers,
        worker: &str,
        held: &Held,
        lease: Duration,
    ) -> Result<std::result::Result<(Commit, Renewal), Refusal>> {
        let stored = take_run(answers);
        let now = answers.now(self)?;
        let Some(stored) = stored? else { return Ok(Err(Refusal::Unknown)) };
        let renewed = domain::renew(&stored.run, held, worker);
        let renewal = Renewal::Held { cancel: stored.run.cancel.clone() };
        Ok(renewed.map(|renewed| match renewed {
            Renewed::Lease { progress } => {
                (self.renewal_commit(held, progress.as_ref(), now + lease), renewal)
            }
            Renewed::Run(run) => {
                // The store has forgotten the claim, and perhaps what was written to the task before it.
                drop(self.claims.take(held.run, held.fence));
                (self.claim_commit(&stored, &run, now + lease, now), renewal)
            }
        }))
    }

    /// Moves the end of a lease. The run's record is not written, and keeps its version.
    fn renewal_commit(&self, held: &Held, progress: Option<&Progress>, until: EpochMillis) -> Commit {
        let mut commit = Commit::new(Shard::of_run(held.run));
        commit.check_is(&self.keys.run(held.run), "t", executing(held.fence));
        self.set_lease(&mut commit, held.run, until);
        if let Some(progress) = progress {
            self.set_progress(&mut commit, held.run, progress);
        }
        commit
    }

    /// Keeps what an attempt has found out: a remote job's handle, the version of its item.
    pub(super) async fn note(&self, id: RunId, fence: Fence, noted: impl Fn(&mut Run)) -> Result<Finished> {
        let mut tries = Tries::default();
        loop {
            let stored = match current(self.find_run(id).await?, fence) {
                Ok(stored) => stored,
                Err(refusal) => return Ok(Finished::Fenced(self.precise(id, refusal).await?)),
            };
            let mut run = stored.run.clone();
            noted(&mut run);
            let mut commit = Commit::new(Shard::of_run(id));
            self.update_run(&mut commit, &stored, &run);
            if self.commit(commit).await? {
                return Ok(Finished::Kept(Box::new(run)));
            }
            tries.again().await?;
        }
    }

    /// Ends an attempt, as its worker has it.
    pub(super) async fn end_attempt(
        &self,
        id: RunId,
        fence: Fence,
        end: AttemptEnd,
        artifacts: Vec<Artifact>,
    ) -> Result<Finished> {
        if let Some(run) = self.end_as_claimed(id, fence, &end, &artifacts).await? {
            return Ok(Finished::Kept(run));
        }
        let mut tries = Tries::default();
        loop {
            let (stored, now) = self.run_now(id).await?;
            let stored = match current(stored, fence) {
                Ok(stored) => stored,
                Err(refusal) => return self.finished_before(id, fence, refusal).await,
            };
            match self.settle_attempt(&stored, None, end.clone(), artifacts.clone(), now).await? {
                Step::Done(run) => return Ok(Finished::Kept(run)),
                Step::Orphan => return Ok(Finished::Fenced(Refusal::Deleted)),
                Step::Disturbed => tries.again().await?,
            }
        }
    }

    /// Ends an attempt and its run, if run and task are as its claim left them and nobody waits behind it.
    /// None: not so, and nothing was done.
    async fn end_as_claimed(
        &self,
        id: RunId,
        fence: Fence,
        end: &AttemptEnd,
        artifacts: &[Artifact],
    ) -> Result<Option<Box<Run>>> {
        let Some(claims::Claimed { run, task }) = self.claims.take(id, fence) else { return Ok(None) };
        let now = self.followed_clock().now();
        let settled = settle(&task.task, &run.run, end.clone(), artifacts.to_vec(), now);
        if !settled.run.status.ended() {
            // When it is due again only the server's own clock tells to the millisecond.
            return Ok(None);
        }
        let mut commit = Commit::new(Shard::of_run(id));
        // A store that has forgotten the claim counts versions anew: another attempt's claim may have the same one.
        commit.check_is(&self.keys.run(id), "t", executing(fence));
        self.update_run(&mut commit, &run, &settled.run);
        if settled.task == task.task {
            commit.check_is(&self.keys.task(task.task.id), "v", task.task.version);
        } else {
            self.advance_task(&mut commit, &settled.task);
        }
        self.note_run(&mut commit, &settled.run);
        commit.check_size(&self.keys.waiting_of(task.task.id), 0);
        Ok(self.commit(commit).await?.then(|| Box::new(settled.run)))
    }

    /// The same, and of a run that is not there, whether it was deleted.
    pub(super) async fn precise(&self, id: RunId, refusal: Refusal) -> Result<Refusal> {
        if refusal != Refusal::Unknown {
            return Ok(refusal);
        }
        let shard = Shard::of_run(id);
        let mut batch = Batch::default();
        batch.add(shard, ["ZSCORE", &self.keys.deleted_runs(shard), &id.to_string()]);
        let deleted = self.ask(batch).await?.bytes()?.is_some();
        Ok(if deleted { Refusal::Deleted } else { Refusal::Unknown })
    }

    /// The attempt is over: was it finished, or did it lapse?
    async fn finished_before(&self, id: RunId, fence: Fence, refusal: Refusal) -> Result<Finished> {
        let refusal = self.precise(id, refusal).await?;
        let finished = self.find_run(id).await?.filter(|stored| domain::has_finished(&stored.run, fence));
        if finished.is_some() {
            self.confirm_shard(Shard::of_run(id)).await?;
        }
        Ok(finished.map_or(Finished::Fenced(refusal), |stored| Finished::Kept(Box::new(stored.run))))
    }

    /// Run, task, ledger and the next waiting run, as the end of the run's attempt leaves them. `lease`: the end of its
    /// lease, where nobody must have moved that meanwhile.
    async fn settle_attempt(
        &self,
        stored: &StoredRun,
        lease: Option<f64>,
        end: AttemptEnd,
        artifacts: Vec<Artifact>,
        now: EpochMillis,
    ) -> Result<Step> {
        let task = stored.run.task;
        let mut batch = Batch::default();
        ask_task(&mut batch, &self.keys, task);
        ask_line(&mut batch, &self.keys, task);
        let mut answers = self.ask(batch).await?;
        // Without its task it is being removed.
        let Some(found) = take_task(&mut answers)? else { return Ok(Step::Orphan) };
        let line = take_line(&mut answers, task)?;
        let settled = settle(&found.task, &stored.run, end, artifacts, now);
        let (shard, id) = (Shard::of_run(stored.run.id), stored.run.id.to_string());
        let mut commit = Commit::new(shard);
        if let Some(until) = lease {
            commit.check_score(&self.keys.index(shard, Index::Leases), &id, until);
        }
        self.update_run(&mut commit, stored, &settled.run);
        if settled.task != found.task {
            self.advance_task(&mut commit, &settled.task);
        }
        if settled.run.status.ended() {
            self.note_run(&mut commit, &settled.run);
            if !self.leave(&mut commit, &line, stored, now).await? {
                return Ok(Step::Disturbed);
            }
        }
        Ok(if self.commit(commit).await? { Step::Done(Box::new(settled.run)) } else { Step::Disturbed })
    }

    /// Settles the attempts whose lease is over, and shortens leases that were given before the clock was set back.
    pub(super) async fn reap_lapsed(&self, now: EpochMillis, limit: u64) -> Result<Vec<Run>> {
        let leases = self.everywhere(Index::Leases);
        let latest = self.latest_lease_end(now);
        for entry in self.first(&leases, From::Lowest, &Span::after(latest.0), limit).await? {
            if let Ok(id) = id_of(&entry.member) {
                self.shorten(id, entry.score, now).await?;
            }
        }
        let lapsed = self.first(&leases, From::Lowest, &Span::through(now.0), limit).await?;
        let ids = lapsed.iter().filter_map(|entry| id_of::<RunId>(&entry.member).ok());
        let answers = join_all(ids.map(|id| self.reap_or_defer(id, now))).await;
        let (mut settled, mut failed) = (Vec::with_capacity(answers.len()), None);
        for answer in answers {
            match answer {
                Ok(run) => settled.extend(run),
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            Some(error) if settled.is_empty() => Err(error),
            Some(error) => {
                warn!(%error, "not every expired lease is settled yet");
                Ok(settled)
            }
            None => Ok(settled),
        }
    }

    /// One run that can't be settled must not keep the others from it.
    async fn reap_or_defer(&self, id: RunId, now: EpochMillis) -> Result<Option<Run>> {
        match self.reap_one(id, now).await {
            Err(StoreError::Corrupt(problem)) => {
                error!(run_id = %id, problem, "an expired lease can't be settled; put off");
                self.defer(Shard::of_run(id), Index::Leases, &id.to_string(), now).await.map(|()| None)
            }
            answer => answer,
        }
    }

    /// None: its worker was in time after all.
    async fn reap_one(&self, id: RunId, now: EpochMillis) -> Result<Option<Run>> {
        let shard = Shard::of_run(id);
        let mut tries = Tries::default();
        loop {
            let mut batch = Batch::default();
            ask_run(&mut batch, &self.keys, id);
            batch.add(shard, ["ZSCORE", &self.keys.index(shard, Index::Leases), &id.to_string()]);
            let mut answers = self.ask(batch).await?;
            let stored = take_run(&mut answers);
            let until = answers.bytes()?.as_deref().and_then(parse::<f64>);
            let Some(stored) = stored? else {
                return Err(StoreError::Corrupt("a lease of a run that is not there".to_owned()));
            };
            let Some(until) = until.filter(|until| *until <= now.0 as f64) else { return Ok(None) };
            match self.settle_attempt(&stored, Some(until), AttemptEnd::Lapsed, Vec::new(), now).await? {
                Step::Done(run) => return Ok(Some(*run)),
                Step::Orphan => {
                    // Its task is being removed, and then the run.
                    self.defer(Shard::of_run(id), Index::Leases, &id.to_string(), now).await?;
                    return Ok(None);
                }
                Step::Disturbed => tries.again().await?,
            }
        }
    }

    /// When the first lease ends; now, if one ends later than it can.
    pub(super) async fn first_lease_end(&self) -> Result<Option<EpochMillis>> {
        let mut batch = Batch::default();
        batch.add_time(Shard::COMMON);
        for shard in Shard::of_tasks() {
            let leases = self.keys.index(shard, Index::Leases);
            batch.add(shard, ["ZRANGE", &leases, "0", "0", "WITHSCORES"]);
            batch.add(shard, ["ZREVRANGE", &leases, "0", "0", "WITHSCORES"]);
        }
        let mut answers = self.ask(batch).await?;
        let now = answers.now(self)?;
        let latest = self.latest_lease_end(now).0 as f64;
        let mut earliest = f64::INFINITY;
        for _ in Shard::of_tasks() {
            earliest = answers.scored()?.iter().fold(earliest, |min, (_, until)| min.min(*until));
            if answers.scored()?.iter().any(|(_, until)| *until > latest) {
                return Ok(Some(now));
            }
        }
        Ok(earliest.is_finite().then(|| EpochMillis(earliest.floor() as i64)))
    }

    /// No lease given at `now`, or while that was on its way here, ends later.
    pub(super) fn latest_lease_end(&self, now: EpochMillis) -> EpochMillis {
        now + self.clock.of_real(LONGEST_LEASE + TO_RENEW)
    }

    async fn shorten(&self, id: RunId, until: f64, now: EpochMillis) -> Result<()> {
        warn!(run_id = %id, until, "the clock was set back; the lease is cut short");
        let (shard, key) = (Shard::of_run(id), self.keys.index(Shard::of_run(id), Index::Leases));
        let mut commit = Commit::new(shard);
        // Not so: somebody renewed or ended it.
        commit.check_score(&key, &id.to_string(), until);
        self.set_lease(&mut commit, id, now + self.clock.of_real(TO_RENEW));
        self.commit(commit).await.map(drop)
    }

    /// Puts off what can't be read, in an index by time: else it would be looked at all the time.
    pub(super) async fn defer(
        &self,
        shard: Shard,
        index: Index,
        member: &str,
        now: EpochMillis,
    ) -> Result<()> {
        match index {
            Index::Due => self.deferrals.fires(1),
            _ => self.deferrals.expiries(1),
        }
        let later = (now + self.clock.of_real(PUT_OFF)).0.to_string();
        let mut batch = Batch::default();
        batch.add(shard, ["ZADD", &self.keys.index(shard, index), "XX", &later, member]);
        self.ask(batch).await?.int().map(drop)
    }
}

/// What came of a try to settle an attempt.
enum Step {
    /// The run is so now.
    Done(Box<Run>),
    /// Its task is gone.
    Orphan,
    /// Somebody else wrote meanwhile: read again.
    Disturbed,
}

/// The run, if this attempt has it now.
pub(super) fn current(stored: Option<StoredRun>, fence: Fence) -> std::result::Result<StoredRun, Refusal> {
    let stored = stored.ok_or(Refusal::Unknown)?;
    domain::check_fence(&stored.run, fence).map(|()| stored)
}
